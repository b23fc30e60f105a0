"""QONNX' quantizers: which whole number a real one becomes, in the executor's own float32 arithmetic.

Source: the definitions of Quant, BipolarQuant and MultiThreshold in QONNX (qonnx/custom_op/general). Quant clips before it
rounds; `ROUND` rounds halves to even.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...sim.errors import ModelError
from .qonnx_values import Array, Float32Array

_WIDER = "quantize it to 16 bits or fewer"
_WIDEST = 16


def _away(rounding: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: np.sign(x) * rounding(np.abs(x))


ROUNDINGS: Mapping[str, Callable[[Array], Array]] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": _away(np.ceil),
    "DOWN": np.fix,
    "HALF_UP": _away(lambda x: np.floor(x + np.float32(0.5))),
    "HALF_DOWN": _away(lambda x: np.ceil(x - np.float32(0.5))),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantizer:
    """A rising function from real numbers to the whole numbers low..high; the executor's real value of one of them, k, is
    scale * (k - zero_point). With `bits` 1 they are -1 and +1, and nothing between.

    `levels` takes float32 (n, channels) and gives whole numbers.
    """

    levels: Callable[[Float32Array], Array]
    low: int
    high: int
    scale: np.float32
    zero_point: int
    bits: int

    @property
    def dtype(self) -> str:
        """Type of the tensor that holds them."""
        return "int8" if self.bits <= 8 else "int16"

    @property
    def steps(self) -> list[int]:
        """The levels above the lowest."""
        return [1] if self.bits == 1 else list(range(self.low + 1, self.high + 1))


def quant(
    scale: Float32Array, zero_point: Float32Array, bits: Array, *, signed: bool, narrow: bool, rounding: str
) -> Quantizer:
    """Of a Quant node; parameters as arrays. Unsigned numbers of 8 or 16 bits are held as signed ones, 2**7 or 2**15 lower."""
    low, high = integer_range(bits, signed=signed, narrow=narrow)
    if rounding.upper() not in ROUNDINGS:
        raise ModelError(f"its rounding mode must be one of {', '.join(ROUNDINGS)}, not {rounding}")
    unit, offset = uniform_scale(scale), _uniform(zero_point, "zero point")
    if offset != np.round(offset) or abs(offset) > 1 << 20:
        raise ModelError(f"its zero point must be a whole number, not {offset:.9g}: export it with a whole zero point")
    width = np.asarray(bits).reshape(())
    if int(width) == 1 and signed:
        if offset:
            raise ModelError(f"its zero point must be 0 where it has one bit, not {offset:.9g}")
        return Quantizer(levels=lambda x: np.where(x / unit >= 0, 1, -1), low=-1, high=1, scale=unit, zero_point=0, bits=1)
    held = 1 << (7 if int(width) <= 8 else 15)  # below this, and from less this on
    shift = held if high >= held else 0
    whole = ROUNDINGS[rounding.upper()]

    def levels(x: Float32Array) -> Array:
        y = x / unit + offset
        return whole(np.clip(y, np.float32(low), np.float32(high))) - shift

    zero = int(offset) - shift
    if not -held <= zero < held:
        raise ModelError(f"its zero point must lie among its values, {low}..{high}, not be {offset:.9g}")
    return Quantizer(levels=levels, low=low - shift, high=high - shift, scale=unit, zero_point=zero, bits=max(2, int(width)))


def integer_range(bits: Array, *, signed: bool, narrow: bool, widest: int = _WIDEST) -> tuple[int, int]:
    """What so many bits hold; `widest` is how many there may be. Raises ModelError."""
    width = np.asarray(bits)
    if width.size != 1 or not np.isfinite(width).all():
        raise ModelError(f"its bit width must be one number, not of the shape {width.shape}")
    count = float(width.reshape(()))
    if count != int(count) or not 1 <= count <= widest:
        raise ModelError(f"its bit width must be one of 1 to {widest}, not {count:g}: {_WIDER}")
    least, most = (-(1 << (int(count) - 1)), (1 << (int(count) - 1)) - 1) if signed else (0, (1 << int(count)) - 1)
    if narrow:
        least, most = (least + 1, most) if signed else (least, most - 1)
    if least >= most and count != 1:
        raise ModelError("it has a single level: give it more bits")
    return least, most


def bipolar(scale: Float32Array) -> Quantizer:
    """Of a BipolarQuant node: 0 and above is +1."""
    return Quantizer(levels=lambda x: np.where(x >= 0, 1, -1), low=-1, high=1, scale=uniform_scale(scale), zero_point=0, bits=1)


def sign() -> Quantizer:
    """Of ONNX' Sign: -1, 0, +1."""
    return Quantizer(levels=np.sign, low=-1, high=1, scale=np.float32(1), zero_point=0, bits=2)


def multi_threshold(thresholds: Float32Array, out_scale: float, out_bias: float) -> Quantizer:
    """Of a MultiThreshold node: thresholds (channels or 1, n), real value out_scale * (how many x is not below) + out_bias."""
    if thresholds.ndim != 2 or not 1 <= thresholds.shape[1] <= 255:
        raise ModelError(f"its thresholds must be (channels, 1 to 255), not {thresholds.shape}: quantize it to 8 bits or fewer")
    if np.isnan(thresholds).any():
        raise ModelError("a threshold of it is no number: the file is damaged")
    rows = np.sort(thresholds.astype(np.float32), axis=1)
    count = rows.shape[1]
    scale, offset = np.float32(out_scale), np.float32(out_bias)
    reals = scale * np.arange(count + 1).astype(np.float32) + offset

    def counted(x: Float32Array) -> Array:
        result = np.zeros(np.broadcast_shapes(x.shape, (1, len(rows))), np.int64)
        for column in rows.T:
            result += x >= column
        return result

    if not (np.isfinite(reals).all() and scale > 0):
        raise ModelError(f"its out_scale must be positive, not {out_scale:g}: negate the thresholds and the weights instead")
    if count == 1 and reals[0] == -reals[1]:
        return Quantizer(
            levels=lambda x: 2 * counted(x) - 1, low=-1, high=1, scale=uniform_scale(reals[1:]), zero_point=0, bits=1
        )
    zero = int(np.round(-offset / scale)) if abs(offset) < 256 * scale else 256
    if not (0 <= zero <= count) or ((np.arange(count + 1) - zero).astype(np.float32) * scale != reals).any():
        raise ModelError(
            f"its out_bias must be -out_scale times a whole number of 0 to {count}, not {out_bias:g} with {out_scale:g}"
        )
    shift = 128 if count > 127 else 0
    bits = max(2, count.bit_length())
    return Quantizer(
        levels=lambda x: counted(x) - shift, low=-shift, high=count - shift, scale=scale, zero_point=zero - shift, bits=bits
    )


def annotation(datatype: str) -> Quantizer | None:
    """Of whole numbers that a tensor is annotated to hold, as FINN does: INT8, UINT4, BIPOLAR; None where it names others."""
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    if datatype == "BIPOLAR":
        return bipolar(one)
    found = re.fullmatch(r"(U?)INT([0-9]{1,4})", datatype)
    if not found:
        return None
    return quant(one, zero, np.array(int(found[2])), signed=not found[1], narrow=False, rounding="ROUND")


def uniform_scale(scale: Float32Array) -> np.float32:
    """The one scale of an activation. Raises ModelError."""
    value = _uniform(scale, "scale")
    if not (np.isfinite(value) and value > 0):
        raise ModelError(f"its scale must be a positive number, not {value:.9g}: the file is damaged")
    return value


def _uniform(values: Float32Array, what: str) -> np.float32:
    array = np.asarray(values, np.float32).ravel()
    if not array.size or (array != array[0]).any():
        raise ModelError(f"its {what} must be one number for all channels, not {array.size}: quantize activations per tensor")
    return np.float32(array[0])

"""Which scales: of an activation a power of two, of a layer's output channel a small odd number times a power of two.

Sums of whole numbers times such scales are exact in float32, as long as they stay below 2**24 units: the QONNX executor then
answers what integers answer, bit for bit. And a power of two between two layers is a plain shift. The odd numbers 1, 3, 5, 7
leave a channel's scale within 13 % of any that one might wish, which low widths need.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from ...sim.errors import ModelError
from .network import Float32Array, Float64Array
from .observe import Values
from .points import Point
from .writer import Quantizer

METHODS = ("mse", "percentile", "max")
ODDS = (1, 3, 5, 7)
_PERCENTILE = 99.99
_STEPS = 6  # powers of two below the one that clips nothing
_LEAST, _MOST = -60, 40  # exponents


def quantizer_of(point: Point, values: Values, bits: int, method: str) -> Quantizer:
    """The quantizer of an activation: its scale clips or rounds, whichever loses less. Raises ModelError.

    mse: least mean square of what is lost. percentile: 99.99 % of the values are not clipped. max: none of them is.
    """
    reach = min(max(abs(values.low), abs(values.high)), point.clipped)
    if not np.isfinite(reach):
        raise ModelError(f"activation {point.tensor!r} is not finite on the data: give data as the network was trained on")
    some = values.some.astype(np.float64)
    signed, affine = point.signed, point.maker is None
    if affine:
        signed = values.low < 0
    elif not signed:
        some = np.maximum(some, 0)
    if method != "mse":
        reach = reach if method == "max" else float(np.percentile(np.abs(some), _PERCENTILE))
    rounding = (
        "ROUND" if affine else "HALF_UP" if point.maker is not None and point.maker.op not in ("Conv", "Gemm") else "FLOOR"
    )
    high = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1
    top = int(np.clip(np.ceil(np.log2(max(reach, 1e-12) / high)), _LEAST, _MOST))
    exponents = range(top - _STEPS, top + 1) if method == "mse" else (top,)
    found = [
        candidate
        for exponent in exponents
        for candidate in _candidates(2.0**exponent, bits, signed, rounding, values.low if affine else 0.0)
    ]
    return min(found, key=lambda candidate: _lost(some, candidate))


def _candidates(scale: float, bits: int, signed: bool, rounding: str, low: float) -> Iterable[Quantizer]:
    """With a scale: signed around 0, and for an input that leans to one side unsigned, the least value lowest."""
    yield Quantizer(scale=scale, zero=0, bits=bits, signed=signed, rounding=rounding)
    if low < 0:
        zero = int(np.clip(np.round(-low / scale), 0, (1 << bits) - 1))
        yield Quantizer(scale=scale, zero=zero, bits=bits, signed=False, rounding=rounding)


def _lost(values: Float64Array, found: Quantizer) -> float:
    """Mean square of what a quantizer loses, rounding to the nearest as all of them do in the end."""
    whole = np.clip(np.round(values / found.scale) + found.zero, found.low, found.high)
    return float(np.square(values - (whole - found.zero) * found.scale).mean())


def channel_scales(
    weights: Float64Array, importance: Float64Array, most: int, allowed: npt.NDArray[np.bool_] | None = None
) -> Float32Array:
    """(outputs,) scales of weights (outputs, K) in -most..most: least sum of importance * loss squared, by odd number.

    importance: (outputs, K). allowed: (outputs, len(ODDS)), which odd numbers a channel may take; 1 always.
    """
    largest = np.maximum(np.abs(weights).max(axis=1), 1e-12)
    top = np.clip(np.ceil(np.log2(largest / most)), _LEAST, _MOST)
    best = np.full(len(weights), np.inf)
    scales = np.exp2(top)
    for place, odd in enumerate(ODDS):
        unit = odd / 2.0 ** (odd.bit_length() - 1)
        for down in range(4):
            tried = np.exp2(top - down) * unit
            whole = np.clip(np.round(weights / tried[:, np.newaxis]), -most, most)
            lost = (importance * np.square(weights - whole * tried[:, np.newaxis])).sum(axis=1)
            better = lost < best
            if allowed is not None and odd > 1:
                better &= allowed[:, place]
            best, scales = np.where(better, lost, best), np.where(better, tried, scales)
    return scales.astype(np.float32)


def odd_of(scales: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """The odd number of each scale."""
    whole = (np.frexp(np.asarray(scales, np.float64))[0] * 2.0**24).astype(np.int64)
    return whole // (whole & -whole)

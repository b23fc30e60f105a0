"""What the sums of a layer may be, and how the requantizer makes int8 of them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ...hw.config import LARGEST_SUM
from ...hw.isa import MAX_LEFT_SHIFT
from ...hw.post.requantize import NARROW_BITS
from ..ir import Conv2D, DepthwiseConv2D, FullyConnected, Int8Array
from .layer import Channels, Unsupported

_MAX_RIGHT_SHIFT = 31


def requantized(
    node: Conv2D | DepthwiseConv2D | FullyConnected,
    weights: Int8Array,
    count: int,
    *,
    inputs: tuple[int, int] = (-128, 127),
    lacking: npt.ArrayLike = 0,
) -> dict[str, Any]:
    """The fields of a layer that say how its sums become int8, channel parameters filled up to `count`.

    `weights` are (outputs, K), `inputs` the range of what they multiply; the engine's sums lack `lacking`. The input's zero
    point goes into the bias; padding feeds it to the array.
    """
    check_shifts(node.requant.shift, node.requant.multiplier)
    wide = weights.astype(np.int64)
    bias = node.bias.astype(np.int64) - node.input_zero_point * wide.sum(axis=1)
    largest = max(map(abs, inputs))
    check_sums(largest * np.abs(wide).sum(axis=1) + np.abs(bias) + np.abs(lacking), node.requant.shift)
    zero = node.requant.multiplier == 0
    values = {
        "shift": np.where(zero, -_MAX_RIGHT_SHIFT, node.requant.shift),
        "bias": (bias + lacking).astype(np.int32),
        "multiplier": node.requant.multiplier,
    }
    low, high = (bias + extreme(wide * inputs[0], wide * inputs[1]).sum(axis=1) for extreme in (np.minimum, np.maximum))
    return {
        "pad_value": node.input_zero_point,
        "wide": is_wide(int(low.min()), int(high.max())),
        "channels": Channels(
            **{name: np.pad(value.astype(np.int32), (0, count - len(value))) for name, value in values.items()}
        ),
        "zero_point": node.requant.zero_point,
        "low": node.requant.low,
        "high": node.requant.high,
    }


def uniform(count: int, *, bias: int, multiplier: int, shift: int) -> Channels:
    return Channels(
        shift=np.full(count, shift, np.int32),
        bias=np.full(count, bias, np.int32),
        multiplier=np.full(count, multiplier, np.int32),
    )


def check_weights(weights: Int8Array) -> None:
    if (weights == -128).any():
        raise Unsupported(
            "it has weights of -128, and two products a multiplier need -127 to 127",
            "quantize its weights symmetrically, as TensorFlow Lite's converter does",
        )


def check_sums(largest: npt.NDArray[np.int64], shifts: npt.NDArray[np.int32]) -> None:
    """Refuses what could leave the fabric's accumulator, or the reference's 32 bits when it is shifted to the left."""
    if (largest > LARGEST_SUM).any():
        raise Unsupported(
            f"its sums may reach {int(largest.max()):,}, the fabric's accumulators hold {LARGEST_SUM:,}",
            "split its reduction, or give it smaller weights",
        )
    if (largest << np.maximum(shifts, 0) >= 1 << 31).any():
        raise Unsupported("its sums may leave 32 bits where they are shifted to the left", "requantize its output's scale")


def is_wide(low: int, high: int) -> bool:
    """Whether sums of that range take the requantizer two passes."""
    limit = 1 << (NARROW_BITS - 1)
    return low <= -limit or high >= limit


def check_shifts(shifts: npt.NDArray[np.int32], multipliers: npt.NDArray[np.int32]) -> None:
    bad = (multipliers != 0) & ((shifts > MAX_LEFT_SHIFT) | (shifts < -_MAX_RIGHT_SHIFT))
    if bad.any():
        raise Unsupported(
            f"its output scale needs a shift of {int(shifts[bad][0])}, the requantizer has {-_MAX_RIGHT_SHIFT} to "
            f"{MAX_LEFT_SHIFT}",
            "requantize the model on data that uses the output's range",
        )

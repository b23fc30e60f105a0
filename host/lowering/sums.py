"""What the sums of a layer may be, and how the requantizer makes int8 of them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ...hw.config import BYTE_BITS, DOUBLE_BITS, LARGEST_SUM, FabricConfig
from ...hw.isa import MAX_LEFT_SHIFT
from ...hw.post.requantize import NARROW_BITS
from ..ir import Conv2D, DepthwiseConv2D, FullyConnected, Graph, WeightArray
from .layer import Channels, Unsupported

_MAX_RIGHT_SHIFT = 31


def requantized(
    node: Conv2D | DepthwiseConv2D | FullyConnected,
    weights: WeightArray,
    count: int,
    graph: Graph,
    config: FabricConfig,
    *,
    inputs: tuple[int, int] = (-128, 127),
    lacking: npt.ArrayLike = 0,
) -> dict[str, Any]:
    """The fields of a layer that say how its sums become results, channel parameters filled up to `count`.

    `weights` are (outputs, K) of 8 or 16 bits, `inputs` the range of what they multiply where that is bytes; the engine's sums
    lack `lacking`. The input's zero point goes into the bias; padding feeds it to the array.
    """
    source, target = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    check_shifts(node.requant.shift, node.requant.multiplier)
    wide = weights.astype(np.int64)
    if source.doubled:
        # The array finds a lower byte 128 below what it counts.
        lacking = (1 << (BYTE_BITS - 1)) * wide.sum(axis=1)
        inputs = (-(1 << (source.bits - 1)), (1 << min(source.bits, DOUBLE_BITS - 1)) - 1)
    bias = node.bias.astype(np.int64) - node.input_zero_point * wide.sum(axis=1)
    reach = max(map(abs, inputs)) * np.abs(wide).sum(axis=1) + np.abs(bias) + np.abs(lacking)
    if graph.is_wide(node):
        check_sums(128 * np.abs(wide).sum(axis=1), (1 << (config.accumulator_bits - 1)) - 1, config)
        check_sums(reach, (1 << (config.total_bits - 1)) - 1, config)
        check_sums(np.abs(bias + lacking), (1 << (config.bias_bits - 1)) - 1, config)
    else:
        check_sums(reach, LARGEST_SUM, config)
        check_left_shifts(reach, node.requant.shift)
    zero = node.requant.multiplier == 0
    values = {
        "shift": np.where(zero, -_MAX_RIGHT_SHIFT, node.requant.shift),
        "bias": bias + lacking,
        "multiplier": node.requant.multiplier,
    }
    low, high = (bias + extreme(wide * inputs[0], wide * inputs[1]).sum(axis=1) for extreme in (np.minimum, np.maximum))
    return {
        "pad_value": node.input_zero_point,
        "wide": target.doubled or is_wide(int(low.min()), int(high.max())),
        "round_once": node.requant.once or isinstance(node, FullyConnected),
        "double": target.doubled,
        "passes": 2 if source.doubled else 1,
        "whole": weights.dtype == np.int16,
        "channels": Channels(**{name: _filled(value, count, config, weights) for name, value in values.items()}),
        "zero_point": node.requant.zero_point,
        "low": node.requant.low,
        "high": node.requant.high,
    }


def _filled(values: npt.NDArray[Any], count: int, config: FabricConfig, weights: WeightArray) -> npt.NDArray[Any]:
    """One parameter of all outputs, zeros up to `count`; of weights of 16 bits, half of a tile's are not used."""
    tile = config.cols // weights.itemsize
    outputs = np.pad(values, (0, count // weights.itemsize - len(values)))
    return np.pad(outputs.reshape(-1, tile), ((0, 0), (0, config.cols - tile))).reshape(-1)


def uniform(count: int, *, bias: int, multiplier: int, shift: int) -> Channels:
    return Channels(
        shift=np.full(count, shift, np.int32),
        bias=np.full(count, bias, np.int64),
        multiplier=np.full(count, multiplier, np.int32),
    )


def check_weights(weights: WeightArray) -> None:
    if weights.dtype == np.int8 and (weights == -128).any():
        raise Unsupported(
            "it has weights of -128, and two products a multiplier need -127 to 127",
            "quantize its weights symmetrically, as TensorFlow Lite's converter does",
        )


def check_sums(largest: npt.NDArray[np.int64], limit: int, config: FabricConfig) -> None:
    """Refuses what could leave so much room."""
    if (largest > limit).any():
        raise Unsupported(
            f"its sums may reach {int(largest.max()):,}, the accumulators of {config.name} hold {limit:,}",
            "split its reduction, or give it smaller weights",
        )


def check_left_shifts(largest: npt.NDArray[np.int64], shifts: npt.NDArray[np.int32]) -> None:
    """Refuses what could leave the reference's 32 bits when it is shifted to the left."""
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

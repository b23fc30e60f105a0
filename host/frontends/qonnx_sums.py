"""What a layer of whole numbers can add up to, and how exact the executor's float32 sums are.

They are exact where float32 holds every partial sum: scales of few bits (powers of two above all) times whole numbers that stay
below 2**24 together. Otherwise `slack` bounds what rounding may add.
"""

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np
import numpy.typing as npt

from ...sim.errors import ModelError
from ..ir import Node
from .qonnx_builder import channels_last
from .qonnx_functions import per_channel
from .qonnx_reader import StoredNode
from .qonnx_values import Constant, Float32Array, Float64Array, Grid, Int64Array, Quantized, Shape, Sums

_EXACT = 1 << 24  # whole numbers below it are float32 numbers
_EPSILON = 1.01 * 2.0**-24  # relative rounding error of a float32 operation, and a little for the errors' own products
_LARGEST_SUM = (1 << 31) - 1
_LARGEST_WIDE_SUM = (1 << 38) - 1
_HALF = 1 << 15


def with_bias(sums: Sums, bias: Constant, *, first: bool) -> Sums:
    """The sums and a bias in floating point, which the executor adds behind them, or `first` of all."""
    values = per_channel(bias, sums.shape)
    slack = sums.slack
    if first:
        unit = _unit(sums.scale.astype(np.float64))
        whole = np.abs(values.astype(np.float64)) / unit
        reach = np.maximum(np.abs(sums.low), np.abs(sums.high)) * sums.scale / unit
        exact = (slack == 0) & (whole == np.round(whole)) & (whole + reach < _EXACT)
        terms = prod(sums.weights.shape[1:]) + 1
        slack = np.where(exact, 0.0, slack + _EPSILON * terms * (whole + reach) * unit)
    return replace(sums, slack=slack, functions=(*sums.functions, lambda x: x + values))


def check_whole(weights: npt.NDArray[np.int8], channels: int) -> None:
    """Refuses the weights of slices, which repeat: a depthwise layer keeps its channels together."""
    if len(weights) != channels:
        raise ModelError("it leaves the model with sums that do not fit a byte: put a quantizer of 8 bits behind it")


def grid_of(weights: Constant) -> Grid:
    """The whole numbers of a layer's weights, of 16 bits at most, and their scales. Raises ModelError."""
    grid = weights.weights()
    if grid is None:
        raise ModelError("its weights are not quantized: put a quantizer of 16 bits or fewer before them")
    if grid.whole.size and (grid.whole.min() < -_HALF or grid.whole.max() >= _HALF):
        raise ModelError(
            f"its weights reach from {grid.whole.min()} to {grid.whole.max()}, and signed 16 bits from -{_HALF} to {_HALF - 1}:"
            " quantize them to signed 16 bits or fewer"
        )
    return grid


def sums_of(
    node: StoredNode,
    x: Quantized,
    shape: Shape,
    whole: Int64Array,
    scale: Float32Array,
    make: Callable[..., Node],
    *,
    padded: bool,
    tensor_shape: Shape | None = None,
) -> Sums:
    """Weights whole (outputs, ...) with scale (outputs, n): what their sums can be, and how exact the executor's are."""
    outputs = len(whole)
    rows = scale.reshape(outputs, -1)
    if (rows != rows[:, :1]).any():
        raise ModelError("the scale of its weights varies within an output channel: quantize weights per tensor or per output")
    if not (np.isfinite(rows).all() and (rows > 0).all()):
        raise ModelError("the scale of its weights must be a positive number: the file is damaged")
    flat = whole.reshape(outputs, -1)
    least, most = x.low - x.zero_point, x.high - x.zero_point
    if padded:
        least, most = min(least, 0), max(most, 0)
    low = np.minimum(flat * least, flat * most).sum(axis=1)
    high = np.maximum(flat * least, flat * most).sum(axis=1)
    reach = np.abs(flat).sum(axis=1) * max(abs(least), abs(most))
    wide = x.wide or bool(flat.min() < -128 or flat.max() > 127)
    if reach.max() > (_LARGEST_WIDE_SUM if wide else _LARGEST_SUM):
        raise ModelError(f"its sums may reach {int(reach.max()):,}, and must fit {39 if wide else 32} bits: split it")
    unit = rows[:, 0].astype(np.float64) * np.float64(x.scale)
    bits = _odd(rows[:, 0]) * _odd(np.array([x.scale]))
    exact = reach.astype(np.float64) * bits < _EXACT
    terms = flat.shape[1] + 3
    return Sums(
        make=make,
        label=str(node),
        name=node.name or node.outputs[0],
        shape=shape,
        tensor_shape=channels_last(shape) if tensor_shape is None else tensor_shape,
        weights=whole,
        scale=unit,
        slack=np.where(exact, 0.0, terms * _EPSILON * reach * unit),
        low=low,
        high=high,
        once=len(shape) == 2 and tensor_shape is None,
        wide=wide,
    )


def _odd(scale: npt.NDArray[np.float32]) -> Float64Array:
    """The odd whole number that a power of two makes of each scale."""
    mantissa = np.frexp(np.asarray(scale, np.float64))[0] * 2.0**24
    whole = mantissa.astype(np.int64)
    return (whole // (whole & -whole)).astype(np.float64)


def _unit(scale: Float64Array) -> Float64Array:
    """The largest power of two that each scale, a product of two float32 numbers, is a multiple of."""
    fraction, exponent = np.frexp(scale)
    whole = (fraction * 2.0**53).astype(np.int64)
    return np.ldexp((whole & -whole).astype(np.float64), exponent - 53)

"""Operators that add up: convolutions, matrix products, averages. Each becomes the sums of a layer of whole numbers.

Sums are the executor's own where float32 holds every partial sum: scales of few bits (powers of two above all) times whole
numbers that stay below 2**24 together. Otherwise `slack` bounds what its rounding may add.
"""

from math import prod
from typing import Any

import numpy as np

from ...sim.errors import ModelError
from ...sim.golden.windows import output_size
from ..ir import Conv2D, DepthwiseConv2D, FullyConnected, Padding, Pair
from .qonnx_builder import Builder, as_channels_last, channels_last
from .qonnx_functions import per_channel
from .qonnx_reader import StoredNode
from .qonnx_values import Constant, Grid, Int64Array, Quantized, Shape, Sums

_EXACT = 1 << 24  # whole numbers below it are float32 numbers
_EPSILON = 2.0**-24  # relative rounding error of a float32 operation
_LARGEST_SUM = (1 << 31) - 1


def conv(node: StoredNode, builder: Builder, x: Quantized, weights: Constant) -> Sums:
    """Conv in two dimensions, any stride, dilation, padding and groups."""
    grid = _grid(weights)
    if len(x.shape) != 4 or grid.whole.ndim != 4:
        raise ModelError(f"its input must have the shape (1, channels, height, width), not {x.shape}: reshape it to that")
    _, channels, height, width = x.shape
    outputs, depth, kernel_h, kernel_w = grid.whole.shape
    groups = int(node.attributes.get("group", 1))
    if groups < 1 or depth * groups != channels or outputs % groups or not grid.whole.size:
        raise ModelError(
            f"its weights of shape {grid.whole.shape} in {groups} groups do not fit an input of {channels} channels"
        )
    stride, dilation, padding, (rows, columns) = windows(node, (height, width), (kernel_h, kernel_w))
    tensor = builder.arranged(x.tensor, as_channels_last(x.index), node.name or node.outputs[0])
    fields: dict[str, Any] = {
        "inputs": (tensor,),
        "input_zero_point": x.zero_point,
        "stride": stride,
        "dilation": dilation,
        "padding": padding,
    }
    scale = grid.scale.reshape(outputs, -1)
    shape = (1, outputs, rows, columns)
    padded = any(sum(padding, ()))
    if groups == channels and groups > 1:
        multiplier = outputs // channels

        def depthwise(*, weights: Any, bias: Any, **names: Any) -> DepthwiseConv2D:
            _check_whole(weights, outputs)
            return DepthwiseConv2D(
                weights=np.ascontiguousarray(weights[:, 0].transpose(1, 2, 0)),
                bias=bias,
                depth_multiplier=multiplier,
                **fields,
                **names,
            )

        return _sums(node, x, shape, grid.whole, scale, depthwise, padded=padded)

    def dense(*, weights: Any, bias: Any, **names: Any) -> Conv2D:
        return Conv2D(weights=np.ascontiguousarray(weights.transpose(0, 2, 3, 1)), bias=bias, **fields, **names)

    return _sums(node, x, shape, grid.whole, scale, dense, padded=padded)


def fully_connected(node: StoredNode, x: Quantized, weights: Constant, *, transposed: bool) -> Sums:
    """A matrix product with constant weights (K, outputs), or (outputs, K) where `transposed`."""
    grid = _grid(weights)
    if grid.whole.ndim != 2 or not grid.whole.size:
        raise ModelError(f"its weights must be a matrix, not of shape {grid.whole.shape}")
    if not transposed:
        grid = grid.moved(np.transpose)
    outputs, depth = grid.whole.shape
    if x.shape != (1, depth):
        raise ModelError(f"its input must have the shape (1, {depth}), not {x.shape}: flatten it")
    # The tensor stays as it lies: the weights are sorted instead.
    whole = np.zeros_like(grid.whole)
    whole[:, x.index[0]] = grid.whole

    def matrix(*, weights: Any, bias: Any, **names: Any) -> FullyConnected:
        return FullyConnected(inputs=(x.tensor,), input_zero_point=x.zero_point, weights=weights, bias=bias, **names)

    return _sums(node, x, (1, outputs), whole, grid.scale, matrix, padded=False)


def average(node: StoredNode, builder: Builder, x: Quantized, kernel: Pair) -> Sums:
    """Average pooling: a depthwise convolution with ones, then the division."""
    if len(x.shape) != 4:
        raise ModelError(f"its input must have the shape (1, channels, height, width), not {x.shape}: reshape it to that")
    _, channels, height, width = x.shape
    stride, dilation, padding, (rows, columns) = windows(node, (height, width), kernel)
    padded = any(sum(padding, ()))
    if padded and not node.attributes.get("count_include_pad", 0):
        raise ModelError("its windows at the border count fewer elements: pool without padding, or with count_include_pad")
    return each(
        node, builder, x, kernel=kernel, shape=(1, channels, rows, columns), stride=stride, dilation=dilation, padding=padding
    )


def each(
    node: StoredNode,
    builder: Builder,
    x: Quantized,
    *,
    kernel: Pair = (1, 1),
    shape: Shape | None = None,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
) -> Sums:
    """Sums over windows, channel by channel; by default every element as it is, for what waits for another quantizer."""
    shape = x.shape if shape is None else shape
    if len(x.shape) == 4:
        index = as_channels_last(x.index)
        tensor_shape = channels_last(shape)
    elif len(x.shape) == 2:
        index = x.index.reshape(1, 1, 1, -1)
        tensor_shape = (1, 1, 1, shape[1])
    else:
        raise ModelError(f"its input has the shape {x.shape}: flatten it, or give it channels, height and width")
    tensor = builder.arranged(x.tensor, index, node.name or node.outputs[0])

    def depthwise(*, weights: Any, bias: Any, **names: Any) -> DepthwiseConv2D:
        _check_whole(weights, shape[1])
        return DepthwiseConv2D(
            inputs=(tensor,),
            input_zero_point=x.zero_point,
            weights=np.ascontiguousarray(weights.reshape(-1, *kernel).transpose(1, 2, 0)),
            bias=bias,
            stride=stride,
            dilation=dilation,
            padding=padding,
            **names,
        )

    ones = np.ones((shape[1], 1, *kernel), np.int64)
    scale = np.ones((shape[1], 1), np.float32)
    return _sums(node, x, shape, ones, scale, depthwise, padded=any(sum(padding, ())), tensor_shape=tensor_shape)


def with_bias(node: StoredNode, sums: Sums, bias: Constant, *, first: bool) -> Sums:
    """The sums and a bias in floating point, which the executor adds behind them, or `first` of all."""
    values = per_channel(bias, sums.shape)
    slack = sums.slack
    if first:
        unit = _unit(sums.scale.astype(np.float64))
        whole = np.abs(values.astype(np.float64)) / unit
        reach = np.maximum(np.abs(sums.low), np.abs(sums.high)) * sums.scale / unit
        exact = (slack == 0) & (whole == np.round(whole)) & (whole + reach < _EXACT)
        terms = prod(sums.weights.shape[1:]) + 1
        slack = np.where(exact, 0.0, slack + _EPSILON * 1.01 * terms * (whole + reach) * unit)
    return replaced(sums, slack=slack, functions=(*sums.functions, lambda x: x + values))


def replaced(sums: Sums, **fields: Any) -> Sums:
    """The sums with other fields."""
    return Sums(**{**vars(sums), **fields})


def windows(node: StoredNode, size: Pair, kernel: Pair) -> tuple[Pair, Pair, Padding, Pair]:
    """(stride, dilation, padding, output size) of a node's windows. Raises ModelError."""
    attributes = node.attributes
    if tuple(attributes.get("kernel_shape", kernel)) != kernel:
        raise ModelError(
            f"its kernel_shape {attributes['kernel_shape']} must be that of its weights, {kernel}: the file is damaged"
        )
    stride, dilation = _numbers(node, "strides", (1, 1), 1), _numbers(node, "dilations", (1, 1), 1)
    pads = _numbers(node, "pads", (0, 0, 0, 0), 0)
    automatic = attributes.get("auto_pad", "NOTSET")
    if automatic not in ("NOTSET", "VALID", ""):
        raise ModelError(f"its padding is {automatic}: export the model with explicit pads")
    if attributes.get("ceil_mode", 0):
        raise ModelError("its ceil_mode must be 0: pad explicitly instead")
    top, left, bottom, right = pads
    padding: Padding = ((top, bottom), (left, right))
    outputs = tuple(
        output_size(extent, k, s, d, p) for extent, k, s, d, p in zip(size, kernel, stride, dilation, padding, strict=True)
    )
    if min(outputs) < 1 or prod(outputs) > 1 << 24:
        raise ModelError(f"its window of {kernel} does not fit an input of {size}")
    return (stride[0], stride[1]), (dilation[0], dilation[1]), padding, (outputs[0], outputs[1])


def _numbers(node: StoredNode, name: str, default: tuple[int, ...], least: int) -> tuple[int, ...]:
    values = node.attributes.get(name) or default
    numbers = tuple(int(value) for value in values)
    if len(numbers) != len(default) or min(numbers) < least or max(numbers) > 1 << 15:
        raise ModelError(f"its {name} must be {len(default)} numbers of {least} or more, not {numbers}")
    return numbers


def _check_whole(weights: Int64Array, channels: int) -> None:
    if len(weights) != channels:
        raise ModelError("it leaves the model with sums that do not fit a byte: put a quantizer of 8 bits behind it")


def _grid(weights: Constant) -> Grid:
    grid = weights.weights()
    if grid is None:
        raise ModelError("its weights are not quantized: put a quantizer of 8 bits or fewer before them")
    if grid.whole.size and (grid.whole.min() < -128 or grid.whole.max() > 127):
        raise ModelError(
            f"its weights reach from {grid.whole.min()} to {grid.whole.max()}, and bytes from -128 to 127: quantize them to"
            " signed 8 bits"
        )
    return grid


def _sums(
    node: StoredNode,
    x: Quantized,
    shape: Shape,
    whole: Int64Array,
    scale: Any,
    make: Any,
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
    if reach.max() > _LARGEST_SUM:
        raise ModelError(f"its sums may reach {int(reach.max()):,}, and must fit 32 bits: split it")
    unit = rows[:, 0].astype(np.float64) * np.float64(x.scale)
    bits = _odd(rows[:, 0]) * _odd(np.array([x.scale]))
    products = np.abs(flat).max(axis=1) * max(abs(least), abs(most))
    exact = (reach.astype(np.float64) * bits < _EXACT) & (products * bits < _EXACT)
    terms = flat.shape[1] + 3
    return Sums(
        make=make,
        label=str(node),
        name=node.name or node.outputs[0],
        shape=shape,
        tensor_shape=channels_last(shape) if tensor_shape is None else tensor_shape,
        weights=whole,
        scale=unit,
        slack=np.where(exact, 0.0, terms * _EPSILON * 1.01 * reach * unit),
        low=low,
        high=high,
        once=len(shape) == 2 and tensor_shape is None,
    )


def _odd(scale: Any) -> Any:
    """The odd whole number that a power of two makes of each scale."""
    mantissa = np.frexp(np.asarray(scale, np.float64))[0] * 2.0**24
    whole = mantissa.astype(np.int64)
    return (whole // (whole & -whole)).astype(np.float64)


def _unit(scale: Any) -> Any:
    """The largest power of two that each scale, a product of two float32 numbers, is a multiple of."""
    fraction, exponent = np.frexp(scale)
    whole = (fraction * 2.0**53).astype(np.int64)
    return np.ldexp((whole & -whole).astype(np.float64), exponent - 53)

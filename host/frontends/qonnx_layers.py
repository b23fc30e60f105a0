"""Operators that add up: convolutions, matrix products, averages. Each becomes the sums of a layer of whole numbers."""

from math import prod
from typing import Any

import numpy as np

from ...sim.errors import ModelError
from ...sim.golden.windows import output_size
from ..ir import Conv2D, DepthwiseConv2D, FullyConnected, Padding, Pair
from .qonnx_builder import Builder, as_channels_last, channels_last
from .qonnx_reader import StoredNode
from .qonnx_sums import check_whole, grid_of, sums_of
from .qonnx_values import Constant, Quantized, Shape, Sums


def conv(node: StoredNode, builder: Builder, x: Quantized, weights: Constant) -> Sums:
    """Conv in two dimensions, any stride, dilation, padding and groups."""
    grid = grid_of(weights)
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
            check_whole(weights, outputs)
            return DepthwiseConv2D(
                weights=np.ascontiguousarray(weights[:, 0].transpose(1, 2, 0)),
                bias=bias,
                depth_multiplier=multiplier,
                **fields,
                **names,
            )

        return sums_of(node, x, shape, grid.whole, scale, depthwise, padded=padded)

    def dense(*, weights: Any, bias: Any, **names: Any) -> Conv2D:
        return Conv2D(weights=np.ascontiguousarray(weights.transpose(0, 2, 3, 1)), bias=bias, **fields, **names)

    return sums_of(node, x, shape, grid.whole, scale, dense, padded=padded)


def fully_connected(node: StoredNode, x: Quantized, weights: Constant, *, transposed: bool) -> Sums:
    """A matrix product with constant weights (K, outputs), or (outputs, K) where `transposed`."""
    grid = grid_of(weights)
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

    return sums_of(node, x, (1, outputs), whole, grid.scale, matrix, padded=False)


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
        check_whole(weights, shape[1])
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
    return sums_of(node, x, shape, ones, scale, depthwise, padded=any(sum(padding, ())), tensor_shape=tensor_shape)


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


def kernel_of(node: StoredNode) -> Pair:
    """The window of a pooling. Raises ModelError."""
    kernel = tuple(int(size) for size in node.attributes.get("kernel_shape", ()))
    if len(kernel) != 2 or min(kernel) < 1 or max(kernel) > 1 << 12:
        raise ModelError(f"its kernel_shape must be two sizes, not {kernel}: pool in two dimensions")
    return kernel[0], kernel[1]

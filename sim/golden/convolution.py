"""Dense and depthwise convolution of images, exact.

A padded position holds the input's zero point: it adds nothing. The sums of int8 are 32 bits wide and wrap, as in the
reference; where images or weights are int16, they are 64 bits wide.
"""

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from .requantize import Int8Array, NumberArray, requantize
from .windows import NO_PADDING, Padding, Pair, output_size, patches, surround, taps

_CHUNK = 1 << 20  # elements of im2col at a time: what stays in a cache
_FLOAT32_EXACT = 1 << 24  # integers up to here, and their sums, are exact in float32


def conv2d_sums(
    x: NumberArray,
    weights: NumberArray,
    bias: NumberArray,
    *,
    input_zero_point: int,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    padding: Padding = NO_PADDING,
) -> NumberArray:
    """acc[n, i, j, o] = sum_{y, x, c} (in[n, ...] - input_zero_point) * weights[o, y, x, c] + bias[o].

    Shapes: x (N, height, width, channels), weights (outputs, kernel_h, kernel_w, channels / groups), bias (outputs,);
    result (N, rows, cols, outputs). Output o belongs to group o // (outputs / groups) and sees that group's channels.
    """
    outputs, kernel_h, kernel_w, depth = weights.shape
    samples, height, width, channels = x.shape
    groups = channels // depth
    rows = output_size(height, kernel_h, stride[0], dilation[0], padding[0])
    cols = output_size(width, kernel_w, stride[1], dilation[1], padding[1])
    acc = np.empty((samples, rows, cols, outputs), _sum_type(x, weights))

    # BLAS adds in any order: exact if no partial sum of any order can leave the integers that the float type holds.
    matrix = weights.reshape(groups, outputs // groups, -1)
    largest = int(np.abs(matrix.astype(np.int64)).sum(axis=2).max()) * (-np.iinfo(x.dtype).min + abs(input_zero_point))
    dtype: type[np.float32] | type[np.float64] = np.float32 if largest < _FLOAT32_EXACT else np.float64
    columns = matrix.astype(dtype).transpose(0, 2, 1)

    row = cols * kernel_h * kernel_w * channels
    step, row_step = max(1, _CHUNK // (rows * row)), max(1, _CHUNK // row)
    for first, top, group in product(range(0, samples, step), range(0, rows, row_step), range(groups)):
        if top == group == 0:
            shifted = surround(x[first : first + step], padding, dtype, input_zero_point, 0)
            view = patches(shifted, (kernel_h, kernel_w), stride, dilation)
        vectors = view[:, top : top + row_step, ..., group * depth : (group + 1) * depth]
        sums = (vectors.reshape(-1, kernel_h * kernel_w * depth) @ columns[group]).astype(np.int64)
        own = slice(group * (outputs // groups), (group + 1) * (outputs // groups))
        sums += bias[own]
        target = acc[first : first + step, top : top + row_step, :, own]
        target[...] = sums.reshape(target.shape)
    return acc


def conv2d(
    x: Int8Array,
    weights: NumberArray,
    bias: NumberArray,
    *,
    input_zero_point: int,
    multiplier: npt.ArrayLike,
    shift: npt.ArrayLike,
    output_zero_point: int,
    low: int = -128,
    high: int = 127,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    padding: Padding = NO_PADDING,
) -> Int8Array:
    """requantize(conv2d_sums(...), multiplier, shift, output_zero_point, low, high), with parameters for each output.

    Source: TensorFlow Lite `reference_integer_ops::ConvPerChannel`.
    """
    acc = conv2d_sums(x, weights, bias, input_zero_point=input_zero_point, stride=stride, dilation=dilation, padding=padding)
    return _requantize_samples(acc, multiplier, shift, output_zero_point, low, high)


def depthwise_conv2d_sums(
    x: NumberArray,
    weights: NumberArray,
    bias: NumberArray,
    *,
    input_zero_point: int,
    depth_multiplier: int = 1,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    padding: Padding = NO_PADDING,
) -> NumberArray:
    """acc[n, i, j, o] = sum_{y, x} (in[n, ..., o // depth_multiplier] - input_zero_point) * weights[y, x, o] + bias[o].

    Shapes: x (N, height, width, channels), weights (kernel_h, kernel_w, channels * depth_multiplier), bias (outputs,).
    """
    kernel_h, kernel_w, outputs = weights.shape
    samples, height, width, _ = x.shape
    rows = output_size(height, kernel_h, stride[0], dilation[0], padding[0])
    cols = output_size(width, kernel_w, stride[1], dilation[1], padding[1])
    wide = _sum_type(x, weights)
    acc = np.empty((samples, rows, cols, outputs), wide)
    step = max(1, _CHUNK // max(1, height * width * outputs))
    for first in range(0, samples, step):
        part = slice(first, first + step)
        shifted = surround(x[part], padding, wide, input_zero_point, 0).repeat(depth_multiplier, axis=3)
        sums = np.broadcast_to(bias, (shifted.shape[0], rows, cols, outputs)).astype(wide)
        for i, j, tap in taps(shifted, (kernel_h, kernel_w), stride, dilation):
            sums += tap * weights[i, j].astype(wide)
        acc[part] = sums
    return acc


def depthwise_conv2d(
    x: Int8Array,
    weights: NumberArray,
    bias: NumberArray,
    *,
    input_zero_point: int,
    multiplier: npt.ArrayLike,
    shift: npt.ArrayLike,
    output_zero_point: int,
    low: int = -128,
    high: int = 127,
    depth_multiplier: int = 1,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    padding: Padding = NO_PADDING,
) -> Int8Array:
    """requantize(depthwise_conv2d_sums(...), multiplier, shift, output_zero_point, low, high).

    Source: TensorFlow Lite `reference_integer_ops::DepthwiseConvPerChannel`.
    """
    acc = depthwise_conv2d_sums(
        x,
        weights,
        bias,
        input_zero_point=input_zero_point,
        depth_multiplier=depth_multiplier,
        stride=stride,
        dilation=dilation,
        padding=padding,
    )
    return _requantize_samples(acc, multiplier, shift, output_zero_point, low, high)


def _sum_type(x: NumberArray, weights: NumberArray) -> type[np.signedinteger[Any]]:
    return np.int64 if np.int16 in (x.dtype, weights.dtype) else np.int32


def _requantize_samples(
    acc: NumberArray, multiplier: npt.ArrayLike, shift: npt.ArrayLike, zero_point: int, low: int, high: int
) -> Int8Array:
    """`requantize` a few samples at a time: its 64-bit intermediates then stay in a cache."""
    result = np.empty(acc.shape, np.int8)
    step = max(1, (_CHUNK // 8) // max(1, acc[:1].size))
    for first in range(0, len(acc), step):
        part = slice(first, first + step)
        result[part] = requantize(acc[part], multiplier, shift, zero_point, low, high)
    return result

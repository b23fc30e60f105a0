"""Layers of the systolic array: dense convolutions, and fully-connected layers as such.

Where outputs have so few channels that columns of the array would idle, neighbours of a row are computed as one pixel of more
channels: its kernel is wider, with zeros where an output's own does not reach, and its stride so much longer. They share what a
step reads, and lie side by side in memory as they would:

    row of the input      a b c d e f g ...        outputs of 3 columns, stride 2, as pairs of 5 columns, stride 4
    first of a pair       w w w 0 0
    second of a pair      0 0 w w w
"""

from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

import numpy as np

from ...hw.config import FabricConfig
from ...hw.isa import Operation
from ..ir import Conv2D, DepthwiseConv2D, FullyConnected, Graph, Int8Array, WeightArray
from .layer import Layer
from .sums import check_weights, requantized

_Node = TypeVar("_Node", bound=Conv2D | DepthwiseConv2D)


def convolution(
    node: Conv2D | DepthwiseConv2D,
    weights: WeightArray,
    graph: Graph,
    config: FabricConfig,
    *,
    transposed: bool = False,
    neighbours: int = 1,
) -> Layer:
    """The walk of a dense convolution; weights (outputs, kernel_h, kernel_w, channels). So many `neighbours` are one pixel."""
    check_weights(weights)
    single = node
    node, weights = _side_by_side(node, weights, neighbours)
    _, height, width, channels = graph.tensors[node.inputs[0]].shape
    _, output_rows, output_columns, _ = graph.tensors[node.output].shape
    output_columns //= neighbours
    outputs, kernel_h, kernel_w, _ = weights.shape
    (top, _), (left, _) = node.padding
    stride, dilation = node.stride, node.dilation
    write_strides = output_columns * outputs, outputs
    # A map of one column lies in memory as its transpose does.
    if transposed or (width == 1 and kernel_w == 1 and output_columns == 1 and left == 0):
        weights = weights.transpose(0, 2, 1, 3)
        height, width, output_rows, output_columns = width, height, output_columns, output_rows
        kernel_h, kernel_w, top, left = kernel_w, kernel_h, left, top
        stride, dilation, write_strides = stride[::-1], dilation[::-1], write_strides[::-1]
    merged = dilation[1] == 1 or kernel_w == 1
    packed = _pack_dense(weights, config, merged=merged)
    run = kernel_w * channels if merged else channels
    return Layer(
        node=single,
        operation=Operation.MAC,
        inputs=node.inputs,
        output=node.output,
        output_channels=outputs,
        chunks=-(-run // config.rows),
        kernel_rows=kernel_h,
        kernel_columns=1 if merged else kernel_w,
        output_rows=output_rows,
        output_columns=output_columns,
        tiles=len(packed),
        column_start=-left * channels,
        column_limit=width * channels,
        row_start=-top,
        row_limit=height,
        row_pitch=width * channels,
        output_row_step=stride[0],
        kernel_row_step=dilation[0],
        output_column_stride=stride[1] * channels,
        kernel_column_stride=dilation[1] * channels,
        write_row_stride=write_strides[0],
        write_column_stride=write_strides[1],
        transposed=transposed,
        weights=packed,
        **requantized(node, weights.reshape(len(weights), -1), packed.shape[0] * config.cols, graph, config),
    )


def best_neighbours(node: Conv2D, weights: WeightArray, graph: Graph, config: FabricConfig) -> int:
    """How many neighbours of a row take the fewest steps as one pixel; 1 where that is no gain, or cannot be.

    They must make up the row, as the last ones would else be written over what lies behind it.
    """
    target = graph.tensors[node.output]
    outputs, _, kernel_w, channels = weights.shape
    if target.packed or target.planes or graph.is_wide(node) or (node.dilation[1] != 1 and kernel_w != 1):
        return 1

    def steps(neighbours: int) -> Fraction:
        """Of one output, in a row of the kernel."""
        run = (kernel_w + (neighbours - 1) * node.stride[1]) * channels
        return Fraction(-(-neighbours * outputs // config.cols) * -(-run // config.rows), neighbours)

    return min((count for count in range(1, config.cols + 1) if target.shape[2] % count == 0), key=steps)


def _side_by_side(node: _Node, weights: WeightArray, count: int) -> tuple[_Node, WeightArray]:
    """A convolution, but for its tensors, that makes `count` neighbours of a row one pixel."""
    if count == 1:
        return node, weights
    stride = node.stride[1]
    outputs, kernel_h, kernel_w, channels = weights.shape
    wide = np.zeros((count, outputs, kernel_h, kernel_w + (count - 1) * stride, channels), weights.dtype)
    for place, own in enumerate(wide):
        own[:, :, place * stride : place * stride + kernel_w] = weights
    requant = replace(
        node.requant, multiplier=np.tile(node.requant.multiplier, count), shift=np.tile(node.requant.shift, count)
    )
    many = replace(
        node,
        bias=np.tile(node.bias, count),
        requant=requant,
        stride=(node.stride[0], count * stride),
        dilation=(node.dilation[0], 1),
    )
    return many, wide.reshape(count * outputs, *wide.shape[2:])


def fully_connected(node: FullyConnected, graph: Graph, config: FabricConfig) -> Layer:
    """A convolution of one row of M pixels, kernel 1x1."""
    outputs, depth = node.weights.shape
    pixels = graph.tensors[node.inputs[0]].size // depth
    weights = node.weights.reshape(outputs, 1, 1, depth)
    check_weights(weights)
    packed = _pack_dense(weights, config, merged=True)
    return Layer(
        node=node,
        operation=Operation.MAC,
        inputs=node.inputs,
        output=node.output,
        output_channels=outputs,
        chunks=-(-depth // config.rows),
        kernel_rows=1,
        output_columns=pixels,
        tiles=packed.shape[0],
        column_limit=pixels * depth,
        row_limit=1,
        row_pitch=pixels * depth,
        output_column_stride=depth,
        write_column_stride=outputs,
        weights=packed,
        **requantized(node, weights.reshape(len(weights), -1), packed.shape[0] * config.cols, graph, config),
    )


def ungrouped(weights: WeightArray, channels: int) -> WeightArray:
    """The weights of a grouped convolution as a dense one's, with zeros between the groups."""
    outputs, kernel_h, kernel_w, depth = weights.shape
    if depth == channels:
        return weights
    groups = channels // depth
    dense = np.zeros((outputs, kernel_h, kernel_w, channels), weights.dtype)
    for group in range(groups):
        rows = slice(group * outputs // groups, (group + 1) * outputs // groups)
        dense[rows, :, :, group * depth : (group + 1) * depth] = weights[rows]
    return dense


def _pack_dense(weights: WeightArray, config: FabricConfig, *, merged: bool) -> Int8Array:
    """(outputs, kernel_h, kernel_w, channels) to (tiles, steps, rows, cols), zeros where a chunk or a tile is not full.

    Of weights of 16 bits, a tile has half as many outputs, and in each row an output's two bytes lie side by side.
    """
    outputs, kernel_h, kernel_w, _ = weights.shape
    runs = kernel_h if merged else kernel_h * kernel_w
    length = weights[0].size // runs
    tile = config.cols // weights.itemsize
    tiles, chunks = -(-outputs // tile), -(-length // config.rows)
    padded = np.zeros((tiles * tile, runs, chunks * config.rows), weights.dtype.newbyteorder("<"))
    padded[:outputs, :, :length] = weights.reshape(outputs, runs, length)
    blocks = padded.reshape(tiles, tile, runs, chunks, config.rows)
    words = np.ascontiguousarray(blocks.transpose(0, 2, 3, 4, 1)).view(np.int8)
    return words.reshape(tiles, runs * chunks, config.rows, config.cols)

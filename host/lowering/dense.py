"""Layers of the systolic array: dense convolutions, and fully-connected layers as such."""

import numpy as np

from ...hw.config import FabricConfig
from ...hw.isa import Operation
from ..ir import Conv2D, DepthwiseConv2D, FullyConnected, Graph, Int8Array, WeightArray
from .layer import Layer
from .sums import check_weights, requantized


def convolution(
    node: Conv2D | DepthwiseConv2D, weights: WeightArray, graph: Graph, config: FabricConfig, *, transposed: bool = False
) -> Layer:
    """The walk of a dense convolution; weights (outputs, kernel_h, kernel_w, channels)."""
    check_weights(weights)
    _, height, width, channels = graph.tensors[node.inputs[0]].shape
    _, output_rows, output_columns, outputs = graph.tensors[node.output].shape
    _, kernel_h, kernel_w, _ = weights.shape
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
        node=node,
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

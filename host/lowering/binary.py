"""Layers of the XNOR engine: what `passes.pack_bits` calls binary."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...hw.config import BYTE_BITS, XNOR_TILES, FabricConfig
from ...hw.isa import Operation
from ...hw.xnor.array import LEAST_TILES
from ...sim import golden
from ..ir import Conv2D, FullyConnected, Graph, Int8Array, Pair, WeightArray
from .layer import Channels, Layer, Pixels, Unsupported


class Convolution(NamedTuple):
    """Weights (outputs, kernel_h, kernel_w, channels), and by axis: the map, the outputs, the padding before it, steps."""

    weights: WeightArray
    extent: Pair
    outputs: Pair
    before: Pair
    stride: Pair
    dilation: Pair


def as_convolution(node: Conv2D | FullyConnected, graph: Graph) -> Convolution:
    """The node as a convolution; a fully-connected layer of one row of pixels, kernel 1x1."""
    source, target = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    if isinstance(node, FullyConnected):
        outputs, depth = node.weights.shape
        row = (1, source.size // depth)
        return Convolution(node.weights.reshape(outputs, 1, 1, depth), row, row, (0, 0), (1, 1), (1, 1))
    (_, *extent, _), (_, *outputs, _) = source.shape, target.shape
    (top, _), (left, _) = node.padding
    return Convolution(node.weights, (extent[0], extent[1]), (outputs[0], outputs[1]), (top, left), node.stride, node.dilation)


def binary_layer(node: Conv2D | FullyConnected, graph: Graph, config: FabricConfig) -> Layer:
    """The walk of a binary layer on the XNOR engine: groups of tiles, whose weights pass by each block of pixels."""
    target = graph.tensors[node.output]
    weights, (height, width), (output_rows, output_columns), (top, left), stride, dilation = as_convolution(node, graph)
    outputs, kernel_h, kernel_w, channels = weights.shape
    channel_bytes = channels // BYTE_BITS
    run = kernel_w * channel_bytes
    chunks = -(-run // config.rows)
    groups = -(-outputs // (XNOR_TILES * config.rows))
    count = min(config.xnor_pixels, output_columns)
    tiles = max(-(-outputs // (groups * config.rows)), count, LEAST_TILES)
    blocks = -(-output_columns // config.xnor_pixels)
    last = output_columns - (blocks - 1) * config.xnor_pixels
    column = stride[1] * channel_bytes
    packed = _pack_binary(weights, config, tiles=tiles, groups=groups)
    if packed.shape[1] > config.weight_depth:
        raise Unsupported(
            f"{tiles} tiles of its outputs take {packed.shape[1]} words of weights, {config.name} holds {config.weight_depth}",
            "take a fabric with a deeper weight buffer (weight_depth)",
        )
    # What sums begin with: any beyond what they reach decides alike.
    reach = BYTE_BITS * run * kernel_h
    biases = np.clip(-1 - (node.bias.astype(np.int64) >> 1), -reach - 1, reach)
    filled = np.pad(biases, (0, groups * tiles * config.rows - outputs))
    unused = np.zeros(len(filled), np.int32)
    written = outputs // BYTE_BITS if target.packed else outputs
    return Layer(
        node=node,
        operation=Operation.XNOR,
        inputs=node.inputs,
        output=node.output,
        output_channels=outputs,
        chunks=tiles,
        kernel_rows=kernel_h,
        kernel_columns=chunks,
        output_rows=output_rows,
        output_columns=blocks,
        tiles=groups,
        column_start=-left * channel_bytes,
        column_limit=width * channel_bytes,
        row_start=-top,
        row_limit=height,
        row_pitch=width * channel_bytes,
        output_row_step=stride[0],
        kernel_row_step=dilation[0],
        output_column_stride=config.xnor_pixels * column,
        kernel_column_stride=config.rows,
        write_row_stride=output_columns * written,
        write_column_stride=written,
        weights=packed,
        channels=Channels(shift=unused, bias=filled, multiplier=unused),
        zero_point=0,
        low=-1,
        high=1,
        pixels=Pixels(
            count=count,
            last=last,
            stride=column,
            last_bytes=run - (chunks - 1) * config.rows,
            pace=tiles * count,
            last_cycles=tiles * last,
        ),
    )


def _pack_binary(weights: WeightArray, config: FabricConfig, *, tiles: int, groups: int) -> Int8Array:
    """(outputs, kernel_h, kernel_w, channels) of -1 and +1 to words (groups, steps, rows, cols): an output a row, its bits two
    bytes a column.
    """
    bits = golden.pack_bits(weights.astype(np.int8).reshape(*weights.shape[:2], -1))
    words = banked(bits, config, tiles=groups * tiles)
    words = words.reshape(groups, tiles, *words.shape[1:]).transpose(0, 3, 4, 1, 2, 5)
    return np.ascontiguousarray(words).reshape(groups, -1, config.rows, config.cols)


def banked(bits: npt.NDArray[np.uint8], config: FabricConfig, *, tiles: int) -> Int8Array:
    """Bytes of bits (outputs, kernel_h, bytes) as the weight banks take them: (tiles, rows, kernel_h, chunks, cols).

    Bits of a word are those that the banks hold of it: `hw.mac.cell.pack` takes the sign of the first byte from the second.
    """
    outputs, kernel_h, run = bits.shape
    chunks = -(-run // config.rows)
    padded = np.zeros((tiles * config.rows, kernel_h, chunks * config.rows), np.uint8)
    padded[:outputs, :, :run] = bits
    padded[:, :, 1::2] += padded[:, :, ::2] >> 7
    return padded.reshape(tiles, config.rows, kernel_h, chunks, config.rows).view(np.int8)

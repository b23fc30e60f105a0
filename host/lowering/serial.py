"""Layers of few bits on the XNOR engine, bit by bit: what `passes.pack_bits` gives planes."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...hw.config import BYTE_BITS, FabricConfig
from ...hw.isa import Operation
from ...hw.xnor.array import LEAST_TILES, SUM_BITS
from ...hw.xnor.planes import WEIGHT_PLANES, PlaneSums, offset
from ...sim import golden
from ..cost.latencies import latencies_of
from ..ir import Conv2D, FullyConnected, Graph, Int8Array, WeightArray
from .binary import as_convolution, banked
from .dense import convolution, fully_connected, ungrouped
from .layer import Layer, Pixels, Planes, Unsupported
from .sums import requantized

PLANES = (2, 4)
"""Bits of activations that the engine takes as planes."""

_STRIDE_LIMIT = 2047  # bytes from a pixel's window to the next one's: a field of the descriptor
_PLANE_LIMIT = 65535  # bytes from a plane to the next one: likewise
_LONGEST_SUM = (1 << (SUM_BITS - 1)) - 1


class _Turns(NamedTuple):
    """Tiles of outputs and pixels of a block, turns of a step, and least cycles from a block's end to the next one's."""

    tiles: int
    pixels: int
    turns: int
    pace: int


def takes_planes(node: Conv2D | FullyConnected, graph: Graph, config: FabricConfig, planes: int) -> bool:
    """Whether the XNOR engine computes the node of an input of so many planes, in fewer cycles than the array."""
    source = graph.tensors[node.inputs[0]]
    weights = node.weights
    if isinstance(node, Conv2D):
        plain = weights.shape[3] == source.shape[3] and (node.dilation[1] == 1 or weights.shape[2] == 1)
        if not plain or node.stride[1] * weights.shape[3] // BYTE_BITS > _STRIDE_LIMIT:
            return False
    if (
        graph.is_wide(node)
        or planes > config.plane_limit
        or weights.shape[-1] % BYTE_BITS
        or weights[0].size > _LONGEST_SUM
        or node.input_zero_point
        or plane_stride(source.size) > _PLANE_LIMIT
    ):
        return False
    with_planes = replace(graph, tensors={**graph.tensors, source.name: replace(source, planes=planes)})
    try:
        layer = serial_layer(node, with_planes, config)
        dense = (
            fully_connected(node, graph, config)
            if isinstance(node, FullyConnected)
            else convolution(node, ungrouped(weights, source.shape[3]), graph, config)
        )
    except Unsupported:
        return False
    return layer.walk.alone(config) < dense.walk.alone(config)


def plane_stride(size: int) -> int:
    """Bytes from a plane of so many elements to the next one."""
    return size // BYTE_BITS


def serial_layer(node: Conv2D | FullyConnected, graph: Graph, config: FabricConfig) -> Layer:
    """The walk of a layer of few bits: planes of the weights pass by blocks of pixels, whose planes are held.

    Raises Unsupported.
    """
    source = graph.tensors[node.inputs[0]]
    weights, (height, width), (output_rows, output_columns), (top, left), stride, dilation = as_convolution(node, graph)
    outputs, kernel_h, kernel_w, channels = weights.shape
    channel_bytes = channels // BYTE_BITS
    run = kernel_w * channel_bytes
    chunks = -(-run // config.rows)
    tiles = -(-outputs // config.rows)
    planes = source.planes
    weight_planes = planes_of(weights)
    group, pixels, turns, pace = _turns(planes, weight_planes, tiles, kernel_h * chunks, output_rows, output_columns, config)
    words = kernel_h * chunks * turns
    if words > config.weight_depth:
        raise Unsupported(
            f"{group * config.rows} of its outputs take {words} words of weights, {config.name} holds {config.weight_depth}",
            "take a fabric with a deeper weight buffer (weight_depth)",
        )
    blocks = -(-output_columns // pixels)
    last = output_columns - (blocks - 1) * pixels
    column = stride[1] * channel_bytes
    flat = weights.reshape(outputs, -1)
    lacking = np.array([offset(planes, int(total)) for total in flat.sum(axis=1, dtype=np.int64)])
    return Layer(
        node=node,
        operation=Operation.SERIAL,
        inputs=node.inputs,
        output=node.output,
        output_channels=outputs,
        chunks=turns,
        kernel_rows=kernel_h,
        kernel_columns=chunks,
        output_rows=output_rows,
        output_columns=blocks,
        tiles=tiles // group,
        column_start=-left * channel_bytes,
        column_limit=width * channel_bytes,
        row_start=-top,
        row_limit=height,
        row_pitch=width * channel_bytes,
        output_row_step=stride[0],
        kernel_row_step=dilation[0],
        output_column_stride=pixels * column,
        kernel_column_stride=config.rows,
        write_row_stride=output_columns * outputs,
        write_column_stride=outputs,
        weights=_pack_planes(weights, config, groups=tiles // group, tiles=group, planes=weight_planes, turns=turns),
        pixels=Pixels(
            count=pixels,
            last=last,
            stride=column,
            last_bytes=run - (chunks - 1) * config.rows,
            pace=pace,
            last_cycles=turns - 1 + PlaneSums.cycles_of(planes, weight_planes, tiles=group, pixels=last),
        ),
        planes=Planes(tiles=group, read=planes, weights=weight_planes, read_stride=plane_stride(source.size)),
        **requantized(node, flat, tiles * config.cols, graph, config, inputs=(0, (1 << planes) - 1), lacking=lacking),
    )


def planes_of(weights: WeightArray) -> int:
    """Bits of the weights in two's complement, as many as the engine's sums of tiles need to be apart at least."""
    low, high = int(weights.min()), int(weights.max())
    return max(max(-low - 1, high).bit_length() + 1, LEAST_TILES)


def _turns(planes: int, weight_planes: int, tiles: int, words: int, rows: int, columns: int, config: FabricConfig) -> _Turns:
    """The fewest cycles: a turn brings a plane of a pixel, and one of the weights of a tile, for each of so many `words`.

    Each group of several tiles is a descriptor of its own.
    """
    latencies = latencies_of(config)
    choices: dict[_Turns, tuple[int, ...]] = {}
    for group in range(1, WEIGHT_PLANES // weight_planes + 1):
        for pixels in range(1, config.xnor_pixels // planes + 1):
            turns = max(group * weight_planes, pixels * planes)
            pace = PlaneSums.cycles_of(planes, weight_planes, tiles=group, pixels=pixels) + (group > 1)
            block = max(words * turns, pace)
            apart = (latencies.launch + latencies.start + latencies.drain(Operation.SERIAL)) * (group > 1)
            cycles = tiles // group * (rows * -(-columns // pixels) * block + apart)
            if tiles % group == 0 and words * turns <= config.weight_depth:
                choices[_Turns(group, pixels, turns, pace)] = (cycles, words * turns // group, group, pixels)
    # Where even one tile has no room, whoever asks finds out.
    return min(choices, key=lambda choice: choices[choice], default=_Turns(1, 1, max(planes, weight_planes), 0))


def _pack_planes(weights: WeightArray, config: FabricConfig, *, groups: int, tiles: int, planes: int, turns: int) -> Int8Array:
    """(outputs, kernel_h, kernel_w, channels) to words (groups, steps, rows, cols): an output a row, bits by twos of bytes.

    Planes of the weights, the lowest one first and with the sign's bit inverted, lie one after the other, each of all tiles.
    """
    numbers = weights.reshape(*weights.shape[:2], -1).astype(np.int16) + (1 << (planes - 1))
    words = np.stack([banked(bits, config, tiles=groups * tiles) for bits in golden.pack_planes(numbers, planes)])
    _, _, rows, kernel_h, chunks, cols = words.shape
    # Group, kernel row, chunk, plane, tile, row, column.
    ordered = words.reshape(planes, groups, tiles, rows, kernel_h, chunks, cols).transpose(1, 4, 5, 0, 2, 3, 6)
    steps = ordered.reshape(groups, kernel_h, chunks, planes * tiles, rows, cols)
    filled = np.pad(steps, [(0, turns - planes * tiles if axis == 3 else 0) for axis in range(steps.ndim)])
    return np.ascontiguousarray(filled).reshape(groups, -1, rows, cols)

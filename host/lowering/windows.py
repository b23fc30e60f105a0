"""Layers that keep channels apart: depthwise convolutions and pooling. The tile's index moves the input channel."""

from dataclasses import replace

import numpy as np

from ...hw.config import BYTE_BITS, LARGEST_SUM, FabricConfig
from ...hw.isa import MAX_OFFSET, Operation
from ...hw.mac.depthwise import DepthwiseUnit
from ...hw.mac.depthwise_lane import KERNEL
from ..cost.latencies import latencies_of
from ..ir import AveragePool2D, DepthwiseConv2D, Graph, Int8Array, MaxPool2D, Mean, Pair
from .dense import convolution
from .layer import Layer, Unsupported, Window
from .sums import check_left_shifts, check_shifts, check_sums, check_weights, is_wide, requantized, uniform

_WINDOW_STRIDE_LIMIT = 255


def depthwise(node: DepthwiseConv2D, graph: Graph, config: FabricConfig) -> Layer:
    """On its unit where that holds the kernel; else on the array, as the diagonal or a dense kernel with zeros."""
    on_unit = _on_unit(node, graph, config)
    if on_unit is not None:
        return on_unit
    channels = graph.tensors[node.inputs[0]].shape[3]
    kernel_h, kernel_w, outputs = node.weights.shape
    dense_steps = kernel_h * (
        -(-kernel_w * channels // config.rows)
        if node.dilation[1] == 1 or kernel_w == 1
        else kernel_w * -(-channels // config.rows)
    )
    if node.depth_multiplier != 1 or dense_steps < kernel_h * kernel_w or node.weights.dtype == np.int16:
        dense = np.zeros((outputs, kernel_h, kernel_w, channels), node.weights.dtype)
        index = np.arange(outputs)
        dense[index, :, :, index // node.depth_multiplier] = node.weights.transpose(2, 0, 1)
        return convolution(node, dense, graph, config)

    tiles = -(-outputs // config.cols)
    padded = np.zeros((kernel_h * kernel_w, tiles * config.cols), np.int8)
    padded[:, :outputs] = node.weights.reshape(-1, outputs)
    diagonal = np.zeros((tiles, kernel_h * kernel_w, config.rows, config.cols), np.int8)
    lanes = np.arange(config.cols)
    diagonal[:, :, lanes, lanes] = padded.reshape(-1, tiles, config.cols).transpose(1, 0, 2)
    check_weights(node.weights)
    layer = window(node, graph, config, kernel=(kernel_h, kernel_w), stride=node.stride, dilation=node.dilation)
    return replace(
        layer,
        weights=diagonal,
        **requantized(node, node.weights.reshape(-1, node.weights.shape[-1]).T, tiles * config.cols, graph, config),
    )


def _on_unit(node: DepthwiseConv2D, graph: Graph, config: FabricConfig) -> Layer | None:
    """The layer on the depthwise unit, or None where its window does not hold the kernel's."""
    _, height, width, channels = graph.tensors[node.inputs[0]].shape
    _, output_rows, output_columns, _ = graph.tensors[node.output].shape
    kernel, stride = node.weights.shape[:2], node.stride
    if (
        not config.depthwise_tiles
        or graph.is_wide(node)
        or node.depth_multiplier != 1
        or node.dilation != (1, 1)
        or max(kernel) > KERNEL
        or stride[0] != stride[1]
        or stride[0] > _WINDOW_STRIDE_LIMIT
        or not KERNEL <= width <= config.line_depth
    ):
        return None
    # Where in the 3x3 window the kernel lies, and where the first centre is, by axis: every centre must be on the map.
    places, centres = [], []
    for size, before, extent, outputs in zip(
        kernel, (node.padding[0][0], node.padding[1][0]), (height, width), (output_rows, output_columns), strict=True
    ):
        place = 1 if size == 1 or (size == 2 and before == 0) else 0
        centre = 1 - place - before
        if centre < 0 or centre + (outputs - 1) * stride[0] >= extent:
            return None
        places.append(place)
        centres.append(centre)
    # Rows below the last window are not walked.
    rows = min(height, centres[0] + (output_rows - 1) * stride[0] + 2)
    if rows * width < max(DepthwiseUnit.FETCH_CYCLES, config.tile_cycles):
        return None

    tiles = -(-channels // config.cols)
    taps = np.zeros((KERNEL, KERNEL, tiles * config.cols), np.int8)
    taps[places[0] : places[0] + kernel[0], places[1] : places[1] + kernel[1], :channels] = node.weights
    layer = replace(
        window(node, graph, config, kernel=(1, 1), stride=(1, 1), dilation=(1, 1)),
        operation=Operation.DEPTHWISE,
        output_rows=rows,
        output_columns=width,
        column_start=0,
        row_start=0,
        window=Window(
            rows=output_rows, columns=output_columns, row=centres[0], column=centres[1], stride=stride[0], weights=taps
        ),
        **requantized(node, node.weights.reshape(-1, node.weights.shape[-1]).T, tiles * config.cols, graph, config),
    )
    # The last result ends the descriptor: no step may be on its way by then, or it would reach the next one's unit.
    return layer if layer.walk.drain(config) >= latencies_of(config).walk else None


def average_pool(node: AveragePool2D, graph: Graph, config: FabricConfig) -> Layer:
    """The array sums, one identity word its weights, and the requantizer divides."""
    layer = _pool(node, graph, config)
    _, height, width, _ = graph.tensors[node.inputs[0]].shape
    (top, _), (left, _) = node.padding
    last_row = (layer.output_rows - 1) * node.stride[0] - top + node.kernel[0]
    last_column = (layer.output_columns - 1) * node.stride[1] - left + node.kernel[1]
    if top or left or last_row > height or last_column > width:
        raise Unsupported(
            "its windows at the border hold fewer elements than the others, and the fabric divides by one count",
            "pool without padding",
        )
    count = node.kernel[0] * node.kernel[1]
    multiplier, shift = reciprocal(count)
    _check_average(129 * count, shift, config)
    return replace(
        layer,
        wide=is_wide(-129 * count, 129 * count),
        operation=Operation.MAC,
        average=True,
        weights=_identity(config),
        channels=uniform(config.cols, bias=count // 2, multiplier=multiplier, shift=shift),
    )


def mean(node: Mean, graph: Graph, config: FabricConfig) -> Layer:
    """Average pooling over the whole map, in the reference's fixed point."""
    shape = graph.tensors[node.inputs[0]].shape
    if len(shape) != 4 or sorted(axis % 4 for axis in node.axes) != [1, 2]:
        raise Unsupported(f"it averages over the axes {node.axes}, the fabric over height and width", "average over 1 and 2")
    _, height, width, channels = shape
    check_shifts(np.array([node.shift]), np.array([node.multiplier]))
    bias = -node.input_zero_point * height * width
    low, high = -128 * height * width + bias, 127 * height * width + bias
    _check_average(128 * height * width + abs(bias), node.shift, config)
    return Layer(
        node=node,
        operation=Operation.MAC,
        inputs=node.inputs,
        output=node.output,
        output_channels=channels,
        chunks=1,
        kernel_rows=height,
        kernel_columns=width,
        tiles=-(-channels // config.cols),
        diagonal=True,
        repeat=True,
        column_limit=width * channels,
        row_limit=height,
        row_pitch=width * channels,
        kernel_column_stride=channels,
        wide=is_wide(low, high),
        weights=_identity(config),
        channels=uniform(config.cols, bias=bias, multiplier=node.multiplier, shift=node.shift),
        zero_point=node.output_zero_point,
        low=-128,
        high=127,
    )


def _check_average(largest: int, shift: int, config: FabricConfig) -> None:
    check_sums(np.array([largest]), LARGEST_SUM, config)
    check_left_shifts(np.array([largest]), np.array([shift]))


def max_pool(node: MaxPool2D, graph: Graph, config: FabricConfig) -> Layer:
    """On the vector unit; of bits their OR."""
    # Padding never wins against an element of the window; the identity multiplier 2**30 with one shift to the left is exact.
    pool = _pool(node, graph, config)
    packed = graph.tensors[node.inputs[0]].packed
    return replace(
        pool,
        operation=Operation.OR if packed else Operation.MAX,
        pad_value=0 if packed else -128,
        low=-128 if packed else pool.low,
        high=127 if packed else pool.high,
        channels=uniform(config.cols, bias=-MAX_OFFSET, multiplier=1 << 30, shift=1),
    )


def reciprocal(count: int) -> Pair:
    """(multiplier, shift) with `(t * multiplier) >> (31 - shift) == t // count` for every t up to 2**23 * count.

    multiplier = ceil(2**(31 - shift) / count) is too large by less than 1 in count; the error in t * multiplier stays below
    2**(31 - shift) / count, the distance to the next quotient, as long as t * count < 2**(31 - shift).
    """
    right = (count - 1).bit_length() - 1
    return -(-(1 << (31 + right)) // count), -right


def _pool(node: AveragePool2D | MaxPool2D, graph: Graph, config: FabricConfig) -> Layer:
    layer = window(node, graph, config, kernel=node.kernel, stride=node.stride, dilation=(1, 1))
    return replace(layer, repeat=True, zero_point=0, low=node.low, high=node.high)


def window(
    node: DepthwiseConv2D | AveragePool2D | MaxPool2D,
    graph: Graph,
    config: FabricConfig,
    *,
    kernel: Pair,
    stride: Pair,
    dilation: Pair,
) -> Layer:
    """The walk of an operation that keeps channels apart: one chunk a step, the tile moves the channel."""
    _, height, width, channels = graph.tensors[node.inputs[0]].shape
    _, output_rows, output_columns, outputs = graph.tensors[node.output].shape
    if graph.tensors[node.inputs[0]].packed:
        channels, outputs = channels // BYTE_BITS, outputs // BYTE_BITS
    (top, _), (left, _) = node.padding
    return Layer(
        node=node,
        operation=Operation.MAC,
        inputs=node.inputs,
        output=node.output,
        output_channels=outputs,
        chunks=1,
        kernel_rows=kernel[0],
        kernel_columns=kernel[1],
        output_rows=output_rows,
        output_columns=output_columns,
        tiles=-(-outputs // config.cols),
        diagonal=True,
        column_start=-left * channels,
        column_limit=width * channels,
        row_start=-top,
        row_limit=height,
        row_pitch=width * channels,
        output_row_step=stride[0],
        kernel_row_step=dilation[0],
        output_column_stride=stride[1] * channels,
        kernel_column_stride=dilation[1] * channels,
        write_row_stride=output_columns * outputs,
        write_column_stride=outputs,
        channels=uniform(config.cols, bias=0, multiplier=0, shift=0),
        zero_point=0,
        low=-128,
        high=127,
    )


def _identity(config: FabricConfig) -> Int8Array:
    return np.eye(config.rows, config.cols, dtype=np.int8)[np.newaxis, np.newaxis]

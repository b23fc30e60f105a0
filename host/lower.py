"""From a node to a layer of the fabric: loops, packed weights, channel parameters. No addresses yet.

A layer is what the window walker walks: see `hw.isa.Descriptor`, whose field names this module uses. Whatever the fabric
cannot do raises `Unsupported` with the reason and what would help, so that placement and compilation cannot disagree.

How operations map:

    conv_2d               a kernel row is one run of chunks (kernel columns x channels, contiguous); with dilation, one a column
    fully_connected       a convolution of one row of M pixels, kernel 1x1
    depthwise_conv_2d     the depthwise unit, up to 3x3; else diagonal: the tile's index moves the channel, a word's weights
                          lie on its diagonal; with few channels or a depth multiplier, the dense kernel with zeros is
                          fewer steps
    average_pool_2d, mean diagonal with one identity word: the array sums, the requantizer divides
    max_pool_2d, add      the vector unit; a compact fabric has none
    binary layers         the XNOR engine, where the input's bits are packed: `passes.pack_bits` decides that
"""

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt

from ..hw.config import BYTE_BITS, LARGEST_SUM, FabricConfig
from ..hw.isa import ADD_SHIFT_BITS, FIRST_LOG2, MAX_LEFT_SHIFT, MAX_OFFSET, Operation
from ..hw.mac.depthwise import KERNEL, TAPS, DepthwiseUnit
from ..hw.post.requantize import NARROW_BITS
from ..hw.xnor.array import LEAST_TILES, TILES
from ..sim import golden
from .cost.latencies import latencies_of
from .cost.walk import BlockWalk, Walk, WindowWalk
from .ir import (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    Int8Array,
    MaxPool2D,
    Mean,
    Node,
    Pair,
)

_COUNT_LIMIT = 65535  # loop counts are 16 bits wide
_ROW_LIMIT = 32767
_MAX_RIGHT_SHIFT = 31
_MAX_ADD_SHIFT = (1 << ADD_SHIFT_BITS) - 1
_WINDOW_STRIDE_LIMIT = 255
_HALF = 1 << 30, 0  # multiplier and shift that make an operand of ADD, which is widened by 20 bits, count 2**FIRST_LOG2


class Unsupported(Exception):
    """The fabric cannot run this node: `reason` says why and `advice` what would help."""

    def __init__(self, reason: str, advice: str):
        super().__init__(reason)
        self.reason = reason
        self.advice = advice


@dataclass(frozen=True, kw_only=True, eq=False)
class Channels:
    """Requantization parameters, one entry a channel: int32 arrays of one length."""

    shift: npt.NDArray[np.int32]
    bias: npt.NDArray[np.int32]
    multiplier: npt.NDArray[np.int32]

    def tiles(self, begin: int, end: int, cols: int) -> "Channels":
        """The channels of the tiles from `begin` up to `end`."""
        part = slice(begin * cols, end * cols)
        return Channels(shift=self.shift[part], bias=self.bias[part], multiplier=self.multiplier[part])


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """What the depthwise unit adds: the centres that give results. `weights` is int8 (3, 3, tiles * cols)."""

    rows: int
    columns: int
    row: int
    column: int
    stride: int
    weights: Int8Array

    def entries(self, begin: int, end: int, cols: int) -> Int8Array:
        """The weights of the tiles from `begin` up to `end`, int8 (tiles, 9, cols)."""
        part = self.weights[:, :, begin * cols : end * cols]
        return np.ascontiguousarray(part.reshape(TAPS, -1, cols).transpose(1, 0, 2))


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What the XNOR engine adds: blocks of `count` pixels, `last` in a row's last one, with windows `stride` bytes apart.

    `last_bytes` of a kernel row's last chunk count; `pace` is the least cycles from a block's end to the next one's.
    """

    count: int
    last: int
    stride: int
    last_bytes: int
    pace: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One node as the fabric runs it. Byte distances are relative to the tensors' first bytes.

    `weights` is int8 (tiles, steps, rows, cols) in the order of the walk; with `repeat` one word (1, 1, rows, cols); None on
    the vector unit. `channels` holds tiles * cols entries, with `repeat` cols.

    On the XNOR engine a tile of the loops is a group of `chunks` tiles of outputs, and an output column a block of pixels.
    """

    node: Node
    operation: Operation
    inputs: tuple[str, ...]
    output: str
    output_channels: int
    chunks: int
    kernel_rows: int
    kernel_columns: int = 1
    output_rows: int = 1
    output_columns: int = 1
    tiles: int
    diagonal: bool = False
    repeat: bool = False
    average: bool = False
    round_once: bool = False
    wide: bool = False
    pad_value: int = 0
    column_start: int = 0
    column_limit: int
    row_start: int = 0
    row_limit: int
    row_pitch: int = 0
    output_row_step: int = 1
    kernel_row_step: int = 1
    output_column_stride: int = 0
    kernel_column_stride: int = 0
    write_row_stride: int = 0
    write_column_stride: int = 0
    transposed: bool = False  # the input lies with height and width exchanged
    weights: Int8Array | None = None
    channels: Channels
    zero_point: int
    low: int
    high: int
    add: Add | None = None
    window: Window | None = None
    pixels: Pixels | None = None
    binary: bool = False  # its results are written as bits

    @property
    def channel_tiles(self) -> int:
        """Entries of the channel-parameter memory that a tile of the loops takes."""
        return 1 if self.pixels is None else self.chunks

    @property
    def steps(self) -> int:
        """Steps of one result: weight words of a tile."""
        return self.chunks * self.kernel_rows * self.kernel_columns

    @property
    def results(self) -> int:
        """Results of one tile."""
        return self.output_rows * self.output_columns

    @property
    def words(self) -> int:
        """Words of the weight buffer."""
        return 0 if self.weights is None else self.weights.shape[0] * self.weights.shape[1]

    @property
    def walk(self) -> Walk:
        """What the walker does for it in one piece, weights resident."""
        window = self.window
        return Walk(
            operation=self.operation,
            steps=self.steps,
            results=self.results,
            tiles=self.tiles,
            repeat=self.repeat,
            wide=self.wide,
            blocks=None
            if self.pixels is None
            else BlockWalk(pace=self.pixels.pace, last_writes=self.chunks * self.pixels.last),
            window=None
            if window is None
            else WindowWalk(
                map_columns=self.output_columns,
                rows=window.rows,
                columns=window.columns,
                row=window.row,
                column=window.column,
                stride=window.stride,
            ),
        )


def lower(node: Node, graph: Graph, config: FabricConfig) -> Layer:
    """The layer of a node. Raises Unsupported."""
    layer = _lower(node, graph, config)
    if graph.tensors[node.output].packed and layer.operation != Operation.OR:
        layer = replace(layer, binary=True)
    return _checked(layer, graph, config)


def lower_transposed(node: Node, graph: Graph, config: FabricConfig) -> Layer | None:
    """The layer of a convolution whose input the host sends with height and width exchanged, where that takes fewer cycles.

    A kernel that is longer than wide over few channels has longer runs that way: kws01's 10x4 over one channel takes four
    chunks instead of ten.
    """
    if not isinstance(node, Conv2D) or graph.tensors[node.inputs[0]].packed:
        return None
    channels = graph.tensors[node.inputs[0]].shape[3]
    dense = _ungrouped(node.weights, channels)
    plain = _convolution(node, dense, graph, config)
    turned = _convolution(node, dense, graph, config, transposed=True)
    if graph.tensors[node.output].packed:
        turned = replace(turned, binary=True)
    try:
        return _checked(turned, graph, config) if turned.walk.alone(config) < plain.walk.alone(config) else None
    except Unsupported:
        return None


def _checked(layer: Layer, graph: Graph, config: FabricConfig) -> Layer:
    """The layer, if a descriptor can hold its counts and the memory its tensors. Raises Unsupported."""
    for what, count in (
        ("kernel rows", layer.kernel_rows),
        ("kernel columns", layer.kernel_columns),
        ("input chunks", layer.chunks),
        ("output rows", layer.output_rows),
        ("output columns", layer.output_columns),
        ("tiles of output channels", layer.tiles),
    ):
        if count > _COUNT_LIMIT:
            raise Unsupported(f"it has {count} {what}, a descriptor counts to {_COUNT_LIMIT}", "split the layer")
    if layer.row_limit > _ROW_LIMIT:
        raise Unsupported(f"its input has {layer.row_limit} rows, a descriptor counts to {_ROW_LIMIT}", "split the input")
    reach = 2 << config.activation_address_bits
    last = (
        layer.column_start
        + (layer.output_columns - 1) * layer.output_column_stride
        + (layer.kernel_columns - 1) * layer.kernel_column_stride
        + layer.chunks * config.rows
    )
    if last >= reach or layer.column_limit - layer.column_start >= reach:
        raise Unsupported("its padding reaches further beyond the input than the walker counts", "pad the input less")
    if max(layer.output_row_step, layer.kernel_row_step) > 255:
        raise Unsupported("its stride or dilation is above 255", "subsample the input first")
    need = sum(_storage(graph, name) for name in {*layer.inputs, layer.output})
    if need > config.activation_bytes:
        raise Unsupported(
            f"its input and output need {need} bytes of activation memory, {config.name} has {config.activation_bytes}",
            "take a fabric with more activation memory (activation_bytes), or a smaller input",
        )
    # A word of the weight buffer may be pooling's.
    if layer.results > 1 and layer.words and not config.partial_depth and layer.steps >= config.weight_depth:
        raise Unsupported(
            f"a tile of its weights takes {layer.steps} words, {config.name} holds {config.weight_depth} and has no memory for "
            "partial sums",
            "take a fabric with a deeper weight buffer (weight_depth) or with partial sums (partial_depth)",
        )
    return layer


def _check_vector(config: FabricConfig) -> None:
    if config.compact:
        raise Unsupported(f"{config.name} is a compact fabric and has no vector unit", "it costs little on the CPU")


def _storage(graph: Graph, name: str) -> int:
    """Bytes of a tensor in activation memory: whole stream words."""
    return -(-graph.tensors[name].stored_bytes // 4) * 4


@singledispatch
def _lower(node: Node, graph: Graph, config: FabricConfig) -> Layer:
    raise Unsupported(f"the fabric has no unit for {node.op}", "it costs little on the CPU, or rewrite it with convolutions")


@_lower.register
def _(node: Conv2D, graph: Graph, config: FabricConfig) -> Layer:
    if graph.tensors[node.inputs[0]].packed:
        return _xnor(node, graph, config)
    channels = graph.tensors[node.inputs[0]].shape[3]
    return _convolution(node, _ungrouped(node.weights, channels), graph, config)


@_lower.register
def _(node: DepthwiseConv2D, graph: Graph, config: FabricConfig) -> Layer:
    on_unit = _depthwise(node, graph, config)
    if on_unit is not None:
        return on_unit
    channels = graph.tensors[node.inputs[0]].shape[3]
    kernel_h, kernel_w, outputs = node.weights.shape
    dense_steps = kernel_h * (
        -(-kernel_w * channels // config.rows)
        if node.dilation[1] == 1 or kernel_w == 1
        else kernel_w * -(-channels // config.rows)
    )
    if node.depth_multiplier != 1 or dense_steps < kernel_h * kernel_w:
        dense = np.zeros((outputs, kernel_h, kernel_w, channels), np.int8)
        index = np.arange(outputs)
        dense[index, :, :, index // node.depth_multiplier] = node.weights.transpose(2, 0, 1)
        return _convolution(node, dense, graph, config)

    tiles = -(-outputs // config.cols)
    padded = np.zeros((kernel_h * kernel_w, tiles * config.cols), np.int8)
    padded[:, :outputs] = node.weights.reshape(-1, outputs)
    diagonal = np.zeros((tiles, kernel_h * kernel_w, config.rows, config.cols), np.int8)
    lanes = np.arange(config.cols)
    diagonal[:, :, lanes, lanes] = padded.reshape(-1, tiles, config.cols).transpose(1, 0, 2)
    _check_weights(node.weights)
    layer = _window(node, graph, config, kernel=(kernel_h, kernel_w), stride=node.stride, dilation=node.dilation)
    return replace(
        layer, weights=diagonal, **_requantized(node, node.weights.reshape(-1, node.weights.shape[-1]).T, tiles * config.cols)
    )


def _depthwise(node: DepthwiseConv2D, graph: Graph, config: FabricConfig) -> Layer | None:
    """The layer on the depthwise unit, or None where its window does not hold the kernel's."""
    _, height, width, channels = graph.tensors[node.inputs[0]].shape
    _, output_rows, output_columns, _ = graph.tensors[node.output].shape
    kernel, stride = node.weights.shape[:2], node.stride
    if (
        not config.depthwise_tiles
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
        _window(node, graph, config, kernel=(1, 1), stride=(1, 1), dilation=(1, 1)),
        operation=Operation.DEPTHWISE,
        output_rows=rows,
        output_columns=width,
        column_start=0,
        row_start=0,
        window=Window(
            rows=output_rows, columns=output_columns, row=centres[0], column=centres[1], stride=stride[0], weights=taps
        ),
        **_requantized(node, node.weights.reshape(-1, node.weights.shape[-1]).T, tiles * config.cols),
    )
    # The last result ends the descriptor: no step may be on its way by then, or it would reach the next one's unit.
    return layer if layer.walk.drain(config) >= latencies_of(config).walk else None


@_lower.register
def _(node: FullyConnected, graph: Graph, config: FabricConfig) -> Layer:
    if graph.tensors[node.inputs[0]].packed:
        return _xnor(node, graph, config)
    outputs, depth = node.weights.shape
    pixels = graph.tensors[node.inputs[0]].size // depth
    weights = node.weights.reshape(outputs, 1, 1, depth)
    _check_weights(weights)
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
        round_once=True,
        weights=packed,
        **_requantized(node, weights.reshape(len(weights), -1), packed.shape[0] * config.cols),
    )


@_lower.register
def _(node: AveragePool2D, graph: Graph, config: FabricConfig) -> Layer:
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
    _check_sums(np.array([129 * count]), np.array([shift]))
    return replace(
        layer,
        wide=_is_wide(-129 * count, 129 * count),
        operation=Operation.MAC,
        average=True,
        weights=_identity(config),
        channels=_uniform(config.cols, bias=count // 2, multiplier=multiplier, shift=shift),
    )


@_lower.register
def _(node: Mean, graph: Graph, config: FabricConfig) -> Layer:
    shape = graph.tensors[node.inputs[0]].shape
    if len(shape) != 4 or sorted(axis % 4 for axis in node.axes) != [1, 2]:
        raise Unsupported(f"it averages over the axes {node.axes}, the fabric over height and width", "average over 1 and 2")
    _, height, width, channels = shape
    _check_shifts(np.array([node.shift]), np.array([node.multiplier]))
    bias = -node.input_zero_point * height * width
    low, high = -128 * height * width + bias, 127 * height * width + bias
    _check_sums(np.array([128 * height * width + abs(bias)]), np.array([node.shift]))
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
        wide=_is_wide(low, high),
        weights=_identity(config),
        channels=_uniform(config.cols, bias=bias, multiplier=node.multiplier, shift=node.shift),
        zero_point=node.output_zero_point,
        low=-128,
        high=127,
    )


@_lower.register
def _(node: MaxPool2D, graph: Graph, config: FabricConfig) -> Layer:
    _check_vector(config)
    # Padding never wins against an element of the window; the identity multiplier 2**30 with one shift to the left is exact.
    pool = _pool(node, graph, config)
    packed = graph.tensors[node.inputs[0]].packed
    return replace(
        pool,
        operation=Operation.OR if packed else Operation.MAX,
        pad_value=0 if packed else -128,
        low=-128 if packed else pool.low,
        high=127 if packed else pool.high,
        channels=_uniform(config.cols, bias=-MAX_OFFSET, multiplier=1 << 30, shift=1),
    )


@_lower.register
def _(node: Add, graph: Graph, config: FabricConfig) -> Layer:
    _check_vector(config)
    shapes = [graph.tensors[name].shape for name in node.inputs]
    if len(shapes) != 2 or shapes[0] != shapes[1]:
        raise Unsupported(
            f"its operands have the shapes {' and '.join(str(shape) for shape in shapes)}, the fabric adds equal ones",
            "expand the smaller operand",
        )
    scales = list(zip(node.multipliers, node.shifts, strict=True))
    if _HALF not in scales:
        raise Unsupported(
            "neither of its operands is scaled by exactly 1/2, the fabric multiplies only one of them",
            "scale the sum to twice the larger of its operands' scales, as TensorFlow Lite's converter does",
        )
    if scales[0] == _HALF:
        add = node
    else:
        add = replace(
            node,
            inputs=node.inputs[::-1],
            zero_points=node.zero_points[::-1],
            multipliers=node.multipliers[::-1],
            shifts=node.shifts[::-1],
        )
    for shift in node.shifts:
        if not -_MAX_ADD_SHIFT <= shift <= 0:
            raise Unsupported(
                f"an operand's scale needs a shift of {shift}, the fabric has 0 to -{_MAX_ADD_SHIFT}",
                "quantize the model on data that uses both operands' ranges",
            )
    size = graph.tensors[node.output].size
    _check_shifts(np.array([node.output_shift]), np.array([node.output_multiplier]))
    return Layer(
        node=node,
        operation=Operation.ADD,
        inputs=add.inputs,
        output=node.output,
        output_channels=size,
        chunks=1,
        kernel_rows=2,
        tiles=-(-size // config.cols),
        diagonal=True,
        repeat=True,
        column_limit=size,
        row_limit=2,
        wide=True,
        channels=_uniform(
            config.cols,
            bias=-(add.zero_points[0] << FIRST_LOG2),
            multiplier=node.output_multiplier,
            shift=node.output_shift,
        ),
        zero_point=node.zero_point,
        low=node.low,
        high=node.high,
        add=add,
    )


def reciprocal(count: int) -> Pair:
    """(multiplier, shift) with `(t * multiplier) >> (31 - shift) == t // count` for every t up to 2**23 * count.

    multiplier = ceil(2**(31 - shift) / count) is too large by less than 1 in count; the error in t * multiplier stays below
    2**(31 - shift) / count, the distance to the next quotient, as long as t * count < 2**(31 - shift).
    """
    right = (count - 1).bit_length() - 1
    return -(-(1 << (31 + right)) // count), -right


def _pool(node: AveragePool2D | MaxPool2D, graph: Graph, config: FabricConfig) -> Layer:
    layer = _window(node, graph, config, kernel=node.kernel, stride=node.stride, dilation=(1, 1))
    return replace(layer, repeat=True, zero_point=0, low=node.low, high=node.high)


def _window(
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
        channels=_uniform(config.cols, bias=0, multiplier=0, shift=0),
        zero_point=0,
        low=-128,
        high=127,
    )


def _convolution(
    node: Conv2D | DepthwiseConv2D, weights: Int8Array, graph: Graph, config: FabricConfig, *, transposed: bool = False
) -> Layer:
    """The walk of a dense convolution; weights (outputs, kernel_h, kernel_w, channels)."""
    _check_weights(weights)
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
        tiles=packed.shape[0],
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
        **_requantized(node, weights.reshape(len(weights), -1), packed.shape[0] * config.cols),
    )


def _xnor(node: Conv2D | FullyConnected, graph: Graph, config: FabricConfig) -> Layer:
    """The walk of a binary layer on the XNOR engine: groups of tiles, whose weights pass by each block of pixels."""
    source, target = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    if isinstance(node, FullyConnected):
        outputs, depth = node.weights.shape
        weights = node.weights.reshape(outputs, 1, 1, depth)
        height, width, output_rows, output_columns = 1, source.size // depth, 1, source.size // depth
        top = left = 0
        stride = dilation = (1, 1)
    else:
        weights = node.weights
        _, height, width, _ = source.shape
        _, output_rows, output_columns, _ = target.shape
        (top, _), (left, _) = node.padding
        stride, dilation = node.stride, node.dilation
    outputs, kernel_h, kernel_w, channels = weights.shape
    channel_bytes = channels // BYTE_BITS
    run = kernel_w * channel_bytes
    chunks = -(-run // config.rows)
    groups = -(-outputs // (TILES * config.rows))
    count = min(config.xnor_pixels, output_columns)
    tiles = max(-(-outputs // (groups * config.rows)), count, LEAST_TILES)
    blocks = -(-output_columns // config.xnor_pixels)
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
    filled = np.pad(biases, (0, groups * tiles * config.rows - outputs)).astype(np.int32)
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
        channels=Channels(shift=np.zeros_like(filled), bias=filled, multiplier=np.zeros_like(filled)),
        zero_point=0,
        low=-1,
        high=1,
        pixels=Pixels(
            count=count,
            last=output_columns - (blocks - 1) * config.xnor_pixels,
            stride=column,
            last_bytes=run - (chunks - 1) * config.rows,
            pace=tiles * count,
        ),
    )


def _pack_binary(weights: Int8Array, config: FabricConfig, *, tiles: int, groups: int) -> Int8Array:
    """(outputs, kernel_h, kernel_w, channels) of -1 and +1 to words (groups, steps, rows, cols): an output a row, its bits two
    bytes a column.

    Bits of a word are those that the banks hold of it: `hw.mac.cell.pack` takes the sign of the first byte from the second.
    """
    outputs, kernel_h = weights.shape[:2]
    bits = golden.pack_bits(weights.reshape(outputs, kernel_h, -1))
    chunks = -(-bits.shape[2] // config.rows)
    padded = np.zeros((groups * tiles * config.rows, kernel_h, chunks * config.rows), np.uint8)
    padded[:outputs, :, : bits.shape[2]] = bits
    padded[:, :, 1::2] += padded[:, :, ::2] >> 7
    words = padded.reshape(groups, tiles, config.rows, kernel_h, chunks, config.rows).transpose(0, 3, 4, 1, 2, 5)
    return np.ascontiguousarray(words).reshape(groups, kernel_h * chunks * tiles, config.rows, config.cols).view(np.int8)


def _ungrouped(weights: Int8Array, channels: int) -> Int8Array:
    """The weights of a grouped convolution as a dense one's, with zeros between the groups."""
    outputs, kernel_h, kernel_w, depth = weights.shape
    if depth == channels:
        return weights
    groups = channels // depth
    dense = np.zeros((outputs, kernel_h, kernel_w, channels), np.int8)
    for group in range(groups):
        rows = slice(group * outputs // groups, (group + 1) * outputs // groups)
        dense[rows, :, :, group * depth : (group + 1) * depth] = weights[rows]
    return dense


def _pack_dense(weights: Int8Array, config: FabricConfig, *, merged: bool) -> Int8Array:
    """(outputs, kernel_h, kernel_w, channels) to (tiles, steps, rows, cols), zeros where a chunk or a tile is not full."""
    outputs, kernel_h, kernel_w, _ = weights.shape
    runs = kernel_h if merged else kernel_h * kernel_w
    length = weights[0].size // runs
    tiles, chunks = -(-outputs // config.cols), -(-length // config.rows)
    padded = np.zeros((tiles * config.cols, runs, chunks * config.rows), np.int8)
    padded[:outputs, :, :length] = weights.reshape(outputs, runs, length)
    blocks = padded.reshape(tiles, config.cols, runs, chunks, config.rows)
    return np.ascontiguousarray(blocks.transpose(0, 2, 3, 4, 1)).reshape(tiles, runs * chunks, config.rows, config.cols)


def _identity(config: FabricConfig) -> Int8Array:
    return np.eye(config.rows, config.cols, dtype=np.int8)[np.newaxis, np.newaxis]


def _requantized(node: Conv2D | DepthwiseConv2D | FullyConnected, weights: Int8Array, count: int) -> dict[str, Any]:
    """The fields of a layer that say how its sums become int8, channel parameters filled up to `count`.

    `weights` are (outputs, K). The input's zero point goes into the bias; padding feeds it to the array.
    """
    _check_shifts(node.requant.shift, node.requant.multiplier)
    wide = weights.astype(np.int64)
    bias = node.bias.astype(np.int64) - node.input_zero_point * wide.sum(axis=1)
    _check_sums(128 * np.abs(wide).sum(axis=1) + np.abs(bias), node.requant.shift)
    zero = node.requant.multiplier == 0
    values = {
        "shift": np.where(zero, -_MAX_RIGHT_SHIFT, node.requant.shift),
        "bias": bias.astype(np.int32),
        "multiplier": node.requant.multiplier,
    }
    low, high = (bias + extreme(wide * -128, wide * 127).sum(axis=1) for extreme in (np.minimum, np.maximum))
    return {
        "pad_value": node.input_zero_point,
        "wide": _is_wide(int(low.min()), int(high.max())),
        "channels": Channels(
            **{name: np.pad(value.astype(np.int32), (0, count - len(value))) for name, value in values.items()}
        ),
        "zero_point": node.requant.zero_point,
        "low": node.requant.low,
        "high": node.requant.high,
    }


def _uniform(count: int, *, bias: int, multiplier: int, shift: int) -> Channels:
    return Channels(
        shift=np.full(count, shift, np.int32),
        bias=np.full(count, bias, np.int32),
        multiplier=np.full(count, multiplier, np.int32),
    )


def _check_weights(weights: Int8Array) -> None:
    if (weights == -128).any():
        raise Unsupported(
            "it has weights of -128, and two products a multiplier need -127 to 127",
            "quantize its weights symmetrically, as TensorFlow Lite's converter does",
        )


def _check_sums(largest: npt.NDArray[np.int64], shifts: npt.NDArray[np.int32]) -> None:
    """Refuses what could leave the fabric's accumulator, or the reference's 32 bits when it is shifted to the left."""
    if (largest > LARGEST_SUM).any():
        raise Unsupported(
            f"its sums may reach {int(largest.max()):,}, the fabric's accumulators hold {LARGEST_SUM:,}",
            "split its reduction, or give it smaller weights",
        )
    if (largest << np.maximum(shifts, 0) >= 1 << 31).any():
        raise Unsupported("its sums may leave 32 bits where they are shifted to the left", "requantize its output's scale")


def _is_wide(low: int, high: int) -> bool:
    """Whether sums of that range take the requantizer two passes."""
    limit = 1 << (NARROW_BITS - 1)
    return low <= -limit or high >= limit


def _check_shifts(shifts: npt.NDArray[np.int32], multipliers: npt.NDArray[np.int32]) -> None:
    bad = (multipliers != 0) & ((shifts > MAX_LEFT_SHIFT) | (shifts < -_MAX_RIGHT_SHIFT))
    if bad.any():
        raise Unsupported(
            f"its output scale needs a shift of {int(shifts[bad][0])}, the requantizer has {-_MAX_RIGHT_SHIFT} to "
            f"{MAX_LEFT_SHIFT}",
            "requantize the model on data that uses the output's range",
        )

"""From a node to a layer of the fabric: loops, packed weights, channel parameters. No addresses yet.

A layer is what the window walker walks: see `hw.isa.Descriptor`, whose field names this module uses. Whatever the fabric
cannot do raises `Unsupported` with the reason and what would help, so that placement and compilation cannot disagree.

How operations map:

    conv_2d               a kernel row is one run of chunks (kernel columns x channels, contiguous), with dilation one a
                          column; where output channels are few, neighbours of a row are one pixel
    fully_connected       a convolution of one row of M pixels, kernel 1x1
    depthwise_conv_2d     the depthwise unit, up to 3x3; else diagonal: the tile's index moves the channel, a word's weights
                          lie on its diagonal; with few channels or a depth multiplier, the dense kernel with zeros is
                          fewer steps
    average_pool_2d, mean diagonal with one identity word: the array sums, the requantizer divides
    max_pool_2d, add      the vector unit; a compact fabric has none
    binary layers         the XNOR engine, where the input's bits are packed: `passes.pack_bits` decides that
    layers of few bits    the same, bit by bit, where the input is planes of bits: likewise
"""

from dataclasses import replace

from ...hw.config import FabricConfig
from ...hw.isa import Operation
from ..ir import Add, AveragePool2D, Conv2D, DepthwiseConv2D, FullyConnected, Graph, MaxPool2D, Mean, Node
from .binary import binary_layer
from .dense import best_neighbours, convolution, fully_connected, ungrouped
from .elementwise import add
from .layer import Layer, Unsupported
from .serial import plane_stride, serial_layer
from .windows import average_pool, depthwise, max_pool, mean

_COUNT_LIMIT = 65535  # loop counts are 16 bits wide
_ROW_LIMIT = 32767


def lower(node: Node, graph: Graph, config: FabricConfig) -> Layer:
    """The layer of a node. Raises Unsupported."""
    layer = _lowered(node, graph, config)
    return _checked(_written(layer, graph), graph, config)


def lower_transposed(node: Node, graph: Graph, config: FabricConfig) -> Layer | None:
    """The layer of a convolution whose input the host sends with height and width exchanged, where that takes fewer cycles.

    A kernel that is longer than wide over few channels has longer runs that way: kws01's 10x4 over one channel takes four
    chunks instead of ten.
    """
    source = graph.tensors[node.inputs[0]]
    if not isinstance(node, Conv2D) or source.packed or source.planes:
        return None
    plain = _convolution(node, graph, config)
    turned = convolution(node, ungrouped(node.weights, source.shape[3]), graph, config, transposed=True)
    plain, turned = _written(plain, graph), _written(turned, graph)
    try:
        return _checked(turned, graph, config) if turned.walk.alone(config) < plain.walk.alone(config) else None
    except Unsupported:
        return None


def _lowered(node: Node, graph: Graph, config: FabricConfig) -> Layer:
    """The node's walk, whether or not a descriptor can hold it."""
    _check_numbers(node, graph, config)
    match node:
        case Conv2D() | FullyConnected() if graph.tensors[node.inputs[0]].packed:
            return binary_layer(node, graph, config)
        case Conv2D() | FullyConnected() if graph.tensors[node.inputs[0]].planes:
            return serial_layer(node, graph, config)
        case Conv2D():
            return _convolution(node, graph, config)
        case FullyConnected():
            return fully_connected(node, graph, config)
        case DepthwiseConv2D():
            return depthwise(node, graph, config)
        case AveragePool2D():
            return average_pool(node, graph, config)
        case Mean():
            return mean(node, graph, config)
        case MaxPool2D() | Add() if config.compact:
            raise Unsupported(f"{config.name} is a compact fabric and has no vector unit", "it costs little on the CPU")
        case MaxPool2D():
            return max_pool(node, graph, config)
        case Add():
            return add(node, graph, config)
        case _:
            raise Unsupported(
                f"the fabric has no unit for {node.op}", "it costs little on the CPU, or rewrite it with convolutions"
            )


def _convolution(node: Conv2D, graph: Graph, config: FabricConfig) -> Layer:
    """The quicker one of its outputs one by one, and of neighbours of a row together."""
    dense = ungrouped(node.weights, graph.tensors[node.inputs[0]].shape[3])
    counts = {1, best_neighbours(node, dense, graph, config)}
    layers = [convolution(node, dense, graph, config, neighbours=count) for count in sorted(counts)]
    return min(layers, key=lambda layer: layer.walk.alone(config))


def _check_numbers(node: Node, graph: Graph, config: FabricConfig) -> None:
    """Refuses numbers of 16 bits where the fabric, or what it has for this node, takes bytes."""
    if not graph.is_wide(node):
        return
    if not config.doubles:
        raise Unsupported(
            f"it has numbers of 16 bits, and {config.name} takes bytes", "take a fabric with widest_bits=16: ecp5-85-16"
        )
    if not isinstance(node, Conv2D | DepthwiseConv2D | FullyConnected):
        raise Unsupported(f"the fabric's unit for {node.op} takes bytes, not 16 bits", "it costs little on the CPU")
    if node.requant.factors is not None:
        raise Unsupported(
            "TensorFlow Lite multiplies its sums in double precision, which a multiplier of 31 bits does not equal",
            "write it as a 1x1 convolution",
        )


def _written(layer: Layer, graph: Graph) -> Layer:
    """The layer with its results written as its output is held."""
    target = graph.tensors[layer.output]
    if target.packed and layer.operation != Operation.OR:
        return replace(layer, binary=True)
    if target.planes:
        planes = replace(layer.planes, write=target.planes, write_stride=plane_stride(target.size))
        return replace(layer, binary=True, planes=planes)
    return layer


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


def _storage(graph: Graph, name: str) -> int:
    """Bytes of a tensor in activation memory: whole stream words."""
    return -(-graph.tensors[name].stored_bytes // 4) * 4

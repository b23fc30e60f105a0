"""Which tensors a fabric holds as bits, eight a byte: those of -1 and +1, and planes of small numbers' bits.

The XNOR engine reads nothing else, the systolic array and the rest nothing but bytes; whoever writes can write both. So a
tensor is packed where all of its readers take bits, and its writer makes them, of channels by eights.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...hw.config import BYTE_BITS, FabricConfig
from ...hw.xnor.array import SUM_BITS
from ..ir import Conv2D, DepthwiseConv2D, FullyConnected, Graph, MaxPool2D, Node, Requant, Reshape
from ..lowering.serial import PLANES, takes_planes

_SIGN = (1 << 30, 2)  # multiplier and shift of twice a sum
_STRIDE_LIMIT = 2047  # bytes from a pixel's window to the next one's: a field of the descriptor
_LONGEST_SUM = (1 << (SUM_BITS - 1)) - 1


def pack_bits(graph: Graph, config: FabricConfig) -> Graph:
    """The graph for that fabric: `Tensor.packed` and `Tensor.planes` say how it holds them. Values stay what they are."""
    packed = {name for name, tensor in graph.tensors.items() if config.xnor_pixels and _packs(tensor.shape, tensor.bits)}
    before = -1
    while len(packed) != before:
        before = len(packed)
        for node in graph.nodes:
            packed -= _refused(node, graph, packed)
    planes = _planes(graph, config) if config.plane_limit else {}
    held = {name: replace(tensor, packed=name in packed, planes=planes.get(name, 0)) for name, tensor in graph.tensors.items()}
    return graph if held == dict(graph.tensors) else replace(graph, tensors=held)


def is_binary(node: Node, graph: Graph) -> bool:
    """Whether the XNOR engine computes it: weights and activations of -1 and +1, outputs their sums' signs."""
    if not isinstance(node, Conv2D | FullyConnected) or graph.tensors[node.inputs[0]].bits != 1:
        return False
    stride = node.stride[1] * node.weights.shape[3] // BYTE_BITS if isinstance(node, Conv2D) else 0
    is_dense = isinstance(node, FullyConnected) or node.weights.shape[3] == graph.tensors[node.inputs[0]].shape[3]
    is_one_run = isinstance(node, FullyConnected) or node.dilation[1] == 1 or node.weights.shape[2] == 1
    return (
        is_dense
        and is_one_run
        and stride <= _STRIDE_LIMIT
        and node.weights.shape[-1] % BYTE_BITS == 0
        and node.weights[0].size <= _LONGEST_SUM
        and node.input_zero_point == 0
        and bool((np.abs(node.weights) == 1).all())
        and _is_sign(node.requant)
    )


def _packs(shape: tuple[int, ...], bits: int) -> bool:
    return bits == 1 and len(shape) > 1 and shape[-1] % BYTE_BITS == 0


def _is_sign(requant: Requant) -> bool:
    """Whether it makes clip(2 * sum + 1, -1, 1)."""
    twice = (requant.multiplier == _SIGN[0]) & (requant.shift == _SIGN[1])
    return bool(twice.all()) and (requant.zero_point, requant.low, requant.high) == (1, -1, 1)


def _refused(node: Node, graph: Graph, packed: set[str]) -> set[str]:
    """Tensors that this node does not take or give as bits, of those that are packed as yet."""
    every = {*node.inputs, node.output}
    match node:
        case Conv2D() | FullyConnected():
            return set() if is_binary(node, graph) else {*node.inputs}
        case DepthwiseConv2D():
            return {*node.inputs}
        case MaxPool2D() | Reshape():
            return set() if every <= packed else every
        case _:
            return every


def _planes(graph: Graph, config: FabricConfig) -> dict[str, int]:
    """Bits of the numbers, none of them negative, whose readers are all the XNOR engine's: by tensor.

    Writing takes a cycle a plane, so the depthwise unit and the sums of two tensors, which are that fast, write bytes.
    """
    ranges = _ranges(graph)
    planes: dict[str, int] = {}
    for name, (low, high) in ranges.items():
        tensor = graph.tensors[name]
        width = next((bits for bits in PLANES if high < 1 << bits), 0)
        if low >= 0 and 0 < width <= config.plane_limit and tensor.shape[-1] % BYTE_BITS == 0 and name not in graph.outputs:
            planes[name] = width
    before = -1
    while len(planes) != before:
        before = len(planes)
        for node in graph.nodes:
            for name in _not_planes(node, graph, config, planes):
                planes.pop(name, None)
    return planes


def _ranges(graph: Graph) -> dict[str, tuple[int, int]]:
    """Least and largest value of what may be planes."""
    ranges: dict[str, tuple[int, int]] = {}
    for node in graph.nodes:
        match node:
            case Conv2D() | FullyConnected():
                ranges[node.output] = (node.requant.low, node.requant.high)
            case MaxPool2D() | Reshape() if node.inputs[0] in ranges:
                ranges[node.output] = ranges[node.inputs[0]]
            case _:
                pass
    return ranges


def _not_planes(node: Node, graph: Graph, config: FabricConfig, planes: Mapping[str, int]) -> set[str]:
    """Tensors that this node does not take as planes, or whose planes do not go with those of its other one."""
    match node:
        case Conv2D() | FullyConnected():
            name = node.inputs[0]
            takes = name in planes and takes_planes(node, graph, config, planes[name])
            return set() if takes else {name}
        case Reshape():
            return set() if node.inputs[0] in planes and node.output in planes else {*node.inputs, node.output}
        case _:
            return {*node.inputs}

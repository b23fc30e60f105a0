"""Output channels that always give the same value lose their weights.

A converter makes them of channels that training has killed: a weight or two, and a bias far outside of all sums, which no
accumulator narrower than 32 bits would hold.
"""

from dataclasses import replace

import numpy as np

from ...sim.golden import requantize, requantize_once, requantize_wide
from ..ir import Conv2D, DepthwiseConv2D, FullyConnected, Graph, Node

_IDENTITY = 1 << 30, 1  # multiplier and shift that leave a sum as it is, whichever way they round
_WIDE_BITS = 43  # of sums that `requantize_wide` takes


def fold_constant_channels(graph: Graph) -> Graph:
    """Gives every constant channel zeros as weights, and its value as bias."""
    return replace(graph, nodes=tuple(_folded(node, graph) for node in graph.nodes))


def _folded(node: Node, graph: Graph) -> Node:
    if not isinstance(node, Conv2D | DepthwiseConv2D | FullyConnected) or node.requant.factors is not None:
        return node
    limits = np.iinfo(graph.tensors[node.inputs[0]].dtype)
    axis = node.weights.ndim - 1 if isinstance(node, DepthwiseConv2D) else 0
    flat = np.moveaxis(node.weights, axis, 0).reshape(node.weights.shape[axis], -1).astype(np.int64)
    low, high = limits.min - node.input_zero_point, limits.max - node.input_zero_point
    least = np.minimum(low * flat, high * flat).sum(axis=1) + node.bias
    most = np.maximum(low * flat, high * flat).sum(axis=1) + node.bias
    requant = node.requant
    settings = requant.multiplier, requant.shift, requant.zero_point, requant.low, requant.high
    # Requantizing is monotonic, as long as no sum leaves its bits on the way.
    if graph.is_wide(node):
        ends = [requantize_wide(sums, *settings, once=requant.once, dtype=np.int64) for sums in (least, most)]
        limit = 1 << (_WIDE_BITS if requant.once else 31)
    else:
        rounding = requantize_once if isinstance(node, FullyConnected) else requantize
        ends = [rounding(sums.astype(np.int32), *settings).astype(np.int64) for sums in (least, most)]
        limit = 1 << 31
    value = ends[0]
    reach = np.maximum(np.abs(least), np.abs(most)) << np.maximum(requant.shift, 0)
    constant = (value == ends[1]) & (reach < limit)
    if not constant.any():
        return node
    shape = [1] * node.weights.ndim
    shape[axis] = -1
    multiplier, shift = _IDENTITY
    weights = node.weights.copy()
    weights[np.broadcast_to(constant.reshape(shape), weights.shape)] = 0
    return replace(
        node,
        weights=weights,
        bias=np.where(constant, value - requant.zero_point, node.bias).astype(node.bias.dtype),
        requant=replace(
            requant,
            multiplier=np.where(constant, multiplier, requant.multiplier).astype(np.int32),
            shift=np.where(constant, shift, requant.shift).astype(np.int32),
        ),
    )

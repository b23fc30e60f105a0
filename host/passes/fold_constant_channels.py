"""Output channels that always give the same value lose their weights.

A converter makes them of channels that training has killed: a weight or two, and a bias far outside of all sums, which no
accumulator narrower than 32 bits would hold.
"""

from dataclasses import replace

import numpy as np

from ...sim.golden import requantize, requantize_once
from ..ir import Conv2D, DepthwiseConv2D, FullyConnected, Graph, Node

_IDENTITY = 1 << 30, 1  # multiplier and shift that leave a sum as it is, whichever way they round


def fold_constant_channels(graph: Graph) -> Graph:
    """Gives every constant channel zeros as weights, and its value as bias."""
    return replace(graph, nodes=tuple(_folded(node) for node in graph.nodes))


def _folded(node: Node) -> Node:
    if not isinstance(node, Conv2D | DepthwiseConv2D | FullyConnected):
        return node
    axis = node.weights.ndim - 1 if isinstance(node, DepthwiseConv2D) else 0
    weights = np.moveaxis(node.weights, axis, 0).reshape(node.weights.shape[axis], -1).astype(np.int64)
    low, high = -128 - node.input_zero_point, 127 - node.input_zero_point
    least = np.minimum(low * weights, high * weights).sum(axis=1) + node.bias
    most = np.maximum(low * weights, high * weights).sum(axis=1) + node.bias
    requant = node.requant
    rounding = requantize_once if isinstance(node, FullyConnected) else requantize
    settings = requant.multiplier, requant.shift, requant.zero_point, requant.low, requant.high
    value = rounding(least.astype(np.int32), *settings)
    # Requantizing is monotonic, as long as no sum leaves 32 bits on the way.
    reach = np.maximum(np.abs(least), np.abs(most)) << np.maximum(requant.shift, 0)
    constant = (value == rounding(most.astype(np.int32), *settings)) & (reach < 1 << 31)
    if not constant.any():
        return node
    shape = [1] * node.weights.ndim
    shape[axis] = -1
    multiplier, shift = _IDENTITY
    return replace(
        node,
        weights=np.where(constant.reshape(shape), 0, node.weights).astype(np.int8),
        bias=np.where(constant, value.astype(np.int32) - requant.zero_point, node.bias).astype(np.int32),
        requant=replace(
            requant,
            multiplier=np.where(constant, multiplier, requant.multiplier).astype(np.int32),
            shift=np.where(constant, shift, requant.shift).astype(np.int32),
        ),
    )

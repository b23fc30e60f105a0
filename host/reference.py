"""Runs a graph, or one node of it, on the golden models: what every other engine must equal, bit for bit.

A batch of samples runs at once: each tensor's first axis is then N times as long as the graph says, sample after
sample.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..sim import golden
from ..sim.errors import ModelError
from .ir import (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    Discretize,
    FullyConnected,
    Graph,
    LookUp,
    MaxPool2D,
    Mean,
    Node,
    Pad,
    Quantize,
    Requant,
    Reshape,
    Softmax,
    Transpose,
)

Array = npt.NDArray[Any]
Observer = Callable[[str, Array], None]


def run(graph: Graph, inputs: Mapping[str, npt.ArrayLike], observe: Observer | None = None) -> dict[str, Array]:
    """Every output of the graph, by name, for its inputs by name.

    Parameters
    ----------
    inputs: an array (N, ...) for each input of the graph, of the type that its tensor names. A shape or a type that
    does not
        fit raises ModelError.
    observe: called with the name and the values of each tensor once they are known: inputs, intermediates, outputs.
    """
    values: dict[str, Array] = {}
    for name in graph.inputs:
        if name not in inputs:
            raise ModelError(f"Network {graph.name!r} needs an input {name!r}, and was given {sorted(inputs)}")
        values[name] = _checked(graph, name, inputs[name])
        if observe:
            observe(name, values[name])
    pending = {name: len(graph.consumers(name)) for name in graph.tensors}
    for node in graph.nodes:
        values[node.output] = evaluate(node, [values[name] for name in node.inputs], graph)
        if observe:
            observe(node.output, values[node.output])
        for name in node.inputs:
            pending[name] -= 1
            if pending[name] <= 0 and name not in graph.outputs:
                values.pop(name, None)
    return {name: values[name] for name in graph.outputs}


def evaluate(node: Node, inputs: Sequence[Array], graph: Graph) -> Array:
    """The node's output (N, ...) for its inputs, in the order of `node.inputs`."""
    x = inputs[0]
    source, target = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    shape = (len(x) // source.shape[0] * target.shape[0], *target.shape[1:])
    match node:
        case Conv2D() | DepthwiseConv2D() | FullyConnected() if graph.is_wide(node):
            return _wide(node, x, target.dtype).reshape(shape)
        case Conv2D():
            return golden.conv2d(x, node.weights, node.bias, **_walk(node), **_requant(node.requant))
        case DepthwiseConv2D():
            return golden.depthwise_conv2d(x, node.weights, node.bias, **_walk(node), **_requant(node.requant))
        case FullyConnected():
            return golden.fully_connected(x, node.weights, node.bias, **_walk(node), **_requant(node.requant)).reshape(shape)
        case Add():
            rank = max(value.ndim for value in inputs)
            return golden.add(
                _with_rank(inputs[0], rank),
                _with_rank(inputs[1], rank),
                zero_points=node.zero_points,
                multipliers=node.multipliers,
                shifts=node.shifts,
                output_multiplier=node.output_multiplier,
                output_shift=node.output_shift,
                output_zero_point=node.zero_point,
                low=node.low,
                high=node.high,
            )
        case AveragePool2D():
            return golden.average_pool2d(
                x, kernel=node.kernel, stride=node.stride, padding=node.padding, low=node.low, high=node.high
            )
        case MaxPool2D():
            return golden.max_pool2d(
                x, kernel=node.kernel, stride=node.stride, padding=node.padding, low=node.low, high=node.high
            )
        case Mean():
            return golden.mean(
                x,
                axes=node.axes,
                keep_dims=node.keep_dims,
                input_zero_point=node.input_zero_point,
                output_zero_point=node.output_zero_point,
                multiplier=node.multiplier,
                shift=node.shift,
            )
        case Pad():
            return golden.pad(x, node.padding, node.value)
        case Reshape():
            return x.reshape(shape)
        case Softmax() if source.doubled:
            return golden.softmax_int16(x, input_multiplier=node.input_multiplier, input_left_shift=node.input_left_shift)
        case Softmax():
            return golden.softmax(
                x,
                input_multiplier=node.input_multiplier,
                input_left_shift=node.input_left_shift,
                diff_min=node.diff_min,
            )
        case Quantize() if source.dtype == "float32":
            return golden.quantize(x, target.scale, target.zero_point, target.dtype)
        case Quantize():
            return golden.requantize_int8(x, source.scale, source.zero_point, target.scale, target.zero_point, target.dtype)
        case Dequantize():
            return golden.dequantize(x, source.scale, source.zero_point)
        case Transpose():
            return x.transpose(node.axes)
        case Discretize():
            return golden.discretize(x, node.thresholds, node.low, node.axis, target.dtype)
        case LookUp():
            return golden.look_up(x, node.table)
        case _:
            raise ModelError(f"Node {node.name!r} is a {node.op}, for which there is no golden model")


def _wide(node: Conv2D | DepthwiseConv2D | FullyConnected, x: Array, dtype: str) -> Array:
    """The output of a layer with numbers of 16 bits."""
    match node:
        case Conv2D():
            sums = golden.conv2d_sums(x, node.weights, node.bias, **_walk(node))
        case DepthwiseConv2D():
            sums = golden.depthwise_conv2d_sums(x, node.weights, node.bias, **_walk(node))
        case FullyConnected():
            sums = golden.fully_connected_sums(x, node.weights, node.bias, **_walk(node))
    requant = node.requant
    if requant.factors is not None:
        return golden.requantize_real(sums, requant.factors, requant.low, requant.high, dtype)
    return golden.requantize_wide(
        sums,
        requant.multiplier,
        requant.shift,
        requant.zero_point,
        requant.low,
        requant.high,
        once=requant.once,
        dtype=dtype,
    )


def _walk(node: Conv2D | DepthwiseConv2D | FullyConnected) -> dict[str, Any]:
    """What the golden models of layers with weights ask besides these: what padding holds, and where windows lie."""
    fields: dict[str, Any] = {"input_zero_point": node.input_zero_point}
    if not isinstance(node, FullyConnected):
        fields |= {"stride": node.stride, "dilation": node.dilation, "padding": node.padding}
    if isinstance(node, DepthwiseConv2D):
        fields["depth_multiplier"] = node.depth_multiplier
    return fields


def _requant(requant: Requant) -> dict[str, Any]:
    return {
        "multiplier": requant.multiplier,
        "shift": requant.shift,
        "output_zero_point": requant.zero_point,
        "low": requant.low,
        "high": requant.high,
    }


def _with_rank(x: Array, rank: int) -> Array:
    """Axes of one element after the first, so that samples stay apart where operands of different rank broadcast."""
    return x.reshape(x.shape[0], *(1,) * (rank - x.ndim), *x.shape[1:])


def _checked(graph: Graph, name: str, value: npt.ArrayLike) -> Array:
    tensor = graph.tensors[name]
    array = np.asarray(value)
    if array.ndim != len(tensor.shape) or array.shape[1:] != tensor.shape[1:] or len(array) % tensor.shape[0]:
        wanted = ", ".join(["N", *map(str, tensor.shape[1:])])
        raise ModelError(f"Input {name!r} of network {graph.name!r} must have shape ({wanted}), not {array.shape}")
    if array.dtype.name != tensor.dtype:
        raise ModelError(
            f"Input {name!r} of network {graph.name!r} must be {tensor.dtype}, not {array.dtype.name}: quantize it with"
            f" scale {tensor.scale:.6g} and zero point {tensor.zero_point}"
        )
    return array

"""From an operator of a QONNX graph to the value of its output, a function each.

Layers become sums, which wait until a quantizer (or the model's output) says which whole numbers they are to be; what stands
between is collected as functions of a float32 number. Whatever cannot be had exactly raises ModelError.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod

import numpy as np

from ...sim.errors import ModelError
from . import qonnx_layers as layers
from . import qonnx_shapes as shapes
from .qonnx_builder import Builder
from .qonnx_constants import fold
from .qonnx_endings import discretized, requantized
from .qonnx_functions import OPERATORS as ELEMENTWISE
from .qonnx_functions import function_of
from .qonnx_inputs import Inputs, activation, constant, quantized
from .qonnx_joined import added, join
from .qonnx_quantizers import Quantizer, bipolar, multi_threshold, quant, sign
from .qonnx_reader import StoredNode
from .qonnx_sums import with_bias
from .qonnx_values import Constant, Function, Joined, Quantized, Real, Sums, Value


def value_of(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    """What the node computes. Raises ModelError."""
    if node.op == "Shape" and inputs and inputs[0] is not None:
        return Constant(array=np.array(inputs[0].shape, np.int64))
    if all(value is None or isinstance(value, Constant) for value in inputs):
        return fold(node, [value for value in inputs if value is None or isinstance(value, Constant)])
    if node.op in _SAME:
        if isinstance(inputs[0], Constant) or inputs[0] is None:
            raise ModelError("its first input must be an activation: the file is damaged")
        return inputs[0]
    if node.op in ELEMENTWISE:
        return _elementwise(node, inputs, builder)
    if node.op not in _NODES:
        known = sorted({*_NODES, *ELEMENTWISE, *_SAME})
        raise ModelError(f"{_REFUSED.get(node.op, 'it is not supported')}: the operators known are {', '.join(known)}")
    return _NODES[node.op](node, inputs, builder)


def _elementwise(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    active = [position for position, value in enumerate(inputs) if value is not None and not isinstance(value, Constant)]
    if len(active) > 1:
        return join(node, inputs[active[0]], inputs[active[1]])
    x = activation(inputs, active[0])
    constants = [value if isinstance(value, Constant) else None for value in inputs]
    return _apply(node, function_of(node, active[0], x.shape, constants), x, builder)


def _apply(node: StoredNode, function: Function, x: Real | Quantized | Sums | Joined, builder: Builder) -> Value:
    """A function that waits for a quantizer; a mere change of scale waits for none."""
    if isinstance(x, Real):
        return Real(shape=x.shape, index=x.index, functions=(*x.functions, function))
    if isinstance(x, Quantized):
        rescaled = _rescaled(x, function)
        if rescaled is not None:
            return rescaled
        x = layers.each(node, builder, x)
    return replace(x, functions=(*x.functions, function))


def _rescaled(x: Quantized, function: Function) -> Quantized | None:
    """The same whole numbers under another scale, where that gives the executor's very values."""
    with np.errstate(all="ignore"):
        values = function(x.levels[:, np.newaxis])
        scale = function(np.array([[x.scale]], np.float32))
    if values.shape[1] > 1 and (values != values[:, :1]).any():
        return None
    new = np.float32(scale[0, 0])
    expected = x.whole.astype(np.float32) * new
    if not (np.isfinite(new) and new > 0) or (values[:, 0] != expected).any():
        return None
    return replace(x, scale=new)


def _quantize(quantizer: Quantizer, node: StoredNode, inputs: Inputs, builder: Builder) -> Quantized:
    x = activation(inputs)
    output, label = node.outputs[0], node.name or node.outputs[0]
    if isinstance(x, Real):
        return discretized(builder, x, quantizer, output, label)
    if isinstance(x, Joined):
        return added(builder, x, quantizer, output)
    if isinstance(x, Quantized):
        with np.errstate(all="ignore"):
            levels = quantizer.levels(x.levels[:, np.newaxis])
        same = levels.shape[1] == 1 and (levels[:, 0] - quantizer.zero_point == x.whole).all()
        if same and quantizer.scale == x.scale:
            return x
        x = layers.each(node, builder, x)
    return requantized(builder, x, quantizer, output)


def _quant(node: StoredNode, inputs: Inputs, builder: Builder) -> Quantized:
    scale, zero_point, bits = (constant(inputs, position, "scale, zero point and bit width") for position in (1, 2, 3))
    quantizer = quant(
        scale.array.astype(np.float32),
        zero_point.array.astype(np.float32),
        bits.array,
        signed=bool(node.attributes.get("signed", 1)),
        narrow=bool(node.attributes.get("narrow", 1)),
        rounding=str(node.attributes.get("rounding_mode", "ROUND")),
    )
    return _quantize(quantizer, node, inputs, builder)


def _bipolar_quant(node: StoredNode, inputs: Inputs, builder: Builder) -> Quantized:
    scale = constant(inputs, 1, "scale").array.astype(np.float32)
    return _quantize(bipolar(scale), node, inputs, builder)


def _sign(node: StoredNode, inputs: Inputs, builder: Builder) -> Quantized:
    return _quantize(sign(), node, inputs, builder)


def _multi_threshold(node: StoredNode, inputs: Inputs, builder: Builder) -> Quantized:
    thresholds = constant(inputs, 1, "thresholds").array
    x = activation(inputs)
    if node.attributes.get("data_layout", "") not in ("", "NCHW", "NC"):
        raise ModelError(f"its data layout is {node.attributes['data_layout']}: export the model with channels second")
    if thresholds.ndim == 2 and len(thresholds) not in (1, x.shape[1] if len(x.shape) > 1 else 1):
        raise ModelError(f"it has thresholds for {len(thresholds)} channels, its input has the shape {x.shape}")
    quantizer = multi_threshold(
        thresholds, float(node.attributes.get("out_scale", 1.0)), float(node.attributes.get("out_bias", 0.0))
    )
    return _quantize(quantizer, node, inputs, builder)


def _conv(node: StoredNode, inputs: Inputs, builder: Builder) -> Sums:
    sums = layers.conv(node, builder, quantized(inputs), constant(inputs, 1, "weights"))
    if len(inputs) > 2 and inputs[2] is not None:
        bias = constant(inputs, 2, "bias").array
        if bias.shape != (sums.channels,):
            raise ModelError(f"its bias of shape {bias.shape} does not fit {sums.channels} channels: the file is damaged")
        return with_bias(sums, Constant(array=bias.reshape(1, -1, 1, 1)), first=False)
    return sums


def _mat_mul(node: StoredNode, inputs: Inputs, builder: Builder) -> Sums:
    if isinstance(inputs[0], Constant):
        raise ModelError("it multiplies a constant by an activation: swap its inputs")
    return layers.fully_connected(node, quantized(inputs), constant(inputs, 1, "weights"), transposed=False)


def _gemm(node: StoredNode, inputs: Inputs, builder: Builder) -> Sums:
    factors = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    if factors != (1.0, 1.0) or node.attributes.get("transA", 0):
        raise ModelError("its alpha and beta must be 1, and transA 0: export the layer as it was trained")
    sums = layers.fully_connected(
        node, quantized(inputs), constant(inputs, 1, "weights"), transposed=bool(node.attributes.get("transB", 0))
    )
    if len(inputs) > 2 and inputs[2] is not None:
        return with_bias(sums, constant(inputs, 2, "bias"), first=True)
    return sums


def _average_pool(node: StoredNode, inputs: Inputs, builder: Builder) -> Sums:
    return _divided(layers.average(node, builder, quantized(inputs), layers.kernel_of(node)), prod(layers.kernel_of(node)))


def _global_average_pool(node: StoredNode, inputs: Inputs, builder: Builder) -> Sums:
    x = quantized(inputs)
    if len(x.shape) != 4:
        raise ModelError(f"its input must have the shape (1, channels, height, width), not {x.shape}")
    return _divided(layers.average(node, builder, x, (x.shape[2], x.shape[3])), x.shape[2] * x.shape[3])


def _reduce_mean(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    x = quantized(inputs)
    stored = inputs[1].array if len(inputs) > 1 and isinstance(inputs[1], Constant) else node.attributes.get("axes", ())
    axes = sorted(int(axis) % max(len(x.shape), 1) for axis in np.asarray(stored).ravel())
    if axes != [2, 3] or len(x.shape) != 4:
        raise ModelError(f"it averages over the axes {axes} of {x.shape}: average over height and width, 2 and 3")
    sums = _global_average_pool(node, inputs, builder)
    return sums if node.attributes.get("keepdims", 1) else replace(sums, shape=sums.shape[:2])


def _divided(sums: Sums, count: int) -> Sums:
    divisor = np.float32(count)
    function: Function = lambda x: x / divisor  # noqa: E731
    return replace(sums, functions=(*sums.functions, function))


_SAME = ("Identity", "Dropout")
_REFUSED = {
    "ArgMax": "its answer is an index, which the network's user takes: leave it out, and take the largest output",
    "TopK": "its answer is an index, which the network's user takes: leave it out, and take the largest output",
    "Softmax": "its exponentials are not exact: leave it out, the largest output stays the largest",
    "Sigmoid": "its exponentials are not exact: use a quantized ReLU",
    "Tanh": "its exponentials are not exact: use a quantized HardTanh",
    "Concat": "it joins activations, which the integer graph cannot do yet: use a network without branches",
}
_NODES: Mapping[str, Callable[[StoredNode, Inputs, Builder], Value]] = {
    "AveragePool": _average_pool,
    "BipolarQuant": _bipolar_quant,
    "Conv": _conv,
    "Flatten": shapes.flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "IntQuant": _quant,
    "MatMul": _mat_mul,
    "MaxPool": shapes.max_pool,
    "MultiThreshold": _multi_threshold,
    "Pad": shapes.pad,
    "Quant": _quant,
    "ReduceMean": _reduce_mean,
    "Reshape": shapes.reshape,
    "Sign": _sign,
    "Squeeze": shapes.squeeze,
    "Transpose": shapes.transpose,
    "Unsqueeze": shapes.squeeze,
}

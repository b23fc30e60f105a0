"""From an operator of a QONNX graph to the value of its output, a function each.

Layers become sums, which wait until a quantizer (or the model's output) says which whole numbers they are to be; what stands
between is collected as functions of a float32 number. Whatever cannot be had exactly raises ModelError.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ...sim.errors import ModelError
from ..ir import MaxPool2D, Pad
from . import qonnx_layers as layers
from .qonnx_builder import Builder, as_channels_last, channels_last, natural_index
from .qonnx_constants import fold
from .qonnx_functions import OPERATORS as ELEMENTWISE
from .qonnx_functions import function_of
from .qonnx_quantizers import Quantizer, bipolar, multi_threshold, quant, sign
from .qonnx_reader import StoredNode
from .qonnx_values import Constant, Function, Pool, Quantized, Real, Shape, Sums, Value

Inputs = Sequence[Value | None]
_QUANTIZE_FIRST = "its input is not quantized: put a quantizer before it"


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


def _activation(inputs: Inputs, position: int = 0) -> Real | Quantized | Sums:
    value = inputs[position] if len(inputs) > position else None
    if value is None or isinstance(value, Constant):
        raise ModelError("its first input must be an activation: the file is damaged")
    return value


def _quantized(inputs: Inputs) -> Quantized:
    value = _activation(inputs)
    if not isinstance(value, Quantized):
        raise ModelError(_QUANTIZE_FIRST)
    return value


def _constant(inputs: Inputs, position: int, what: str) -> Constant:
    value = inputs[position] if len(inputs) > position else None
    if not isinstance(value, Constant):
        raise ModelError(f"its {what} must be a constant, and is computed or missing")
    return value


def _elementwise(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    active = [position for position, value in enumerate(inputs) if value is not None and not isinstance(value, Constant)]
    if len(active) > 1:
        raise ModelError(
            "it joins two activations, which the integer graph cannot do exactly yet: use a network without branches"
        )
    x = _activation(inputs, active[0])
    constants = [value if isinstance(value, Constant) else None for value in inputs]
    return _apply(node, function_of(node, active[0], x.shape, constants), x, builder)


def _apply(node: StoredNode, function: Function, x: Real | Quantized | Sums, builder: Builder) -> Value:
    """A function that waits for a quantizer; a mere change of scale waits for none."""
    if isinstance(x, Real):
        return Real(shape=x.shape, index=x.index, functions=(*x.functions, function))
    if isinstance(x, Quantized):
        rescaled = _rescaled(x, function)
        if rescaled is not None:
            return rescaled
        x = layers.each(node, builder, x)
    return layers.replaced(x, functions=(*x.functions, function))


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
    return Quantized(**{**vars(x), "scale": new})


def _quantize(quantizer: Quantizer, node: StoredNode, inputs: Inputs, builder: Builder) -> Quantized:
    x = _activation(inputs)
    output, label = node.outputs[0], node.name or node.outputs[0]
    if isinstance(x, Real):
        return builder.discretized(x, quantizer, output, label)
    if isinstance(x, Quantized):
        with np.errstate(all="ignore"):
            levels = quantizer.levels(x.levels[:, np.newaxis])
        same = levels.shape[1] == 1 and (levels[:, 0] - quantizer.zero_point == x.whole).all()
        if same and quantizer.scale == x.scale:
            return x
        x = layers.each(node, builder, x)
    return builder.requantized(x, quantizer, output)


def _quant(node: StoredNode, inputs: Inputs, builder: Builder) -> Quantized:
    scale, zero_point, bits = (_constant(inputs, position, "scale, zero point and bit width") for position in (1, 2, 3))
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
    scale = _constant(inputs, 1, "scale").array.astype(np.float32)
    return _quantize(bipolar(scale), node, inputs, builder)


def _sign(node: StoredNode, inputs: Inputs, builder: Builder) -> Quantized:
    return _quantize(sign(), node, inputs, builder)


def _multi_threshold(node: StoredNode, inputs: Inputs, builder: Builder) -> Quantized:
    thresholds = _constant(inputs, 1, "thresholds").array
    x = _activation(inputs)
    if node.attributes.get("data_layout", "") not in ("", "NCHW", "NC"):
        raise ModelError(f"its data layout is {node.attributes['data_layout']}: export the model with channels second")
    if thresholds.ndim == 2 and len(thresholds) not in (1, x.shape[1] if len(x.shape) > 1 else 1):
        raise ModelError(f"it has thresholds for {len(thresholds)} channels, its input has the shape {x.shape}")
    quantizer = multi_threshold(
        thresholds, float(node.attributes.get("out_scale", 1.0)), float(node.attributes.get("out_bias", 0.0))
    )
    return _quantize(quantizer, node, inputs, builder)


def _conv(node: StoredNode, inputs: Inputs, builder: Builder) -> Sums:
    sums = layers.conv(node, builder, _quantized(inputs), _constant(inputs, 1, "weights"))
    if len(inputs) > 2 and inputs[2] is not None:
        bias = _constant(inputs, 2, "bias").array
        if bias.shape != (sums.channels,):
            raise ModelError(f"its bias of shape {bias.shape} does not fit {sums.channels} channels: the file is damaged")
        return layers.with_bias(node, sums, Constant(array=bias.reshape(1, -1, 1, 1)), first=False)
    return sums


def _mat_mul(node: StoredNode, inputs: Inputs, builder: Builder) -> Sums:
    if isinstance(inputs[0], Constant):
        raise ModelError("it multiplies a constant by an activation: swap its inputs")
    return layers.fully_connected(node, _quantized(inputs), _constant(inputs, 1, "weights"), transposed=False)


def _gemm(node: StoredNode, inputs: Inputs, builder: Builder) -> Sums:
    factors = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    if factors != (1.0, 1.0) or node.attributes.get("transA", 0):
        raise ModelError("its alpha and beta must be 1, and transA 0: export the layer as it was trained")
    sums = layers.fully_connected(
        node, _quantized(inputs), _constant(inputs, 1, "weights"), transposed=bool(node.attributes.get("transB", 0))
    )
    if len(inputs) > 2 and inputs[2] is not None:
        return layers.with_bias(node, sums, _constant(inputs, 2, "bias"), first=True)
    return sums


def _max_pool(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    x = _activation(inputs)
    if isinstance(x, Real):
        raise ModelError(_QUANTIZE_FIRST)
    if len(x.shape) != 4 or len(node.outputs) > 1:
        raise ModelError(f"its input must have the shape (1, channels, height, width), not {x.shape}, and its output be one")
    kernel = _kernel(node)
    stride, dilation, padding, (rows, columns) = layers.windows(node, (x.shape[2], x.shape[3]), kernel)
    if dilation != (1, 1) or any(max(pair) >= size for pair, size in zip(padding, kernel, strict=True)):
        raise ModelError(f"its dilations must be 1, not {dilation}, and its padding less than its window")
    fields: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
    shape = (1, x.shape[1], rows, columns)
    if isinstance(x, Sums):
        label = node.name or node.outputs[0]
        return layers.replaced(
            x, shape=shape, pools=(*x.pools, Pool(fields=fields, after=len(x.functions), shape=shape, label=label))
        )
    tensor = builder.arranged(x.tensor, as_channels_last(x.index), node.name or node.outputs[0])
    stored = builder.tensors[tensor]
    pooled = builder.tensor(
        node.outputs[0], channels_last(shape), scale=stored.scale, zero_point=stored.zero_point, bits=stored.bits
    )
    builder.nodes.append(
        MaxPool2D(name=builder.node_name(node.name or node.outputs[0]), inputs=(tensor,), output=pooled, **fields)
    )
    return Quantized(**{**vars(x), "tensor": pooled, "shape": shape, "index": natural_index(shape)})


def _kernel(node: StoredNode) -> tuple[int, int]:
    kernel = tuple(int(size) for size in node.attributes.get("kernel_shape", ()))
    if len(kernel) != 2 or min(kernel) < 1 or max(kernel) > 1 << 12:
        raise ModelError(f"its kernel_shape must be two sizes, not {kernel}: pool in two dimensions")
    return kernel[0], kernel[1]


def _average_pool(node: StoredNode, inputs: Inputs, builder: Builder) -> Sums:
    return _divided(layers.average(node, builder, _quantized(inputs), _kernel(node)), prod(_kernel(node)))


def _global_average_pool(node: StoredNode, inputs: Inputs, builder: Builder) -> Sums:
    x = _quantized(inputs)
    if len(x.shape) != 4:
        raise ModelError(f"its input must have the shape (1, channels, height, width), not {x.shape}")
    return _divided(layers.average(node, builder, x, (x.shape[2], x.shape[3])), x.shape[2] * x.shape[3])


def _reduce_mean(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    x = _quantized(inputs)
    stored = inputs[1].array if len(inputs) > 1 and isinstance(inputs[1], Constant) else node.attributes.get("axes", ())
    axes = sorted(int(axis) % max(len(x.shape), 1) for axis in np.asarray(stored).ravel())
    if axes != [2, 3] or len(x.shape) != 4:
        raise ModelError(f"it averages over the axes {axes} of {x.shape}: average over height and width, 2 and 3")
    sums = _global_average_pool(node, inputs, builder)
    return sums if node.attributes.get("keepdims", 1) else layers.replaced(sums, shape=sums.shape[:2])


def _divided(sums: Sums, count: int) -> Sums:
    divisor = np.float32(count)
    function: Function = lambda x: x / divisor  # noqa: E731
    return layers.replaced(sums, functions=(*sums.functions, function))


def _flatten(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    x = _activation(inputs)
    axis = int(node.attributes.get("axis", 1))
    axis = axis + len(x.shape) if axis < 0 else axis
    if not 0 <= axis <= len(x.shape):
        raise ModelError(f"its axis {axis} is none of an input of shape {x.shape}: the file is damaged")
    return _shaped(x, (prod(x.shape[:axis]), prod(x.shape[axis:])))


def _reshape(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    x = _activation(inputs)
    wanted = [int(size) for size in _constant(inputs, 1, "shape").array.ravel()]
    sizes = [x.shape[axis] if size == 0 and axis < len(x.shape) else size for axis, size in enumerate(wanted)]
    known = prod(size for size in sizes if size != -1)
    if sizes.count(-1) > 1 or known <= 0 or min(sizes, default=0) < -1 or prod(x.shape) % known:
        raise ModelError(f"its new shape {tuple(wanted)} does not fit an input of shape {x.shape}")
    return _shaped(x, tuple(prod(x.shape) // known if size == -1 else size for size in sizes))


def _squeeze(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    x = _activation(inputs)
    stored = inputs[1].array if len(inputs) > 1 and isinstance(inputs[1], Constant) else node.attributes.get("axes", ())
    axes = [int(axis) for axis in np.asarray(stored).ravel()]
    if node.op == "Unsqueeze":
        rank = len(x.shape) + len(axes)
        places = {axis % rank for axis in axes}
        sizes = iter(x.shape)
        return _shaped(x, tuple(1 if place in places else next(sizes, 1) for place in range(rank)))
    places = {axis % len(x.shape) for axis in axes} or set(range(1, len(x.shape)))
    return _shaped(x, tuple(size for place, size in enumerate(x.shape) if place not in places or size != 1))


def _transpose(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    x = _activation(inputs)
    axes = tuple(int(axis) for axis in node.attributes.get("perm", reversed(range(len(x.shape)))))
    if sorted(axes) != list(range(len(x.shape))) or axes[0] != 0:
        raise ModelError(f"its axes {axes} must be those of an input of shape {x.shape}, the batch first")
    if isinstance(x, Sums) or (isinstance(x, Real) and x.functions):
        raise ModelError("it stands between a layer and its quantizer: transpose behind the quantizer")
    return type(x)(**{**vars(x), "shape": tuple(x.shape[axis] for axis in axes), "index": x.index.transpose(axes)})


def _shaped(x: Real | Quantized | Sums, shape: Shape) -> Value:
    """The same elements under another shape."""
    if prod(shape) != prod(x.shape) or not shape or shape[0] != 1:
        raise ModelError(f"its input of shape {x.shape} cannot become {shape}: keep the batch of one in the first axis")
    if isinstance(x, Sums):
        if prod(shape) != x.channels or len(shape) < 2 or shape[1] != x.channels or x.pools:
            raise ModelError("it reshapes an image between a layer and its quantizer: reshape behind the quantizer")
        return layers.replaced(x, shape=shape)
    if isinstance(x, Real) and x.functions and shape != x.shape:
        wide = any(function(np.zeros((1, 1), np.float32)).shape[1] > 1 for function in x.functions)
        if wide:
            raise ModelError("it reshapes the input between its channels' constants and its quantizer: reshape behind it")
    return type(x)(**{**vars(x), "shape": shape, "index": x.index.reshape(shape)})


def _pad(node: StoredNode, inputs: Inputs, builder: Builder) -> Quantized:
    """Padding with the real 0; a convolution behind it makes it its own."""
    x = _quantized(inputs)
    pads = [int(pad) for pad in _constant(inputs, 1, "pads").array.ravel()]
    value = inputs[2].array.ravel() if len(inputs) > 2 and isinstance(inputs[2], Constant) else np.zeros(1)
    if node.attributes.get("mode", "constant") != "constant" or value.size != 1 or value[0] != 0:
        raise ModelError("it must pad with the constant 0: export the model with zero padding")
    if len(x.shape) != 4 or len(pads) != 8 or min(pads) < 0 or max(pads) > 1 << 12 or any(pads[k] for k in (0, 1, 4, 5)):
        raise ModelError(f"its pads {tuple(pads)} must be of height and width alone, in an input of shape {x.shape}")
    label = node.name or node.outputs[0]
    tensor = builder.arranged(x.tensor, as_channels_last(x.index), label)
    shape = (1, x.shape[1], x.shape[2] + pads[2] + pads[6], x.shape[3] + pads[3] + pads[7])
    stored, bits = builder.tensors[tensor], max(2, x.bits)
    padded = builder.tensor(node.outputs[0], channels_last(shape), scale=stored.scale, zero_point=x.zero_point, bits=bits)
    padding = ((0, 0), (pads[2], pads[6]), (pads[3], pads[7]), (0, 0))
    builder.nodes.append(
        Pad(name=builder.node_name(label), inputs=(tensor,), output=padded, padding=padding, value=x.zero_point)
    )
    return Quantized(**{**vars(x), "tensor": padded, "shape": shape, "index": natural_index(shape), "bits": bits})


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
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "IntQuant": _quant,
    "MatMul": _mat_mul,
    "MaxPool": _max_pool,
    "MultiThreshold": _multi_threshold,
    "Pad": _pad,
    "Quant": _quant,
    "ReduceMean": _reduce_mean,
    "Reshape": _reshape,
    "Sign": _sign,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _squeeze,
}

"""Operators that move elements, or take the largest: pooling, flattening, reshaping, transposing, padding."""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ...sim.errors import ModelError
from ..ir import MaxPool2D, Pad
from .qonnx_builder import Builder, as_channels_last, channels_last, natural_index
from .qonnx_inputs import QUANTIZE_FIRST, Inputs, constant, movable, quantized
from .qonnx_layers import kernel_of, windows
from .qonnx_reader import StoredNode
from .qonnx_values import Constant, Pool, Quantized, Real, Shape, Sums, Value


def max_pool(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    x = movable(inputs)
    if isinstance(x, Real):
        raise ModelError(QUANTIZE_FIRST)
    if len(x.shape) != 4 or len(node.outputs) > 1:
        raise ModelError(f"its input must have the shape (1, channels, height, width), not {x.shape}, and its output be one")
    kernel = kernel_of(node)
    stride, dilation, padding, (rows, columns) = windows(node, (x.shape[2], x.shape[3]), kernel)
    if dilation != (1, 1) or any(max(pair) >= size for pair, size in zip(padding, kernel, strict=True)):
        raise ModelError(f"its dilations must be 1, not {dilation}, and its padding less than its window")
    fields: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
    shape = (1, x.shape[1], rows, columns)
    if isinstance(x, Sums):
        label = node.name or node.outputs[0]
        return replace(x, shape=shape, pools=(*x.pools, Pool(fields=fields, after=len(x.functions), shape=shape, label=label)))
    tensor = builder.arranged(x.tensor, as_channels_last(x.index), node.name or node.outputs[0])
    stored = builder.tensors[tensor]
    pooled = builder.tensor(
        node.outputs[0], channels_last(shape), scale=stored.scale, zero_point=stored.zero_point, bits=stored.bits
    )
    builder.nodes.append(
        MaxPool2D(name=builder.node_name(node.name or node.outputs[0]), inputs=(tensor,), output=pooled, **fields)
    )
    return replace(x, tensor=pooled, shape=shape, index=natural_index(shape))


def flatten(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    x = movable(inputs)
    axis = int(node.attributes.get("axis", 1))
    axis = axis + len(x.shape) if axis < 0 else axis
    if not 0 <= axis <= len(x.shape):
        raise ModelError(f"its axis {axis} is none of an input of shape {x.shape}: the file is damaged")
    return _shaped(x, (prod(x.shape[:axis]), prod(x.shape[axis:])))


def reshape(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    x = movable(inputs)
    wanted = [int(size) for size in constant(inputs, 1, "shape").array.ravel()]
    sizes = [x.shape[axis] if size == 0 and axis < len(x.shape) else size for axis, size in enumerate(wanted)]
    known = prod(size for size in sizes if size != -1)
    if sizes.count(-1) > 1 or known <= 0 or min(sizes, default=0) < -1 or prod(x.shape) % known:
        raise ModelError(f"its new shape {tuple(wanted)} does not fit an input of shape {x.shape}")
    return _shaped(x, tuple(prod(x.shape) // known if size == -1 else size for size in sizes))


def squeeze(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    x = movable(inputs)
    stored = inputs[1].array if len(inputs) > 1 and isinstance(inputs[1], Constant) else node.attributes.get("axes", ())
    axes = [int(axis) for axis in np.asarray(stored).ravel()]
    if node.op == "Unsqueeze":
        rank = len(x.shape) + len(axes)
        places = {axis % rank for axis in axes}
        sizes = iter(x.shape)
        return _shaped(x, tuple(1 if place in places else next(sizes, 1) for place in range(rank)))
    places = {axis % len(x.shape) for axis in axes} or set(range(1, len(x.shape)))
    return _shaped(x, tuple(size for place, size in enumerate(x.shape) if place not in places or size != 1))


def transpose(node: StoredNode, inputs: Inputs, builder: Builder) -> Value:
    x = movable(inputs)
    axes = tuple(int(axis) for axis in node.attributes.get("perm", reversed(range(len(x.shape)))))
    if sorted(axes) != list(range(len(x.shape))) or axes[0] != 0:
        raise ModelError(f"its axes {axes} must be those of an input of shape {x.shape}, the batch first")
    if isinstance(x, Sums) or (isinstance(x, Real) and x.functions):
        raise ModelError("it stands between a layer and its quantizer: transpose behind the quantizer")
    return replace(x, shape=tuple(x.shape[axis] for axis in axes), index=x.index.transpose(axes))


def _shaped(x: Real | Quantized | Sums, shape: Shape) -> Value:
    """The same elements under another shape."""
    if prod(shape) != prod(x.shape) or not shape or shape[0] != 1:
        raise ModelError(f"its input of shape {x.shape} cannot become {shape}: keep the batch of one in the first axis")
    if isinstance(x, Sums):
        if prod(shape) != x.channels or len(shape) < 2 or shape[1] != x.channels or x.pools:
            raise ModelError("it reshapes an image between a layer and its quantizer: reshape behind the quantizer")
        return replace(x, shape=shape)
    if isinstance(x, Real) and x.functions and shape != x.shape:
        wide = any(function(np.zeros((1, 1), np.float32)).shape[1] > 1 for function in x.functions)
        if wide:
            raise ModelError("it reshapes the input between its channels' constants and its quantizer: reshape behind it")
    return replace(x, shape=shape, index=x.index.reshape(shape))


def pad(node: StoredNode, inputs: Inputs, builder: Builder) -> Quantized:
    """Padding with the real 0; a convolution behind it makes it its own."""
    x = quantized(inputs)
    pads = [int(pad) for pad in constant(inputs, 1, "pads").array.ravel()]
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
    return replace(x, tensor=padded, shape=shape, index=natural_index(shape), bits=bits)

"""From ONNX' operators to steps: a function an operator. Whatever is not understood raises ModelError and names the node."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from ...sim.errors import ModelError
from ..frontends.qonnx_reader import StoredModel, StoredNode
from .network import Float32Array, Shape, Step

_SAME = ("Identity", "Dropout")
_SHAPES = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
_WINDOWS = ("kernel_shape", "strides", "pads", "dilations", "count_include_pad")


class Reader:
    """Reads the nodes of a simplified model one after the other."""

    def __init__(self, stored: StoredModel, shapes: Mapping[str, Shape]) -> None:
        self._stored = stored
        self._shapes = shapes
        self._constants = dict(stored.constants)
        self._steps: list[Step] = []
        self._names = {stored.input: stored.input}  # what an activation is called behind Identity and Dropout

    def steps(self) -> tuple[Step, ...]:
        """The network's steps."""
        for node in self._stored.nodes:
            if node.op == "Constant":
                self._constants[node.outputs[0]] = np.asarray(node.attributes.get("value", np.zeros(0, np.float32)))
                continue
            self._read(node)
        if self._stored.outputs[0] not in self._names:
            raise ModelError(f"nothing computes its output {self._stored.outputs[0]!r} from its input: the file is damaged")
        return tuple(self._steps)

    def _read(self, node: StoredNode) -> None:
        active = [name for name in node.inputs if name and name not in self._constants]
        missing = [name for name in active if name not in self._names]
        if missing:
            raise ModelError(f"{node}: nothing computes its input {missing[0]!r} before it: the file is damaged")
        if node.op in _SAME and len(active) == 1:
            self._names[node.outputs[0]] = self._names[active[0]]
            if node.outputs[0] in self._stored.outputs:
                self._step(node, active, op="Reshape")
            return
        known = {**_OPERATORS, **dict.fromkeys(_SHAPES, Reader._reshape)}
        if node.op not in known:
            raise ModelError(
                f"{node} is none that can be quantized: known are {', '.join(sorted((*known, *_SAME)))}; leave it out of the"
                " exported network, or train with a QONNX exporter"
            )
        known[node.op](self, node, active)

    def _step(self, node: StoredNode, active: list[str], *, op: str = "", **fields: Any) -> None:
        output = node.outputs[0]
        shape = self._shapes.get(output, ())
        if not shape or min(shape) < 1 or shape[0] != 1:
            raise ModelError(f"{node}: its output has the shape {shape}, and must have a fixed one: export with a batch of one")
        self._names[output] = output
        self._steps.append(
            Step(
                op=op or node.op,
                name=node.name or output,
                inputs=tuple(self._names[name] for name in active),
                output=output,
                shape=shape,
                **fields,
            )
        )

    def _constant(self, node: StoredNode, position: int, what: str) -> Float32Array:
        name = node.inputs[position] if len(node.inputs) > position else ""
        if name not in self._constants:
            raise ModelError(f"{node}: its {what} must be a constant, and is computed or missing")
        array = self._constants[name].astype(np.float32)
        if not np.isfinite(array).all():
            raise ModelError(f"{node}: its {what} holds what is no finite number: train the model again")
        return array

    def _one(self, node: StoredNode, active: list[str], rank: int) -> Shape:
        """The shape of a node's only activation, its first input."""
        if len(active) != 1 or node.inputs[0] != active[0]:
            raise ModelError(f"{node} must have one activation, its first input, and has {len(active)}: use constants")
        shape = self._shapes.get(active[0], ())
        if len(shape) != rank:
            need = {2: "(1, features)", 4: "(1, channels, height, width)"}[rank]
            raise ModelError(f"{node}: its input must have the shape {need}, not {shape}: the fabric has no other")
        return shape

    def _optional_bias(self, node: StoredNode, position: int, outputs: int) -> Float32Array:
        if len(node.inputs) <= position or not node.inputs[position]:
            return np.zeros(outputs, np.float32)
        bias = self._constant(node, position, "bias").ravel()
        if bias.size not in (1, outputs):
            raise ModelError(f"{node}: its bias has {bias.size} values for {outputs} outputs: the file is damaged")
        return np.ascontiguousarray(np.broadcast_to(bias, (outputs,)))

    def _conv(self, node: StoredNode, active: list[str]) -> None:
        channels = self._one(node, active, 4)[1]
        weights = self._constant(node, 1, "weights")
        attributes = self._windows(node)
        if weights.ndim != 4:
            raise ModelError(f"{node}: its weights must have four axes, not the shape {weights.shape}")
        groups = int(node.attributes.get("group", 1))
        if groups < 1 or weights.shape[1] * groups != channels or len(weights) % groups or not weights.size:
            raise ModelError(
                f"{node}: its weights of shape {weights.shape} in {groups} groups do not fit an input of {channels} channels"
            )
        self._step(
            node, active, weights=weights, bias=self._optional_bias(node, 2, len(weights)),
            attributes={**attributes, "kernel_shape": list(weights.shape[2:]), "group": groups},
        )  # fmt: skip

    def _windows(self, node: StoredNode) -> dict[str, Any]:
        if node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID", "") or node.attributes.get("ceil_mode", 0):
            raise ModelError(f"{node}: its auto_pad must be NOTSET and its ceil_mode 0: export it with explicit pads")
        if len(node.outputs) > 1:
            raise ModelError(f"{node} has {len(node.outputs)} outputs: export it with one")
        return {name: node.attributes[name] for name in _WINDOWS if name in node.attributes}

    def _gemm(self, node: StoredNode, active: list[str]) -> None:
        features = self._one(node, active, 2)[1]
        attributes = node.attributes
        if attributes.get("transA", 0):
            raise ModelError(f"{node}: its transA must be 0: export the layer as it was trained")
        weights = self._constant(node, 1, "weights") * np.float32(attributes.get("alpha", 1.0))
        if weights.ndim != 2:
            raise ModelError(f"{node}: its weights must be a matrix, not of the shape {weights.shape}")
        weights = weights if attributes.get("transB", 0) else weights.T
        self._check_features(node, weights, features)
        bias = self._optional_bias(node, 2, len(weights)) * np.float32(attributes.get("beta", 1.0))
        self._step(node, active, weights=np.ascontiguousarray(weights), bias=bias)

    def _mat_mul(self, node: StoredNode, active: list[str]) -> None:
        features = self._one(node, active, 2)[1]
        weights = self._constant(node, 1, "weights")
        if weights.ndim != 2:
            raise ModelError(f"{node}: its weights must be a matrix, not of the shape {weights.shape}")
        self._check_features(node, weights.T, features)
        self._step(
            node, active, op="Gemm", weights=np.ascontiguousarray(weights.T), bias=np.zeros(weights.shape[1], np.float32)
        )

    def _check_features(self, node: StoredNode, weights: Float32Array, features: int) -> None:
        if weights.shape[1] != features or not weights.size:
            raise ModelError(f"{node}: its weights of shape {weights.shape} do not fit an input of {features} features")

    def _binary(self, node: StoredNode, active: list[str]) -> None:
        if len(active) == 2 and node.op == "Add":
            shapes = [self._shapes.get(name) for name in active]
            if shapes[0] != shapes[1]:
                raise ModelError(f"{node} adds activations of the shapes {shapes[0]} and {shapes[1]}: make them equal")
            return self._step(node, active)
        if len(active) != 1 or (node.op in ("Sub", "Div") and node.inputs[0] != active[0]):
            raise ModelError(f"{node} joins activations as the fabric cannot: it adds two, and scales by constants")
        other = self._constant(node, 1 - node.inputs.index(active[0]), "operand")
        values = self._channels(node, other, self._shapes.get(active[0], ()))
        if node.op == "Div" and not values.all():
            raise ModelError(f"{node} divides by 0: train the model again")
        factor, offset = np.ones_like(values), np.zeros_like(values)
        if node.op in ("Mul", "Div"):
            factor = values if node.op == "Mul" else np.reciprocal(values)
        else:
            offset = values if node.op == "Add" else -values
        self._step(node, active, op="Affine", weights=factor, bias=offset)

    def _channels(self, node: StoredNode, other: Float32Array, shape: Shape) -> Float32Array:
        """One number a channel. Raises ModelError where an operand varies otherwise."""
        if len(shape) < 2:
            raise ModelError(f"{node}: its input has the shape {shape}, and needs channels in the second axis")
        try:
            rows = np.broadcast_to(other, shape).reshape(shape[1], -1)
        except ValueError:
            rows = np.zeros((1, 0), np.float32)
        if not rows.size or (rows != rows[:, :1]).any():
            raise ModelError(
                f"{node}: its constant of shape {other.shape} must be one number a channel of {shape}, at every position"
            )
        return np.ascontiguousarray(rows[:, 0])

    def _batch_norm(self, node: StoredNode, active: list[str]) -> None:
        scale, bias, mean, variance = (
            self._constant(node, place, what).astype(np.float64).ravel()
            for place, what in enumerate(("scale", "bias", "mean", "variance"), 1)
        )
        factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
        self._step(node, active, op="Affine", weights=factor.astype(np.float32), bias=(bias - mean * factor).astype(np.float32))

    def _relu(self, node: StoredNode, active: list[str]) -> None:
        self._step(node, active, low=0.0)

    def _clip(self, node: StoredNode, active: list[str]) -> None:
        ends = [node.attributes.get("min", -np.inf), node.attributes.get("max", np.inf)]
        for place in (1, 2):
            if len(node.inputs) > place and node.inputs[place]:
                ends[place - 1] = self._constant(node, place, "limit").reshape(-1)[0]
        self._step(node, active, low=float(ends[0]), high=float(ends[1]))

    def _pool(self, node: StoredNode, active: list[str]) -> None:
        self._one(node, active, 4)
        self._step(node, active, attributes=self._windows(node))

    def _global_pool(self, node: StoredNode, active: list[str]) -> None:
        self._one(node, active, 4)
        self._step(node, active, op="GlobalAveragePool")

    def _mean(self, node: StoredNode, active: list[str]) -> None:
        shape = self._one(node, active, 4)
        stored = self._constant(node, 1, "axes") if len(node.inputs) > 1 else np.asarray(node.attributes.get("axes", ()))
        axes = sorted(int(axis) % 4 for axis in stored.ravel())
        if axes != [2, 3]:
            raise ModelError(f"{node} averages over the axes {axes} of {shape}: average over height and width, 2 and 3")
        self._step(node, active, op="GlobalAveragePool")

    def _reshape(self, node: StoredNode, active: list[str]) -> None:
        self._step(node, active[:1], op="Reshape")
        if prod(self._steps[-1].shape) != prod(self._shapes.get(active[0], ())):
            raise ModelError(f"{node}: its input and its output differ in size: the file is damaged")

    def _transpose(self, node: StoredNode, active: list[str]) -> None:
        axes = [int(axis) for axis in node.attributes.get("perm", ())]
        if not axes or axes[0] != 0:
            raise ModelError(f"{node}: its axes {axes} must leave the batch first")
        self._step(node, active, attributes={"perm": axes})

    def _pad(self, node: StoredNode, active: list[str]) -> None:
        self._one(node, active, 4)
        pads = [int(pad) for pad in self._constant(node, 1, "pads").ravel()]
        value = self._constant(node, 2, "value").ravel() if len(node.inputs) > 2 and node.inputs[2] else np.zeros(1)
        if node.attributes.get("mode", "constant") != "constant" or value.any() or len(pads) != 8 or any(pads[:2] + pads[4:6]):
            raise ModelError(f"{node} must pad height and width with zeros: export the model so")
        self._step(node, active, attributes={"pads": pads})

    def _softmax(self, node: StoredNode, active: list[str]) -> None:
        self._step(node, active)


_OPERATORS: Mapping[str, Callable[[Reader, StoredNode, list[str]], None]] = {
    "Add": Reader._binary,
    "AveragePool": Reader._pool,
    "BatchNormalization": Reader._batch_norm,
    "Clip": Reader._clip,
    "Conv": Reader._conv,
    "Div": Reader._binary,
    "Gemm": Reader._gemm,
    "GlobalAveragePool": Reader._global_pool,
    "LogSoftmax": Reader._softmax,
    "MatMul": Reader._mat_mul,
    "MaxPool": Reader._pool,
    "Mul": Reader._binary,
    "Pad": Reader._pad,
    "ReduceMean": Reader._mean,
    "Relu": Reader._relu,
    "Softmax": Reader._softmax,
    "Sub": Reader._binary,
    "Transpose": Reader._transpose,
}

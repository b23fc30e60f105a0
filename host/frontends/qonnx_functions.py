"""Element-wise operators as functions of float32 numbers, in the executor's own arithmetic, and their like on constants.

The executor runs standard operators on onnxruntime, in float32. Its batch normalization is x * a + (bias - mean * a),
a = 1 / sqrt(variance + epsilon) * scale, each operation rounded: `tests` hold that against it.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...sim.errors import ModelError
from .qonnx_reader import StoredNode
from .qonnx_values import Array, Constant, Float32Array, Function, Shape

_BINARY: Mapping[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}

OPERATORS = (*_BINARY, "BatchNormalization", "Clip", "LeakyRelu", "Neg", "Relu")


def function_of(node: StoredNode, position: int, shape: Shape, constants: Sequence[Constant | None]) -> Function:
    """The function of an element-wise node whose input number `position` is an activation of `shape`.

    `constants` are the node's inputs, None where it is the activation or is left out. Raises ModelError.
    """
    if node.op in _BINARY:
        return _binary(node, position, shape, constants)
    if node.op == "BatchNormalization":
        return _batch_normalization(node, shape, constants)
    if node.op == "Relu":
        return lambda x: np.maximum(x, np.float32(0))
    if node.op == "Neg":
        return np.negative
    if node.op == "LeakyRelu":
        slope = np.float32(node.attributes.get("alpha", 0.01))
        if not slope >= 0:
            raise ModelError(f"its slope must be 0 or more, not {slope:g}: a function that falls and rises has no thresholds")
        return lambda x: np.where(x >= 0, x, x * slope)
    return _clip(node, constants)


def _binary(node: StoredNode, position: int, shape: Shape, constants: Sequence[Constant | None]) -> Function:
    other = constants[1 - position]
    assert other is not None
    values = per_channel(other, shape)
    operate = _BINARY[node.op]
    if position == 1 and node.op == "Div":
        raise ModelError("it divides by an activation, which no threshold does: multiply by a constant instead")
    if not np.isfinite(values).all() or (node.op == "Div" and not values.all()):
        raise ModelError("a constant of it is no number to calculate with: the file is damaged")
    if position == 0:
        return lambda x: operate(x, values)
    return lambda x: operate(values, x)


def _batch_normalization(node: StoredNode, shape: Shape, constants: Sequence[Constant | None]) -> Function:
    if len(shape) < 2 or len(constants) != 5 or any(value is None for value in constants[1:]):
        raise ModelError("it needs an input with channels, and four constants: the file is damaged")
    scale, bias, mean, variance = (_vector(value, shape[1]) for value in constants[1:] if value is not None)
    with np.errstate(all="ignore"):
        root = np.sqrt(variance + np.float32(node.attributes.get("epsilon", 1e-5)))
        factor = np.float32(1) / root * scale
        offset = bias - mean * factor
    if not (np.isfinite(factor).all() and np.isfinite(offset).all()):
        raise ModelError("its constants must give finite numbers, and a channel's do not: train the model again")
    return lambda x: x * factor + offset


def _vector(constant: Constant, channels: int) -> Float32Array:
    array = constant.array.astype(np.float32).ravel()
    if array.size != channels:
        raise ModelError(f"it has {array.size} constants for {channels} channels: the file is damaged")
    return array


def _clip(node: StoredNode, constants: Sequence[Constant | None]) -> Function:
    ends = []
    for number, (name, other, default) in enumerate((("min", "min_val", -np.inf), ("max", "max_val", np.inf)), 1):
        stored = constants[number] if len(constants) > number else None
        value = stored.array.ravel() if stored is not None else [node.attributes.get(name, node.attributes.get(other, default))]
        if len(value) != 1 or np.isnan(value[0]):
            raise ModelError("its limits must be two numbers: the file is damaged")
        ends.append(np.float32(value[0]))
    low, high = ends
    return lambda x: np.minimum(np.maximum(x, low), high)


def per_channel(constant: Constant, shape: Shape) -> Float32Array:
    """float32 (channels,) or (1,): a constant that meets an activation of `shape`. Raises ModelError if it varies otherwise."""
    array = constant.array.astype(np.float32)
    if array.size == 1:
        return array.reshape(1)
    try:
        full = np.broadcast_to(array, shape)
    except ValueError:
        raise ModelError(f"its constant of shape {array.shape} does not fit an activation of shape {shape}") from None
    if len(shape) < 2 or full.shape[0] != 1:
        raise ModelError(f"its activation has the shape {shape}: constants need channels in the second axis")
    rows = full.reshape(shape[1], -1)
    if (rows != rows[:, :1]).any():
        raise ModelError(f"its constant of shape {array.shape} must be one number a channel, the same at every position")
    return np.ascontiguousarray(rows[:, 0])

"""Nodes of constants alone (weights behind quantizers, shapes, transposed matrices), folded with the executor's arithmetic."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx

from ...sim.errors import ModelError
from .qonnx_quantizers import ROUNDINGS, integer_range
from .qonnx_reader import StoredNode
from .qonnx_values import Array, Constant, Grid

_MAX_ELEMENTS = 1 << 26


def fold(node: StoredNode, inputs: Sequence[Constant | None]) -> Constant:
    """The constant that a node of constants computes. Raises ModelError."""
    if node.op not in _FOLDED:
        raise ModelError(f"it computes on constants alone, and is none of {', '.join(_FOLDED)}: simplify the exported model")
    try:
        with np.errstate(all="ignore"):
            result = _FOLDED[node.op](node, [value for value in inputs if value is not None])
    except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        raise ModelError(f"its constants do not fit each other ({error}): the file is damaged") from error
    if result.array.size > _MAX_ELEMENTS:
        raise ModelError(f"its result of shape {result.shape} is too large: the file is damaged")
    return result


def _constant(node: StoredNode, inputs: Sequence[Constant]) -> Constant:
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in node.attributes:
            value = np.asarray(node.attributes[name])
            return Constant(array=value.astype(np.float32) if value.dtype == np.float64 else value)
    raise ModelError("it holds no number: the file is damaged")


def _cast(node: StoredNode, inputs: Sequence[Constant]) -> Constant:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(node.attributes["to"])
    if np.dtype(dtype).kind not in "fiub":
        raise ModelError(f"it makes numbers of the type {dtype}: export the model in float32")
    return Constant(array=inputs[0].array.astype(dtype))


def _arithmetic(operate: Callable[[Array, Array], Array]) -> Callable[[StoredNode, Sequence[Constant]], Constant]:
    return lambda node, inputs: Constant(array=np.asarray(operate(inputs[0].array, inputs[1].array)))


def _divide(a: Array, b: Array) -> Array:
    return np.divide(a, b) if a.dtype.kind == "f" else a // b


def _moved(move: Callable[[StoredNode, Sequence[Constant], Array], Array]) -> Callable[..., Constant]:
    """A node that moves elements: their whole numbers and scales move with them."""

    def apply(node: StoredNode, inputs: Sequence[Constant]) -> Constant:
        grid = inputs[0].grid
        return Constant(
            array=move(node, inputs, inputs[0].array),
            grid=None if grid is None else grid.moved(lambda array: move(node, inputs, array)),
        )

    return apply


def _transpose(node: StoredNode, inputs: Sequence[Constant], array: Array) -> Array:
    return array.transpose(node.attributes.get("perm", tuple(reversed(range(array.ndim)))))


def _reshape(node: StoredNode, inputs: Sequence[Constant], array: Array) -> Array:
    return array.reshape([array.shape[axis] if size == 0 else int(size) for axis, size in enumerate(inputs[1].array)])


def _axes(node: StoredNode, inputs: Sequence[Constant]) -> tuple[int, ...]:
    stored = inputs[1].array if len(inputs) > 1 else node.attributes.get("axes", ())
    return tuple(int(axis) for axis in np.asarray(stored).ravel())


def _unsqueeze(node: StoredNode, inputs: Sequence[Constant], array: Array) -> Array:
    return np.expand_dims(array, _axes(node, inputs))


def _squeeze(node: StoredNode, inputs: Sequence[Constant], array: Array) -> Array:
    return np.squeeze(array, _axes(node, inputs) or None)


def _gather(node: StoredNode, inputs: Sequence[Constant]) -> Constant:
    return Constant(array=np.take(inputs[0].array, inputs[1].array.astype(np.int64), axis=node.attributes.get("axis", 0)))


def _concat(node: StoredNode, inputs: Sequence[Constant]) -> Constant:
    return Constant(array=np.concatenate([value.array for value in inputs], axis=node.attributes["axis"]))


def _quant(node: StoredNode, inputs: Sequence[Constant]) -> Constant:
    x, scale, zero, bits = (value.array.astype(np.float32) for value in inputs)
    signed, narrow = bool(node.attributes.get("signed", 1)), bool(node.attributes.get("narrow", 1))
    y = x / scale + zero
    if bits.size == 1 and float(bits.reshape(())) == 1 and signed:
        whole = np.where(y >= 0, 1.0, -1.0)
    else:
        low, high = integer_range(
            bits, signed=signed, narrow=narrow, widest=32
        )  # biases may be wide, weights are checked later
        rounding = str(node.attributes.get("rounding_mode", "ROUND")).upper()
        if rounding not in ROUNDINGS:
            raise ModelError(f"its rounding mode must be one of {', '.join(ROUNDINGS)}, not {rounding}")
        whole = ROUNDINGS[rounding](np.clip(y, np.float32(low), np.float32(high)))
    return _on_grid((whole - zero).astype(np.float32), scale)


def _bipolar_quant(node: StoredNode, inputs: Sequence[Constant]) -> Constant:
    x, scale = (value.array.astype(np.float32) for value in inputs)
    return _on_grid(np.where(x >= 0, np.float32(1), np.float32(-1)), scale)


def _on_grid(whole: Array, scale: Array) -> Constant:
    if not (np.isfinite(whole).all() and np.isfinite(scale).all()):
        raise ModelError("its numbers must be finite: the file is damaged")
    array = whole * scale
    if array.shape != whole.shape or (whole != np.round(whole)).any():
        return Constant(array=array.astype(np.float32))
    return Constant(
        array=array.astype(np.float32),
        grid=Grid(whole=whole.astype(np.int64), scale=np.broadcast_to(scale, whole.shape)),
    )


def _same(node: StoredNode, inputs: Sequence[Constant]) -> Constant:
    return inputs[0]


def _unary(operate: Callable[[Array], Array]) -> Callable[[StoredNode, Sequence[Constant]], Constant]:
    return lambda node, inputs: Constant(array=np.asarray(operate(inputs[0].array)))


_FOLDED: Mapping[str, Callable[[StoredNode, Sequence[Constant]], Constant]] = {
    "Add": _arithmetic(np.add),
    "BipolarQuant": _bipolar_quant,
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "Div": _arithmetic(_divide),
    "Gather": _gather,
    "Identity": _same,
    "Mul": _arithmetic(np.multiply),
    "Neg": _unary(np.negative),
    "Quant": _quant,
    "IntQuant": _quant,
    "Reshape": _moved(_reshape),
    "Sqrt": _unary(np.sqrt),
    "Squeeze": _moved(_squeeze),
    "Sub": _arithmetic(np.subtract),
    "Transpose": _moved(_transpose),
    "Unsqueeze": _moved(_unsqueeze),
}

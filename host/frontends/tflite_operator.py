"""An operator of a .tflite file, with checked access to its tensors, constants and options.

Inputs are named by position; what is asked for and is not there, or is of another kind, raises ModelError. The sentence
begins with "its", for `tflite.py` puts in front which operator it is about.
"""

from math import isfinite, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ...sim.errors import ModelError
from ..ir import Int8Array, NumberArray, Padding, Pair
from . import scaling
from .tflite_reader import MAX_ELEMENTS, Quantization, StoredOperator, StoredTensor
from .tflite_tensors import TO_INT8, Tensors, check_scales

_MAX_KERNEL = 1 << 12  # of a window, height or width


class Operator:
    """One operator with one output. `options` are those of `tflite_reader`, unchecked."""

    def __init__(self, tensors: Tensors, index: int, stored: StoredOperator) -> None:
        if len(stored.outputs) != 1 or not stored.inputs:
            raise ModelError(
                f"it must have inputs and one output, not {len(stored.inputs)} and {len(stored.outputs)}: the file is damaged"
            )
        self.name = stored.name
        self.options = stored.options
        self._tensors = tensors
        self._index = index
        self._inputs = stored.inputs
        self._output = stored.outputs[0]

    # The output

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape that the file gives the output."""
        return self._tensors.stored(self._output).shape

    def output(self, shape: tuple[int, ...], *dtypes: str) -> str:
        """Defines the output, whose type must be one of `dtypes`, and returns its name."""
        self._check_type(self._output, dtypes)
        return self._tensors.define(self._output, shape)

    @property
    def output_quantization(self) -> Quantization:
        """The quantization that the file gives the output."""
        return self._tensors.quantization(self._output)

    def int8_output(self, shape: tuple[int, ...], dtype: str = "int8") -> tuple[str, Quantization]:
        """Defines the output, which is int8 or of another integer type; its name and quantization."""
        return self.output(shape, dtype), self.output_quantization

    # Inputs that the graph computes

    def node(self, op: str, inputs: int = 1) -> dict[str, Any]:
        """The node's own name, and those of its inputs, of which there are so many."""
        names = tuple(self._tensors.known[index].name for index in self._inputs[:inputs])
        return {"name": f"{op}_{self._index}", "inputs": names}

    def input(self, position: int, *dtypes: str) -> StoredTensor:
        """An input of one of these types."""
        if len(self._inputs) <= position:
            raise ModelError(f"it needs {position + 1} inputs, and has {len(self._inputs)}: the file is damaged")
        index = self._inputs[position]
        tensor = self._check_type(index, dtypes)
        label = self._tensors.label(index)
        if tensor.data is not None:
            raise ModelError(f"its input {label} is a constant, which it may not be: fold it into the layer before")
        if index not in self._tensors.known:
            raise ModelError(f"its input {label} is not computed before it: the file is damaged")
        return tensor

    def quantized_input(self, position: int, *dtypes: str) -> tuple[StoredTensor, Quantization]:
        """An input of one of these types, and its quantization."""
        return self.input(position, *dtypes), self._tensors.quantization(self._inputs[position])

    def int8_input(
        self, position: int = 0, *, rank: int | None = None, or_int16: bool = False
    ) -> tuple[StoredTensor, Quantization]:
        """An int8 input, or one of int16, with so many axes if it matters, and its quantization."""
        tensor, quantization = self.quantized_input(position, "int8", *(["int16"] if or_int16 else []))
        if rank is not None and len(tensor.shape) != rank:
            raise ModelError(f"its input must have {rank} axes, not the shape {tensor.shape}")
        return tensor, quantization

    # Constants

    def constant(self, position: int, what: str, *dtypes: str) -> npt.NDArray[Any]:
        """The data of an input that the file holds."""
        if len(self._inputs) <= position:
            raise ModelError(f"it lacks its {what}: the file is damaged")
        tensor = self._tensors.stored(self._inputs[position])
        if tensor.dtype not in dtypes:
            raise ModelError(f"its {what} must be {' or '.join(dtypes)}, not {tensor.dtype}: {TO_INT8}")
        if tensor.data is None:
            raise ModelError(f"its {what} must be a constant, not computed: export the model with fixed shapes and weights")
        return tensor.data

    def integers(self, position: int, what: str) -> list[int]:
        """A constant list of whole numbers: axes, a shape, paddings."""
        values: list[int] = self.constant(position, what, "int32", "int64").ravel().tolist()
        return values

    def optional(self, position: int) -> StoredTensor | None:
        """An input that may be left out."""
        left_out = len(self._inputs) <= position or self._inputs[position] < 0
        return None if left_out else self._tensors.stored(self._inputs[position])

    def weights(self, *, rank: int, axis: int) -> tuple[Int8Array, tuple[float, ...]]:
        """The weights and their scales, one an output channel, which lies along `axis`."""
        weights = self.constant(1, "weights", "int8", "int4")
        quantization = self._tensors.stored(self._inputs[1]).quantization
        if weights.ndim != rank or 0 in weights.shape:
            raise ModelError(f"its weights must have {rank} axes of at least one element, not {weights.shape}")
        if quantization is None:
            raise ModelError(f"its weights have no scale: {TO_INT8}")
        if any(quantization.zero_points):
            worst = max(quantization.zero_points, key=abs)
            raise ModelError(
                f"its weights must be symmetric (zero point 0), not have zero point {worst}: quantize the model again,"
                " with symmetric weights"
            )
        channels, scales = weights.shape[axis], quantization.scales
        if len(scales) > 1 and (len(scales), quantization.axis) != (channels, axis):
            raise ModelError(
                f"its weights of shape {weights.shape} must have one scale, or one for each of {channels} outputs"
                f" along axis {axis}, not {len(scales)} along axis {quantization.axis}"
            )
        check_scales(quantization)
        return weights, scales if len(scales) == channels else scales * channels

    def bias(self, outputs: int, x: StoredTensor) -> NumberArray:
        """One number an output of a layer that reads x; zeros if the file leaves it out."""
        stored, dtype = self.optional(2), "int64" if x.dtype == "int16" else "int32"
        if stored is None:
            return np.zeros(outputs, dtype)
        bias = self.constant(2, "bias", dtype)
        if bias.shape != (outputs,) or (stored.quantization and any(stored.quantization.zero_points)):
            raise ModelError(f"its bias must be {outputs} numbers with zero point 0, not of shape {bias.shape}")
        return bias.astype(dtype)

    # Options

    def pair(self, option: str) -> Pair:
        """An option (height, width), both at least 1."""
        pair = (self.options[f"{option}_h"], self.options[f"{option}_w"])
        if min(pair) < 1:
            raise ModelError(f"its {option} must be at least 1, not {pair}: the file is damaged")
        return pair

    def number(self, option: str) -> float:
        """An option that is a real number."""
        value = float(self.options[option])
        if not isfinite(value):
            raise ModelError(f"its {option} must be a number, not {value}: the file is damaged")
        return value

    def range(self, quantization: Quantization) -> Pair:
        """(low, high) of the output, for the fused activation."""
        activation, dtype = self.options.get("activation", "NONE"), self._tensors.stored(self._output).dtype
        return scaling.activation_range(activation, quantization.scale, quantization.zero_point, dtype)

    def padding(self, shape: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair) -> tuple[Padding, Pair]:
        """Explicit padding of an image of this shape, and the output's rows and cols. Source: `kernels/padding.h`."""
        mode = self.options["padding"]
        if mode not in ("SAME", "VALID"):
            raise ModelError(f"its padding must be SAME or VALID, not {mode}: the file is damaged")
        pads, sizes = [], []
        for size, k, s, d in zip(shape[1:3], kernel, stride, dilation, strict=True):
            extent = (k - 1) * d + 1
            count = -(-size // s) if mode == "SAME" else (size + s - extent) // s
            total = max(0, (count - 1) * s + extent - size)
            if count < 1:
                raise ModelError(f"its window of {extent} does not fit an input of shape {shape} without padding")
            pads.append((total // 2, total - total // 2))
            sizes.append(count)
        framed = prod(size + sum(pair) for size, pair in zip(shape[1:3], pads, strict=True)) * shape[0] * shape[3]
        if max(kernel) > _MAX_KERNEL or framed > MAX_ELEMENTS:
            raise ModelError(f"its window of {kernel} with dilation {dilation} is too large for an input of shape {shape}")
        return (pads[0], pads[1]), (sizes[0], sizes[1])

    def _check_type(self, index: int, dtypes: tuple[str, ...]) -> StoredTensor:
        tensor = self._tensors.stored(index)
        if tensor.dtype in dtypes:
            return tensor
        kind = ""
        if tensor.dtype.startswith("float"):
            others = [self._tensors.stored(other) for other in self._inputs[1:] if other >= 0]
            hybrid = any(other.data is not None and other.dtype == "int8" for other in others)
            kind = " (a hybrid model: only its weights are quantized)" if hybrid else " (a float model)"
        label, wanted = self._tensors.label(index), " or ".join(dtypes)
        raise ModelError(f"its tensor {label} must be {wanted}, not {tensor.dtype}{kind}: {TO_INT8}")

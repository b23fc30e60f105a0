"""The tensors of a .tflite file, as its operators are walked: which are computed by now, and how they are quantized."""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from ...sim.errors import ModelError
from ..ir import Tensor
from .tflite_reader import Quantization, StoredTensor, short

TO_INT8 = (
    "quantize the model to full int8 (Optimize.DEFAULT with a representative dataset, supported_ops = [TFLITE_BUILTINS_INT8])"
)


class Tensors:
    """All tensors of the file. `known` are the graph's, by their index in the file: those that are computed by now."""

    def __init__(self, stored: Sequence[StoredTensor]) -> None:
        self._stored = stored
        self._names: set[str] = set()
        self.known: dict[int, Tensor] = {}

    def stored(self, index: int) -> StoredTensor:
        """The record of a tensor that may not be left out."""
        if index < 0:
            raise ModelError("it lacks a tensor that it needs: the file is damaged")
        return self._stored[index]

    def label(self, index: int) -> str:
        """The tensor's name in a sentence."""
        return repr(short(self._stored[index].name)) if index >= 0 else "none"

    def quantization(self, index: int) -> Quantization:
        """An activation's, with one scale, and one zero point that its type can hold."""
        tensor = self.stored(index)
        quantization = tensor.quantization
        if quantization is None:
            raise ModelError(f"its tensor {self.label(index)} has no scale: {TO_INT8}")
        if len(quantization.scales) != 1:
            raise ModelError(
                f"its tensor {self.label(index)} must have one scale, not {len(quantization.scales)}: quantize"
                " activations per tensor"
            )
        check_scales(quantization)
        limits = np.iinfo(tensor.dtype)
        if not limits.min <= quantization.zero_point <= limits.max:
            raise ModelError(
                f"its tensor {self.label(index)} must have a zero point in {limits.min}..{limits.max}, not"
                f" {quantization.zero_point}: the file is damaged"
            )
        if tensor.dtype == "int16" and quantization.zero_point:
            raise ModelError(
                f"its tensor {self.label(index)} of int16 must have zero point 0, not {quantization.zero_point}: quantize the"
                " model again"
            )
        return quantization

    def define(self, index: int, shape: tuple[int, ...]) -> str:
        """Notes that the tensor is computed, with this shape, and returns its name in the graph."""
        tensor = self.stored(index)
        quantization = None if tensor.dtype == "float32" else self.quantization(index)
        if index in self.known or tensor.data is not None:
            raise ModelError(f"it computes {self.label(index)}, which is known already: the file is damaged")
        if tensor.shape != shape or 0 in shape or not shape:
            raise ModelError(
                f"its output {self.label(index)} must have shape {shape}, not {tensor.shape}: export the model with a"
                " fixed shape"
            )
        name = tensor.name if tensor.name not in self._names else f"{tensor.name}#{index}"
        while name in self._names:
            name += "'"
        self._names.add(name)
        self.known[index] = Tensor(
            name=name,
            shape=shape,
            dtype=tensor.dtype,
            scale=quantization.scale if quantization else 1.0,
            zero_point=quantization.zero_point if quantization else 0,
            bits=16 if tensor.dtype == "int16" else 8,
        )
        return name

    def define_input(self, index: int) -> None:
        """Notes the graph's input."""
        tensor = self.stored(index)
        where = f"the model's input {self.label(index)}"
        if tensor.data is not None:
            raise ModelError(f"{where} is a constant: the file is damaged")
        if any(axis > 0 for axis in tensor.dynamic) or (tensor.dynamic and tensor.shape[:1] != (1,)):
            raise ModelError(f"{where} has a dynamic shape in axes {tensor.dynamic}: export the model with a fixed shape")
        if tensor.shape[:1] != (1,):
            raise ModelError(f"{where} must have a batch of one in its first axis, not the shape {tensor.shape}")
        if tensor.dtype not in ("float32", "int8", "uint8", "int16"):
            raise ModelError(f"{where} must be int8, or float32 before QUANTIZE, not {tensor.dtype}: {TO_INT8}")
        try:
            self.define(index, tensor.shape)
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from None

    def output(self, index: int) -> str:
        """The name of an output of the graph."""
        if index not in self.known:
            raise ModelError(f"no operator computes the output {self.label(index)}: the file is damaged")
        return self.known[index].name


def check_scales(quantization: Quantization) -> None:
    """Scales that are positive numbers."""
    for scale in quantization.scales:
        if not (isfinite(scale) and scale > 0):
            raise ModelError(f"a scale must be a positive number, not {scale}: the file is damaged")

"""Reads a .tflite file into plain records: all that may go wrong with a file's bytes goes wrong here, as ModelError.

A flatbuffer is a heap of offsets. The accessors of the `tflite` package follow them without a check, so a damaged file
makes them raise whatever Python raises, or count to two billion. Here every length is held against the file's size
before use, and any exception means a damaged file. What the numbers mean is `tflite.py`'s business.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tflite

from ...sim.errors import ModelError

_IDENTIFIER = b"TFL3"
MAX_ELEMENTS = 1 << 28  # of one tensor: far beyond what the fabric is for, and still no danger to a PC's memory
_T = TypeVar("_T")


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


_OPERATORS = _names(tflite.BuiltinOperator)
_TYPES = _names(tflite.TensorType)
_PADDINGS = _names(tflite.Padding)
_ACTIVATIONS = _names(tflite.ActivationFunctionType)

# Our name of an option, and the schema's. Operators that are not listed have no options that matter here.
_WINDOW = {"stride_h": "StrideH", "stride_w": "StrideW", "padding": "Padding"}
_DILATION = {"dilation_h": "DilationHFactor", "dilation_w": "DilationWFactor"}
_FUSED = {"activation": "FusedActivationFunction"}
_POOL = {**_WINDOW, **_FUSED, "kernel_h": "FilterHeight", "kernel_w": "FilterWidth"}
_OPTIONS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "CONV_2D": ("Conv2DOptions", {**_WINDOW, **_DILATION, **_FUSED}),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", {**_WINDOW, **_DILATION, **_FUSED}),
    "FULLY_CONNECTED": (
        "FullyConnectedOptions",
        {**_FUSED, "keep_num_dims": "KeepNumDims", "weights_format": "WeightsFormat"},
    ),
    "ADD": ("AddOptions", {**_FUSED, "powers_of_two": "PotScaleInt16"}),
    "AVERAGE_POOL_2D": ("Pool2DOptions", _POOL),
    "MAX_POOL_2D": ("Pool2DOptions", _POOL),
    "MEAN": ("ReducerOptions", {"keep_dims": "KeepDims"}),
    "SOFTMAX": ("SoftmaxOptions", {"beta": "Beta"}),
}
_OPTION_NAMES = {"padding": _PADDINGS, "activation": _ACTIVATIONS}


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantization:
    """Scales (float32 widened), zero points and the axis they belong to: one of each, or one a channel."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int

    @property
    def scale(self) -> float:
        """The one scale of an activation."""
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        """The one zero point of an activation."""
        return self.zero_points[0]

    def equals(self, other: "Quantization") -> bool:
        """Whether both give the same numbers the same meaning."""
        return (self.scales, self.zero_points) == (other.scales, other.zero_points)


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredTensor:
    """A tensor of the file. `data` is set for a constant, in the tensor's shape and type; int4 as int8."""

    name: str
    shape: tuple[int, ...]
    dynamic: tuple[int, ...]  # axes whose extent the file leaves open
    dtype: str
    quantization: Quantization | None
    data: npt.NDArray[Any] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredOperator:
    """An operator: its name in the schema, indices of tensors (-1 for an input left out), and options by our names."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredModel:
    """The one subgraph of the file."""

    description: str
    tensors: tuple[StoredTensor, ...]
    operators: tuple[StoredOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(data: bytes) -> StoredModel:
    """The records of a file; ModelError if it is no .tflite file, or is damaged."""
    if len(data) < 8:
        raise ModelError(f"the file must be a .tflite model, but holds {len(data)} bytes: it is cut off or empty")
    if data[4:8] != _IDENTIFIER:
        raise ModelError(
            f"the file must be a .tflite model, but lacks the identifier 'TFL3' (it begins with {data[:8]!r}): export"
            " it with TensorFlow's converter"
        )
    try:
        return _Reader(data).model()
    except ModelError:
        raise
    except Exception as error:  # struct.error, IndexError, ValueError, ...: wherever a wild offset leads
        raise ModelError(
            f"the .tflite file is truncated or damaged ({len(data)} bytes; reading failed with"
            f" {type(error).__name__}: {error}): fetch or export it again"
        ) from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._model = tflite.Model.GetRootAsModel(data, 0)

    def model(self) -> StoredModel:
        count = self._length(self._model.SubgraphsLength(), "subgraphs")
        if count != 1:
            raise ModelError(f"the model must have one subgraph, not {count}: export one signature, without control flow")
        graph = self._model.Subgraphs(0)
        tensors = self._length(graph.TensorsLength(), "tensors")
        return StoredModel(
            description=self._text(self._model.Description()),
            tensors=tuple(self._tensor(graph.Tensors(i), i) for i in range(tensors)),
            operators=tuple(
                self._operator(graph.Operators(i), i, tensors)
                for i in range(self._length(graph.OperatorsLength(), "operators"))
            ),
            inputs=self._indices(graph.InputsLength(), graph.Inputs, tensors, "the model's inputs"),
            outputs=self._indices(graph.OutputsLength(), graph.Outputs, tensors, "the model's outputs"),
        )

    def _operator(self, operator: Any, index: int, tensors: int) -> StoredOperator:
        codes = self._length(self._model.OperatorCodesLength(), "operator codes")
        if not 0 <= operator.OpcodeIndex() < codes:
            raise ModelError(f"operator {index} names code {operator.OpcodeIndex()} of {codes}: the file is damaged")
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        # Files older than schema 3a have the code in a field of 8 bits alone; newer ones hold the larger of both.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = _OPERATORS.get(number, f"BUILTIN_{number}")
        if name == "CUSTOM":
            name = f"custom operator {self._text(code.CustomCode()) or 'without a name'}"
        return StoredOperator(
            name=name,
            inputs=self._indices(operator.InputsLength(), operator.Inputs, tensors, f"operator {index}"),
            outputs=self._indices(operator.OutputsLength(), operator.Outputs, tensors, f"operator {index}"),
            options=self._options(name, operator),
        )

    def _options(self, name: str, operator: Any) -> Mapping[str, Any]:
        if name not in _OPTIONS:
            return {}
        table, fields = _OPTIONS[name]
        options = getattr(tflite, table)()
        union = operator.BuiltinOptions()
        if union is None or operator.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, table):
            raise ModelError(f"an operator {name} lacks its options: the file is damaged")
        options.Init(union.Bytes, union.Pos)
        values = {ours: getattr(options, theirs)() for ours, theirs in fields.items()}
        for option, names in _OPTION_NAMES.items():
            if option in values:
                values[option] = names.get(values[option], str(values[option]))
        return values

    def _tensor(self, tensor: Any, index: int) -> StoredTensor:
        shape = self._integers(tensor.ShapeLength(), tensor.Shape, "the shape of a tensor")
        signature = self._integers(tensor.ShapeSignatureLength(), tensor.ShapeSignature, "the signature of a tensor")
        name = self._text(tensor.Name()) or f"tensor_{index}"
        dtype = _TYPES.get(tensor.Type(), f"type {tensor.Type()}").lower()
        if len(shape) > 8 or min(shape, default=1) < 0 or prod(shape) > MAX_ELEMENTS:
            raise ModelError(f"tensor {index} ({short(name)!r}) has the shape {shape[:8]}: Celosia holds up to 2**28 elements")
        if tensor.Sparsity() is not None:
            raise ModelError(f"tensor {index} ({short(name)!r}) is stored sparse: export the model with dense weights")
        return StoredTensor(
            name=name,
            shape=shape,
            dynamic=tuple(axis for axis, extent in enumerate(signature) if extent < 0),
            dtype=dtype,
            quantization=self._quantization(tensor.Quantization()),
            data=self._constant(tensor, f"tensor {index} ({short(name)!r})", shape, dtype),
        )

    def _quantization(self, quantization: Any) -> Quantization | None:
        if quantization is None:
            return None
        scales = self._vector(quantization.ScaleLength(), quantization.ScaleAsNumpy, "scales")
        zero_points = self._vector(quantization.ZeroPointLength(), quantization.ZeroPointAsNumpy, "zero points")
        if not scales:
            return None
        if len(zero_points) not in (0, 1, len(scales)):
            raise ModelError(f"a tensor has {len(scales)} scales but {len(zero_points)} zero points: the file is damaged")
        return Quantization(
            scales=scales,
            zero_points=tuple(int(z) for z in zero_points) or (0,),
            axis=quantization.QuantizedDimension(),
        )

    def _constant(self, tensor: Any, where: str, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any] | None:
        buffers = self._length(self._model.BuffersLength(), "buffers")
        if not 0 <= tensor.Buffer() < max(1, buffers):
            raise ModelError(f"{where} names buffer {tensor.Buffer()} of {buffers}: the file is damaged")
        if tensor.Buffer() == 0:
            return None
        buffer = self._model.Buffers(tensor.Buffer())
        if buffer.Offset() > 1 or buffer.Size() > 1:
            raise ModelError(f"{where} has its data outside the flatbuffer: export the model smaller than 2 GB")
        size = self._length(buffer.DataLength(), "bytes", 1)
        if size == 0:
            return None
        if dtype == "int4":
            if size != -(-prod(shape) // 2):
                raise ModelError(f"{where} of shape {shape} and type {dtype} holds {size} bytes: the file is damaged")
            return _nibbles(buffer.DataAsNumpy(), prod(shape)).reshape(shape)
        try:
            item = np.dtype(dtype).newbyteorder("<")
        except TypeError:
            item = np.dtype(np.uint8)  # string, ...: refused by type where it is used
            shape = (size,)
        if size != prod(shape) * item.itemsize:
            raise ModelError(f"{where} of shape {shape} and type {dtype} holds {size} bytes: the file is damaged")
        return np.frombuffer(buffer.DataAsNumpy(), item).reshape(shape)

    def _indices(self, length: int, get: Callable[[int], int], tensors: int, where: str) -> tuple[int, ...]:
        indices = self._integers(length, get, where)
        if any(not -1 <= index < tensors for index in indices):
            raise ModelError(f"{where} names a tensor beyond the {tensors} that there are: the file is damaged")
        return indices

    def _integers(self, length: int, get: Callable[[int], int], what: str) -> tuple[int, ...]:
        return tuple(int(get(i)) for i in range(self._length(length, what)))

    def _vector(self, length: int, get: Callable[[], Any], what: str) -> tuple[Any, ...]:
        return tuple(get().tolist()) if self._length(length, what) else ()

    def _length(self, length: int, what: str, item: int = 4) -> int:
        """The length of a vector, if so many items can lie in the file."""
        if not 0 <= length <= len(self._data) // item:
            raise ModelError(f"the file would hold {length} {what} in {len(self._data)} bytes: it is damaged")
        return length

    def _text(self, text: bytes | None) -> str:
        return (text or b"").decode("utf-8", "replace")


def _nibbles(packed: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.int8]:
    """Numbers of four bits, two a byte, the first one in its lower half."""
    halves = np.stack([packed << 4, packed], axis=-1).astype(np.uint8).view(np.int8) >> 4
    return halves.reshape(-1)[:count]


def short(name: str) -> str:
    """A tensor's name for a sentence."""
    return name if len(name) <= 60 else f"{name[:28]}...{name[-28:]}"

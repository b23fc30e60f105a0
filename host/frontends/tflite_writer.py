"""Writes quantized .tflite files: the models of our tests, of the demo, and of whoever has weights but no TensorFlow.

    writer = ModelWriter()
    x = writer.tensor("x", (1, 8, 8, 1), scale=1 / 16, zero_point=-128)
    w = writer.tensor("w", (4, 3, 3, 1), scale=[0.01] * 4, data=weights)
    b = writer.tensor("b", (4,), "int32", scale=[0.01 / 16] * 4, data=bias)
    y = writer.tensor("y", (1, 8, 8, 4), scale=0.05)
    writer.op("CONV_2D", [x, w, b], [y], padding="SAME", activation="RELU")
    model = writer.finish([x], [y])

The file holds one subgraph, in the layout of TensorFlow Lite's schema version 3. Constants are aligned to 16 bytes, as
the interpreter's kernels want them, and operators carry the versions that their int8 kernels are registered under.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

_ALIGNMENT = 16  # bytes; what the converter of TensorFlow Lite gives constants
_SCHEMA_VERSION = 3
_OPTIONAL = -1  # the index that stands for an input left out, such as a bias

Option = float | str | Sequence[int]


@dataclass(frozen=True, kw_only=True)
class _Operator:
    """How an operator is written: the version of its int8 kernel, its options table, and our defaults for it."""

    version: int = 1
    table: str = ""
    defaults: Mapping[str, Option] = field(default_factory=dict)


_WINDOW: Mapping[str, Option] = {"stride": (1, 1), "padding": "SAME", "activation": "NONE"}
_CONV: Mapping[str, Option] = {**_WINDOW, "dilation": (1, 1)}
_POOL: Mapping[str, Option] = {**_WINDOW, "kernel": (2, 2), "stride": (2, 2)}
_FUSED: Mapping[str, Option] = {"activation": "NONE"}

_OPERATORS: Mapping[str, _Operator] = {
    "CONV_2D": _Operator(version=3, table="Conv2DOptions", defaults=_CONV),
    "DEPTHWISE_CONV_2D": _Operator(version=3, table="DepthwiseConv2DOptions", defaults={**_CONV, "depth_multiplier": 1}),
    "FULLY_CONNECTED": _Operator(version=4, table="FullyConnectedOptions", defaults={**_FUSED, "keep_num_dims": False}),
    "ADD": _Operator(version=2, table="AddOptions", defaults={**_FUSED, "powers_of_two": False}),
    "SUB": _Operator(version=2, table="SubOptions", defaults=_FUSED),
    "MUL": _Operator(version=2, table="MulOptions", defaults=_FUSED),
    "AVERAGE_POOL_2D": _Operator(version=2, table="Pool2DOptions", defaults=_POOL),
    "MAX_POOL_2D": _Operator(version=2, table="Pool2DOptions", defaults=_POOL),
    "MEAN": _Operator(version=2, table="ReducerOptions", defaults={"keep_dims": False}),
    "PAD": _Operator(version=2, table="PadOptions"),
    "RESHAPE": _Operator(table="ReshapeOptions"),
    "SOFTMAX": _Operator(version=2, table="SoftmaxOptions", defaults={"beta": 1.0}),
    "CONCATENATION": _Operator(version=2, table="ConcatenationOptions", defaults={"axis": -1, **_FUSED}),
    "QUANTIZE": _Operator(version=2, table="QuantizeOptions"),
    "DEQUANTIZE": _Operator(version=2, table="DequantizeOptions"),
    "LOGISTIC": _Operator(version=2),
    "RELU": _Operator(version=2),
    "RELU6": _Operator(version=2),
    "TANH": _Operator(version=2),
}

# Our keyword, and the fields of the options table that hold it.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "stride": ("StrideH", "StrideW"),
    "dilation": ("DilationHFactor", "DilationWFactor"),
    "kernel": ("FilterHeight", "FilterWidth"),
    "padding": ("Padding",),
    "activation": ("FusedActivationFunction",),
    "powers_of_two": ("PotScaleInt16",),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    data: bytes | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Op:
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Option]


class ModelWriter:
    """Collects tensors and operators, then writes them as one .tflite file.

    Parameters
    ----------
    description: text stored in the file.
    """

    def __init__(self, description: str = "written by Celosia") -> None:
        self.description = description
        self._tensors: list[_Tensor] = []
        self._ops: list[_Op] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "int8",
        *,
        scale: npt.ArrayLike | None = None,
        zero_point: npt.ArrayLike = 0,
        axis: int = 0,
        data: npt.ArrayLike | None = None,
    ) -> int:
        """Adds a tensor and returns its index.

        Parameters
        ----------
        dtype: name of a NumPy type that TensorFlow Lite knows, "int8", "int32", "float32", ..., or "int4"
        scale: none for a tensor that is not quantized, one number, or one for each channel of `axis`.
        zero_point: one number for all channels or one for each; 0 if left out.
        data: makes the tensor a constant. Values that `dtype` cannot hold raise ValueError.
        """
        shape = tuple(int(extent) for extent in shape)
        if not hasattr(tflite.TensorType, dtype.upper()):
            raise ValueError(f"Data type of tensor {name!r} must be one of TensorFlow Lite's, not {dtype!r}")
        scales = () if scale is None else tuple(np.atleast_1d(np.asarray(scale, np.float64)).tolist())
        zero_points = tuple(np.atleast_1d(np.asarray(zero_point, np.int64)).tolist())
        if scales and len(zero_points) == 1:
            zero_points *= len(scales)
        if scales and len(zero_points) != len(scales):
            raise ValueError(f"Tensor {name!r} has {len(scales)} scales, but {len(zero_points)} zero points")
        if len(scales) > 1 and (axis >= len(shape) or len(scales) != shape[axis]):
            raise ValueError(f"Tensor {name!r} of shape {shape} has {len(scales)} scales for axis {axis}")
        self._tensors.append(
            _Tensor(
                name=name,
                shape=shape,
                dtype=dtype,
                scales=scales,
                zero_points=zero_points if scales else (),
                axis=axis,
                data=None if data is None else _bytes(name, shape, dtype, data),
            )
        )
        return len(self._tensors) - 1

    def scale(self, tensor: int) -> float:
        """The scale of a tensor that has one for all its channels."""
        (scale,) = self._tensors[tensor].scales
        return scale

    def op(self, name: str, inputs: Sequence[int], outputs: Sequence[int], **options: Option) -> None:
        """Adds an operator by TensorFlow Lite's name for it.

        `inputs` and `outputs` are indices that `tensor` returned; -1 stands for an optional input left out. Options as
        pairs (height, width): `stride`, `dilation`, `kernel`; as names: `padding` ("SAME", "VALID"), `activation`
        ("NONE", "RELU", "RELU6", "RELU_N1_TO_1"); others by the schema's own names (`depth_multiplier`, `keep_dims`,
        `beta`, `new_shape`, `axis`). An operator that this file does not list is written without options.
        """
        if not hasattr(tflite.BuiltinOperator, name):
            raise ValueError(f"Operator must be one of TensorFlow Lite's built-in ones, not {name!r}")
        operator = _OPERATORS.get(name, _Operator())
        for option in options:
            fields = _FIELDS.get(option, (_camel_case(option),))
            if not (operator.table and all(hasattr(tflite, f"{operator.table}Add{part}") for part in fields)):
                raise ValueError(f"Operator {name} has no option {option!r}")
        for index in (*inputs, *outputs):
            if not _OPTIONAL <= index < len(self._tensors):
                raise ValueError(f"Operator {name} must use one of the {len(self._tensors)} tensors, not {index!r}")
        self._ops.append(
            _Op(
                name=name,
                inputs=tuple(inputs),
                outputs=tuple(outputs),
                options={**operator.defaults, **options},
            )
        )

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file, with these tensors as the network's inputs and outputs."""
        file = _File()
        codes = sorted({op.name for op in self._ops})
        constants = [tensor for tensor in self._tensors if tensor.data is not None]
        buffers = [file.table("Buffer")]  # buffer 0 is the empty one that activations name
        buffers += [file.table("Buffer", Data=file.blob(tensor.data or b"")) for tensor in constants]
        numbers = {id(tensor): number for number, tensor in enumerate(constants, start=1)}
        subgraph = file.table(
            "SubGraph",
            Tensors=file.offsets([file.tensor(tensor, numbers.get(id(tensor), 0)) for tensor in self._tensors]),
            Inputs=file.integers(inputs),
            Outputs=file.integers(outputs),
            Operators=file.offsets([file.op(op, codes.index(op.name)) for op in self._ops]),
            Name=file.string("main"),
        )
        model = file.table(
            "Model",
            Version=_SCHEMA_VERSION,
            OperatorCodes=file.offsets([file.operator_code(name) for name in codes]),
            Subgraphs=file.offsets([subgraph]),
            Description=file.string(self.description),
            Buffers=file.offsets(buffers),
        )
        return file.finish(model)


class _File:
    """A flatbuffer in the making. Everything but `finish` returns the offset that a table's field takes."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1024)

    def table(self, name: str, **fields: float) -> int:
        getattr(tflite, f"{name}Start")(self._builder)
        for key, value in fields.items():
            getattr(tflite, f"{name}Add{key}")(self._builder, value)
        return int(getattr(tflite, f"{name}End")(self._builder))

    def string(self, text: str) -> int:
        return int(self._builder.CreateString(text))

    def blob(self, data: bytes) -> int:
        self._builder.Prep(_ALIGNMENT, len(data))
        return int(self._builder.CreateByteVector(data))

    def integers(self, values: Sequence[int], dtype: npt.DTypeLike = np.int32) -> int:
        return int(self._builder.CreateNumpyVector(np.asarray(values, dtype)))

    def offsets(self, values: Sequence[int]) -> int:
        self._builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self._builder.PrependUOffsetTRelative(value)
        return int(self._builder.EndVector())

    def tensor(self, tensor: _Tensor, buffer: int) -> int:
        fields = {
            "Shape": self.integers(tensor.shape),
            "Type": getattr(tflite.TensorType, tensor.dtype.upper()),
            "Buffer": buffer,
            "Name": self.string(tensor.name),
        }
        if tensor.scales:
            fields["Quantization"] = self.table(
                "QuantizationParameters",
                Scale=int(self._builder.CreateNumpyVector(np.asarray(tensor.scales, np.float32))),
                ZeroPoint=self.integers(tensor.zero_points, np.int64),
                QuantizedDimension=tensor.axis,
            )
        return self.table("Tensor", **fields)

    def operator_code(self, name: str) -> int:
        code = getattr(tflite.BuiltinOperator, name)
        version = _OPERATORS.get(name, _Operator()).version
        # Codes up to 127 also stand in the field that readers older than schema 3a look at.
        return self.table("OperatorCode", DeprecatedBuiltinCode=min(code, 127), BuiltinCode=code, Version=version)

    def op(self, op: _Op, code: int) -> int:
        fields = {"OpcodeIndex": code, "Inputs": self.integers(op.inputs), "Outputs": self.integers(op.outputs)}
        table = _OPERATORS.get(op.name, _Operator()).table
        if table:
            fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, table)
            fields["BuiltinOptions"] = self.options(table, op.options)
        return self.table("Operator", **fields)

    def options(self, table: str, options: Mapping[str, Option]) -> int:
        values: dict[str, float] = {}
        for option, value in options.items():
            if option == "padding":
                value = int(getattr(tflite.Padding, str(value)))
            elif option == "activation":
                value = int(getattr(tflite.ActivationFunctionType, str(value)))
            if option in _FIELDS:
                values.update(zip(_FIELDS[option], np.atleast_1d(np.asarray(value)).tolist(), strict=True))
            elif isinstance(value, Sequence) and not isinstance(value, str):
                values[_camel_case(option)] = self.integers(value)
            elif not isinstance(value, str):
                values[_camel_case(option)] = value
        return self.table(table, **values)

    def finish(self, root: int) -> bytes:
        self._builder.Finish(root, b"TFL3")
        return bytes(self._builder.Output())


def _camel_case(keyword: str) -> str:
    return "".join(part.capitalize() for part in keyword.split("_"))


def _bytes(name: str, shape: tuple[int, ...], dtype: str, data: npt.ArrayLike) -> bytes:
    """The constant as it lies in the file: little endian, C order."""
    values = np.asarray(data)
    if values.shape != shape:
        raise ValueError(f"Data of tensor {name!r} must have shape {shape}, not {values.shape}")
    if dtype == "int4":
        return _nibbles(name, values)
    stored = values.astype(np.dtype(dtype).newbyteorder("<"))
    if np.issubdtype(stored.dtype, np.integer) and not np.array_equal(stored, values):
        raise ValueError(f"Data of tensor {name!r} must be whole numbers that {dtype} can hold")
    return stored.tobytes()


def _nibbles(name: str, values: npt.NDArray[Any]) -> bytes:
    """Two numbers of four bits a byte, the first one in its lower half."""
    if not np.array_equal(np.clip(np.round(values), -8, 7), values):
        raise ValueError(f"Data of tensor {name!r} must be whole numbers that int4 can hold")
    flat = values.astype(np.int8).reshape(-1).view(np.uint8) & 15
    pairs = np.pad(flat, (0, len(flat) % 2)).reshape(-1, 2)
    return bytes(pairs[:, 0] | pairs[:, 1] << 4)

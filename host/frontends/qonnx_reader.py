"""From the bytes of an .onnx file to plain records: all that may be wrong with the bytes is refused here."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from ...sim.errors import ModelError

Array = npt.NDArray[Any]

_MAX_ELEMENTS = 1 << 28
_STANDARD = ("", "ai.onnx")
_QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
_DATATYPE = "finn_datatype"  # the key of a tensor's annotation


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredNode:
    """A node: operator, names of what it reads ("" where left out) and computes, and its attributes as Python values."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"node {self.name or self.outputs[0]!r} ({self.op})"


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredModel:
    """A network: its one input, its outputs, its nodes in order, its constants, and what tensors are annotated with."""

    name: str
    producer: str
    input: str
    shape: tuple[int, ...]
    outputs: tuple[str, ...]
    nodes: tuple[StoredNode, ...]
    constants: Mapping[str, Array]
    datatypes: Mapping[str, str]


def read(data: bytes) -> StoredModel:
    """The network that the bytes hold. Raises ModelError."""
    try:
        model = onnx.load_from_string(data)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"the file is no whole ONNX model ({error}): export it again") from error
    graph = model.graph
    if not graph.node or not graph.output:
        raise ModelError("the model must have nodes and outputs, and has none: the file is damaged")
    constants = {value.name: _array(value) for value in graph.initializer}
    used = {name for node in graph.node for name in node.input}
    inputs = [value for value in graph.input if value.name not in constants and value.name in used]
    if len(inputs) != 1:
        raise ModelError(f"the model must have one input, not {len(inputs)}: export a model of one input")
    return StoredModel(
        name=graph.name,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        input=inputs[0].name,
        shape=_shape(inputs[0]),
        outputs=tuple(value.name for value in graph.output),
        nodes=tuple(_node(node) for node in graph.node),
        constants=constants,
        datatypes={
            annotation.tensor_name: entry.value
            for annotation in graph.quantization_annotation
            for entry in annotation.quant_parameter_tensor_names
            if entry.key == _DATATYPE
        },
    )


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """The input's shape, with a batch of one where it is left open."""
    where = f"the model's input {value.name!r}"
    tensor = value.type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        raise ModelError(f"{where} must be float32, as QONNX networks take it: export the model again")
    sizes = [dim.dim_value if dim.WhichOneof("value") == "dim_value" else 0 for dim in tensor.shape.dim]
    if sizes and sizes[0] == 0:
        sizes[0] = 1
    if not sizes or min(sizes) < 1 or prod(sizes) > _MAX_ELEMENTS:
        raise ModelError(f"{where} must have a fixed shape, not {tuple(sizes)}: export the model with one")
    if sizes[0] != 1:
        raise ModelError(f"{where} must have a batch of one in its first axis, not the shape {tuple(sizes)}")
    return tuple(sizes)


def _array(tensor: onnx.TensorProto) -> Array:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ModelError(f"the constant {tensor.name!r} lies in another file: export the model into one file")
    if any(size < 0 for size in tensor.dims) or prod(tensor.dims) > _MAX_ELEMENTS:
        raise ModelError(f"the constant {tensor.name!r} has the shape {tuple(tensor.dims)}: the file is damaged")
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:  # whatever NumPy and the helper say of bytes that do not fit their type and shape
        raise ModelError(f"the constant {tensor.name!r} cannot be read ({error}): the file is damaged") from error
    if array.dtype.kind not in "fiub":
        array = array.astype(np.float32)  # four bits and the like, which NumPy has no numbers of
    return array


def _node(node: onnx.NodeProto) -> StoredNode:
    if not node.output:
        raise ModelError(f"node {node.name!r} ({node.op_type}) computes nothing: the file is damaged")
    label = f"node {node.name or node.output[0]!r} ({node.op_type})"
    if node.domain not in _STANDARD + _QONNX:
        raise ModelError(f"{label} is of the domain {node.domain!r}: export the model with standard and QONNX operators alone")
    attributes: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR:
            attributes[attribute.name] = _array(attribute.t)
        elif attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            raise ModelError(f"{label} holds a graph of its own: export the model without control flow")
        else:
            try:
                value = onnx.helper.get_attribute_value(attribute)
            except ValueError as error:
                raise ModelError(f"{label}: {error}: the file is damaged") from error
            attributes[attribute.name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return StoredNode(
        op=node.op_type,
        name=node.name,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes=attributes,
    )

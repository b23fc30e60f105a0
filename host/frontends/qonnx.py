"""QONNX: a network that Brevitas trained, in float32 that only whole numbers times scales pass, becomes the integer graph.

qonnx_reader      bytes to plain records; all that may be wrong with the bytes
qonnx_constants   nodes of constants alone, folded: weights behind their quantizers
qonnx_quantizers  which whole number a real one becomes
qonnx_functions   element-wise operators between a layer and its quantizer
qonnx_layers      operators that add up, and qonnx_sums: what they can add up to
qonnx_shapes      operators that move elements
qonnx_joined      the sum of two activations
qonnx_endings     what ends a chain of functions: a quantizer, or the model's output
qonnx_thresholds  where a quantizer behind those functions reaches each level, in whole sums
qonnx_requant     from thresholds to bias, multiplier and shift
qonnx_builder     the integer graph as it grows
qonnx_nodes       a function an operator

Exact means equal to QONNX' executor, which computes in float32. Its quantizers and element-wise operators are evaluated in its
own arithmetic at whole sums, so ties and roundings are its own. Its sums are exact where scales are powers of two (or have few
bits) and sums stay below 2**24 units; where they are not, the thresholds that its rounding errors could move are counted:
`metadata["unproven"]` of `metadata["thresholds"]`. With 0 of them every output is equal.
"""

import numpy as np

from ...sim.errors import ModelError
from ..ir import Graph, Tensor
from .qonnx_builder import Builder
from .qonnx_endings import dequantized, discretized, looked_up
from .qonnx_nodes import value_of
from .qonnx_quantizers import annotation
from .qonnx_reader import StoredModel, StoredNode, read
from .qonnx_values import Constant, Joined, Quantized, Real, Sums, Value


def parse(data: bytes, name: str = "model") -> Graph:
    """The graph of an .onnx file's bytes; `name` is the graph's. Whatever is not understood raises ModelError."""
    try:
        return _graph(read(data), name)
    except ModelError as error:
        raise ModelError(f"Model {name!r}: {error}") from error.__cause__


def exactness(unproven: int, thresholds: int) -> str:
    """What those of a graph's metadata mean, for people."""
    if not unproven:
        return f"exact: {thresholds:,} thresholds, all proven equal to QONNX' executor's"
    return (
        f"exact: {unproven:,} of {thresholds:,} thresholds lie within the rounding errors of QONNX' executor, which may answer "
        "a level more or less there"
    )


def _graph(model: StoredModel, name: str) -> Graph:
    builder = Builder(input=model.input, input_shape=model.shape)
    builder.tensors[model.input] = Tensor(name=model.input, shape=model.shape, dtype="float32")
    values: dict[str, Value] = {key: Constant(array=array) for key, array in model.constants.items()}
    whole = np.arange(int(np.prod(model.shape)), dtype=np.int64).reshape(model.shape)
    values[model.input] = _input(model, Real(shape=model.shape, index=whole), builder)
    for number, node in enumerate(model.nodes):
        values[node.outputs[0]] = _value(node, number, values, builder)
    outputs = tuple(dict.fromkeys(_output(key, values, builder) for key in model.outputs))
    return Graph(
        name=name,
        tensors=builder.tensors,
        nodes=tuple(builder.nodes),
        inputs=(model.input,),
        outputs=outputs,
        metadata={
            "format": "qonnx",
            "description": model.producer,
            "thresholds": str(builder.thresholds),
            "unproven": str(builder.unproven),
        },
    )


def _input(model: StoredModel, real: Real, builder: Builder) -> Real | Quantized:
    """The model's input: real numbers that wait for a quantizer, or whole ones where it is annotated so."""
    try:
        annotated = annotation(model.datatypes.get(model.input, "FLOAT32"))
    except ModelError as error:
        raise ModelError(f"the model's input {model.input!r}, as it is annotated: {error}") from error
    return real if annotated is None else discretized(builder, real, annotated, f"{model.input}_whole", model.input)


def _value(node: StoredNode, number: int, values: dict[str, Value], builder: Builder) -> Value:
    where = f"node {number} ({node.op}, output {node.outputs[0]!r})"
    try:
        missing = [key for key in node.inputs if key and key not in values]
        if missing:
            raise ModelError(f"nothing computes its input {missing[0]!r} before it: the file is damaged")
        if not node.inputs and node.op != "Constant":
            raise ModelError("it has no input: the file is damaged")
        return value_of(node, [values[key] if key else None for key in node.inputs], builder)
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from error.__cause__
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError) as error:
        raise ModelError(f"{where}: its parts do not fit each other ({error}): the file is damaged") from error


def _output(key: str, values: dict[str, Value], builder: Builder) -> str:
    value = values.get(key)
    try:
        match value:
            case Quantized():
                return dequantized(builder, value, f"{key}_real", key)
            case Sums():
                return looked_up(builder, value, key)
            case Joined():
                raise ModelError("it is a sum of two activations without a quantizer: put one of 8 bits behind it")
            case Real():
                raise ModelError("it is the model's input behind no layer and no quantizer: export the whole network")
            case _:
                raise ModelError("no node computes it from the model's input: the file is damaged")
    except ModelError as error:
        raise ModelError(f"output {key!r}: {error}") from error.__cause__

"""From the bytes of a float .onnx file to a FloatNetwork: onnxruntime folds constants, `operators` names what is left."""

import re
import tempfile
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from ...sim.errors import ModelError
from ..frontends.qonnx_reader import StoredModel, read
from . import extras
from .folding import fold
from .network import FloatNetwork, Shape, Step
from .operators import Reader

_QUANTIZED = (
    "Quant", "IntQuant", "BipolarQuant", "MultiThreshold", "Trunc", "QuantizeLinear", "DequantizeLinear",
    "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QLinearAdd", "QGemm",
)  # fmt: skip
_OLDEST = 13  # operators before it keep in attributes what later ones take as inputs


def parse(data: bytes, name: str = "model") -> FloatNetwork:
    """The network that a float .onnx file holds. Raises ModelError; ToolError where the extra `quantize` is missing."""
    try:
        return _network(data, name)
    except ModelError as error:
        raise ModelError(f"Model {name!r}: {error}") from error.__cause__


def _network(data: bytes, name: str) -> FloatNetwork:
    one = _one_sample(data)
    stored = read(one)
    for node in stored.nodes:
        if node.op in _QUANTIZED:
            raise ModelError(
                f"{node} is a quantizer: the network is quantized already, and `celosia run` takes it as it is if it is QONNX;"
                " give the float network that it was made from"
            )
    simple = _simplified(one)
    stored = read(simple)
    reader = Reader(stored, _shapes(simple))
    steps = tuple(_alive(reader.steps(), stored.outputs))
    if len(stored.outputs) != 1:
        raise ModelError(f"it has {len(stored.outputs)} outputs, and one can be judged: export the model with one output")
    output, steps, notes = _without_softmax(stored, steps)
    network = fold(FloatNetwork(name=name, input=stored.input, shape=stored.shape, output=output, steps=steps, notes=notes))
    if not network.layers:
        raise ModelError("it has no convolution and no matrix product: there is nothing to quantize")
    return network


def _one_sample(data: bytes) -> bytes:
    """The same model, for one sample at a time, its operators as of `_OLDEST` or later."""
    try:
        model = onnx.load_from_string(data)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"the file is no whole ONNX model ({error}): export it again") from error
    constants = {value.name for value in model.graph.initializer}
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in constants and len(dims) > 1:
            dims[0].dim_value = 1
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")  # of another batch, perhaps: it is inferred again
    del model.graph.value_info[:]
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if versions and versions[0] < _OLDEST:
        try:
            model = onnx.version_converter.convert_version(model, _OLDEST)
        except Exception as error:  # RuntimeError and its like, from C++
            raise ModelError(
                f"its operators are those of ONNX' set {versions[0]}, and cannot be brought to set {_OLDEST} ({error}): export"
                " it again"
            ) from error
    return model.SerializeToString()


def _simplified(data: bytes) -> bytes:
    """onnxruntime's basic optimizations: constants folded, shapes known, batch normalization inside convolutions."""
    runtime = extras.load("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simple.onnx"
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        try:
            runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # classes of its own, made in C++
            reason = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
            raise ModelError(
                f"onnxruntime cannot load it ({reason}): export it again, for one sample at a time or for any number"
            ) from error
        return path.read_bytes()


def _shapes(data: bytes) -> dict[str, Shape]:
    """The shapes of all activations, where they are known."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(data)).graph
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }


def _alive(steps: tuple[Step, ...], outputs: tuple[str, ...]) -> list[Step]:
    """The steps that an output needs."""
    needed, kept = set(outputs), []
    for step in reversed(steps):
        if step.output in needed:
            kept.append(step)
            needed.update(step.inputs)
    return kept[::-1]


def _without_softmax(stored: StoredModel, steps: tuple[Step, ...]) -> tuple[str, tuple[Step, ...], tuple[str, ...]]:
    """A softmax at the end is left out."""
    output = stored.outputs[0]
    if not steps or steps[-1].op not in ("Softmax", "LogSoftmax") or steps[-1].output != output:
        misplaced = [step for step in steps if step.op in ("Softmax", "LogSoftmax")]
        if misplaced:
            raise ModelError(f"{misplaced[0]} does not end the network, and its exponentials are not exact: leave it out")
        return output, steps, ()
    last = steps[-1]
    note = f"{last} is left out: the outputs are the logits, and the largest stays the largest"
    return last.inputs[0], steps[:-1], (note,)

"""QONNX networks that are refused: one sentence, which names the node and says what would help."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from celosia.host.frontends import load, qonnx
from celosia.sim.errors import ModelError
from onnx import TensorProto, helper
from qonnx_writer import DOMAIN, QonnxWriter

Build = Callable[[QonnxWriter], str]
RNG = np.random.default_rng(3)
WEIGHTS = RNG.integers(-3, 4, (4, 2, 3, 3)).astype(float)


def quantized(net: QonnxWriter) -> str:
    return net.quant("x", 0.25)


def convolved(net: QonnxWriter, **attributes: object) -> str:
    return net.node("Conv", [quantized(net), net.constant(WEIGHTS)], **attributes)


def branched(net: QonnxWriter) -> str:
    x = quantized(net)
    return net.node("Add", [x, net.bipolar(x)])


def pooled_negative(net: QonnxWriter) -> str:
    x = net.node("MaxPool", [convolved(net)], kernel_shape=[2, 2])
    return net.bipolar(net.node("Mul", [x, net.constant(-1.0)]))


def normalized(net: QonnxWriter) -> str:
    x = net.batch_norm(convolved(net), *(RNG.random(4) + 0.3 for _ in range(4)))
    return net.quant(x, 0.01, 8)


def wide(net: QonnxWriter) -> str:
    x = net.node("Flatten", [quantized(net)])
    return net.node("MatMul", [x, net.constant(RNG.integers(-100, 100, (72, 3)).astype(float))])


def flattened_early(net: QonnxWriter) -> str:
    return net.bipolar(net.node("Flatten", [convolved(net)]))


CASES: dict[str, tuple[Build, str]] = {
    "unquantized input": (
        lambda net: net.node("Conv", ["x", net.constant(WEIGHTS)]),
        "node 0 .*not quantized: put a quantizer",
    ),
    "unquantized weights": (
        lambda net: net.node("Conv", [quantized(net), net.constant(WEIGHTS / 7)]),
        "node 1 .*weights are not quantized",
    ),
    "wide weights": (
        lambda net: net.node("Conv", [quantized(net), net.quant(net.constant(WEIGHTS * 20000), 1, 16, signed=False)]),
        "weights reach from 0 to 60000, and signed 16 bits from -32768 to 32767",
    ),
    "weights' scale": (
        lambda net: net.node("Conv", [quantized(net), net.weights(WEIGHTS, np.array([0.5, 1.0]).reshape(1, 2, 1, 1))]),
        "scale of its weights varies within an output channel",
    ),
    "seventeen bits": (lambda net: net.quant("x", 0.25, 17), "bit width must be one of 1 to 16, not 17"),
    "half a bit": (lambda net: net.quant("x", 0.25, 2.5), "bit width must be one of 1 to 16, not 2.5"),
    "scale a channel": (lambda net: net.quant("x", np.array([0.25, 0.5]).reshape(1, 2, 1, 1)), "scale must be one number"),
    "no scale": (lambda net: net.quant("x", 0.0), "scale must be a positive number"),
    "zero point": (lambda net: net.quant("x", 0.25, zero_point=0.5), "zero point must be a whole number, not 0.5"),
    "rounding": (lambda net: net.quant("x", 0.25, rounding="STOCHASTIC"), "rounding mode must be one of .*, not STOCHASTIC"),
    "levels": (normalized, "node 3 .*do not lie evenly on whole sums.*FLOOR"),
    "branches": (branched, "sum of two activations without a quantizer"),
    "negative pooling": (pooled_negative, "MaxPool.* stands before 4 channels' negative scales: pool behind the quantizer"),
    "wide output": (wide, "leaves the model with sums of .* values, and bytes carry up to 6,120"),
    "early flattening": (flattened_early, "reshape behind the quantizer"),
    "padding": (
        lambda net: net.node("Pad", [quantized(net), net.constant(np.array([0, 1, 0, 0, 0, 0, 0, 0]))]),
        "its pads .* must be of height and width alone",
    ),
    "padding's value": (
        lambda net: net.node("Pad", [quantized(net), net.constant(np.zeros(8, np.int64)), net.constant(0.25)]),
        "must pad with the constant 0",
    ),
    "automatic padding": (lambda net: convolved(net, auto_pad="SAME_UPPER"), "padding is SAME_UPPER: export .* explicit pads"),
    "groups": (lambda net: convolved(net, group=2), "weights of shape .* in 2 groups do not fit an input of 2 channels"),
    "kernel": (lambda net: convolved(net, kernel_shape=[5, 5]), "kernel_shape .* must be that of its weights"),
    "window": (
        lambda net: net.node("Conv", [quantized(net), net.constant(np.ones((1, 2, 9, 9)))]),
        "window of .9, 9. does not fit an input of .6, 6.",
    ),
    "ceil mode": (
        lambda net: net.node("MaxPool", [quantized(net)], kernel_shape=[2, 2], ceil_mode=1),
        "ceil_mode must be 0",
    ),
    "border": (
        lambda net: net.node("AveragePool", [quantized(net)], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        "windows at the border count fewer elements",
    ),
    "pooled input": (lambda net: net.node("MaxPool", ["x"], kernel_shape=[2, 2]), "not quantized"),
    "softmax": (lambda net: net.node("Softmax", [quantized(net)]), "leave it out, the largest output stays the largest"),
    "arg max": (lambda net: net.node("ArgMax", [quantized(net)]), "leave it out, and take the largest output"),
    "unknown": (lambda net: net.node("Det", [quantized(net)]), "it is not supported: the operators known are"),
    "constants": (
        lambda net: net.node("Conv", [quantized(net), net.node("Erf", [net.constant(WEIGHTS)])]),
        "computes on constants alone",
    ),
    "division": (lambda net: net.bipolar(net.node("Div", [net.constant(1.0), convolved(net)])), "divides by an activation"),
    "position": (
        lambda net: net.bipolar(net.node("Add", [convolved(net), net.constant(RNG.normal(size=(4, 4)))])),
        "must be one number a channel",
    ),
    "negative input": (
        lambda net: net.bipolar(net.node("Mul", ["x", net.constant(-1.0)])),
        "input is multiplied by a negative number",
    ),
    "no layer": (lambda net: net.node("Relu", ["x"]), "output .*behind no layer and no quantizer"),
    "threshold layout": (
        lambda net: net.node("MultiThreshold", ["x", net.constant(np.zeros((1, 1)))], DOMAIN, data_layout="NHWC"),
        "data layout is NHWC",
    ),
    "threshold bias": (lambda net: net.thresholds("x", np.zeros((1, 3)), 1.0, 0.25), "out_bias must be"),
    "threshold channels": (lambda net: net.thresholds("x", np.zeros((5, 3))), "thresholds for 5 channels"),
    "batch": (
        lambda net: net.node("Reshape", [quantized(net), net.constant(np.array([2, -1]))]),
        "keep the batch of one in the first axis",
    ),
    "matrix": (
        lambda net: net.node("MatMul", [quantized(net), net.constant(np.ones((6, 3)))]),
        r"input must have the shape \(1, 6\), not .*: flatten it",
    ),
    "gemm": (
        lambda net: net.node("Gemm", [net.node("Flatten", [quantized(net)]), net.constant(np.ones((72, 3)))], alpha=0.5),
        "alpha and beta must be 1",
    ),
    "domain": (lambda net: net.node("Quant", ["x"], "com.microsoft"), "of the domain 'com.microsoft'"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_refused_and_why(case: str) -> None:
    build, sentence = CASES[case]
    net = QonnxWriter((1, 2, 6, 6))
    with pytest.raises(ModelError, match=sentence) as caught:
        qonnx.parse(net.data(build(net)), "some.onnx")
    assert str(caught.value).startswith("Model 'some.onnx': ")
    assert "\n" not in str(caught.value)


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    """The bytes of a small model after a change to it."""
    net = QonnxWriter((1, 2, 6, 6))
    model = net.model([net.bipolar(convolved(net))])
    change(model)
    return model.SerializeToString()


def external(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def annotated(model: onnx.ModelProto) -> None:
    entry = onnx.StringStringEntryProto(key="finn_datatype", value="INT32")
    model.graph.quantization_annotation.add(tensor_name="x", quant_parameter_tensor_names=[entry])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.graph.ClearField("node"), "must have nodes and outputs"),
        (lambda m: m.graph.ClearField("input"), "must have one input, not 0"),
        (lambda m: m.graph.node[0].ClearField("output"), "computes nothing"),
        (lambda m: m.graph.node.pop(1), "nothing computes its input"),
        (lambda m: m.graph.initializer.pop(0), "must have one input|nothing computes its input"),
        (lambda m: m.graph.initializer[3].dims.append(3), "cannot be read"),
        (lambda m: m.graph.input[0].type.tensor_type.shape.dim.pop(), "must have the shape"),
        (lambda m: m.graph.input[0].type.tensor_type.shape.dim[2].Clear(), "must have a fixed shape"),
        (lambda m: m.graph.input[0].type.tensor_type.shape.dim[0].CopyFrom(_dim(3)), "must have a batch of one"),
        (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.UINT8), "must be float32"),
        (external, "lies in another file"),
        (annotated, "input 'x', as it is annotated: its bit width must be one of 1 to 16, not 32"),
        (lambda m: m.graph.output[0].CopyFrom(helper.make_empty_tensor_value_info("nobody")), "no node computes it"),
    ],
)
def test_damaged_files(change: Callable[[onnx.ModelProto], object], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        qonnx.parse(changed(change))


def _dim(size: int) -> onnx.TensorShapeProto.Dimension:
    return onnx.TensorShapeProto.Dimension(dim_value=size)


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_never_crashes(seed: int) -> None:
    """Bytes exchanged, dropped and repeated: a graph or a ModelError."""
    rng = np.random.default_rng(seed)
    data = changed(lambda model: None)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(len(damaged)))
            match rng.integers(3):
                case 0:
                    damaged[place] = int(rng.integers(256))
                case 1:
                    del damaged[place : place + int(rng.integers(1, 20))]
                case _:
                    damaged[place:place] = damaged[place : place + int(rng.integers(1, 20))]
        try:
            qonnx.parse(bytes(damaged))
        except ModelError:
            refused += 1
    assert refused > 50


def test_the_suffix_tells_the_format(tmp_path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(changed(lambda model: None))
    assert load(path).metadata["format"] == "qonnx"

"""Float .onnx files that are refused: one sentence, which names the node and says what would help; and what folds."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from celosia.host.quantize.points import points_of
from celosia.host.quantize.reader import parse
from celosia.sim.errors import ModelError
from float_networks import FloatWriter
from qonnx_writer import QonnxWriter

Build = Callable[[FloatWriter], str]


def convolved(net: FloatWriter) -> str:
    return net.conv("x", 3, 4)


CASES: dict[str, tuple[Build, str]] = {
    "operator": (
        lambda net: net.node("Sigmoid", convolved(net)),
        r"node 'Sigmoid_1' \(Sigmoid\) is none that can be quantized: known are Add, AveragePool",
    ),
    "one dimension": (
        lambda net: net.node(
            "Conv", net.node("Reshape", "x", net.constant(np.array([1, 3, 36]))), net.constant(np.ones((2, 3, 3)))
        ),
        r"node 'Conv_1' \(Conv\): its input must have the shape \(1, channels, height, width\), not \(1, 3, 36\)",
    ),
    "product of activations": (
        lambda net: net.node("Mul", *[convolved(net)] * 2),
        "'Mul_1' .* joins activations as the fabric cannot",
    ),
    "channels": (
        lambda net: net.conv("x", 5, 4),
        r"weights of shape \(4, 5, 3, 3\) in 1 groups do not fit an input of 3 channels",
    ),
    "features": (
        lambda net: net.gemm(net.node("Flatten", "x"), 107, 4),
        r"onnxruntime cannot load it \(Node .Gemm_1. .*between 107 and 108\)",
    ),
    "softmax inside": (
        lambda net: net.conv(net.node("Softmax", convolved(net), axis=1), 4, 2, 1),
        "'Softmax_1' .* does not end the network, and its exponentials are not exact",
    ),
    "ceil mode": (
        lambda net: net.node("MaxPool", convolved(net), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        "'MaxPool_1' .*its ceil_mode 0: export it with explicit pads",
    ),
    "constant a position": (
        lambda net: net.node("Add", convolved(net), net.constant(np.arange(16.0).reshape(4, 4))),
        "'Add_1' .*must be one number a channel",
    ),
    "infinite weights": (
        lambda net: net.node("Conv", "x", net.constant(np.full((2, 3, 3, 3), np.inf))),
        "its weights holds what is no finite number: train the model again",
    ),
    "no layer": (lambda net: net.node("Relu", "x"), "no convolution and no matrix product: there is nothing to quantize"),
    "scaled vector": (
        lambda net: net.node(
            "Mul", net.node("Relu", net.gemm(net.node("Flatten", "x"), 108, 4)), net.constant(np.arange(1.0, 5))
        ),
        "'Mul_3' .* scales what is no image, and no layer in front of it can take that",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str) -> None:
    build, sentence = CASES[case]
    net = FloatWriter((1, 3, 6, 6))
    with pytest.raises(ModelError, match=f"^Model 'net.onnx': .*{sentence}"):
        parse(net.data(build(net)), "net.onnx")


def test_what_is_no_model() -> None:
    with pytest.raises(ModelError, match="no whole ONNX model"):
        parse(b"no model at all" * 9, "net.onnx")


def test_what_is_quantized_already() -> None:
    net = QonnxWriter((1, 3, 6, 6))
    data = net.data(net.node("Conv", [net.quant("x", 0.5), net.weights(np.ones((2, 3, 3, 3)), 0.5)]))
    with pytest.raises(ModelError, match=r"node 'Quant_\d+' \(Quant\) is a quantizer: the network is quantized already"):
        parse(data, "net.onnx")


def test_a_model_that_onnxruntime_refuses() -> None:
    net = FloatWriter((1, 3, 6, 6))
    with pytest.raises(ModelError, match="onnxruntime cannot load it .*export it again, for one sample"):
        parse(net.data(net.node("Convolution", "x")), "net.onnx")


def test_several_outputs() -> None:
    net = FloatWriter((1, 3, 6, 6))
    model = onnx.load_from_string(net.data(net.node("Relu", convolved(net))))
    model.graph.output.append(onnx.helper.make_tensor_value_info("t0", onnx.TensorProto.FLOAT, None))
    with pytest.raises(ModelError, match="2 outputs, and one can be judged"):
        parse(model.SerializeToString(), "net.onnx")


@pytest.mark.parametrize("batch", [1, 32, "N"])
def test_what_folds(batch: int | str) -> None:
    """Normalization into the layer, Relu in front of pooling and reshape, whatever batch the file was exported with."""
    net = FloatWriter((1, 3, 6, 6))
    x = net.node("MaxPool", net.batch_norm(convolved(net), 4), kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("Relu", net.node("Flatten", x))
    network = parse(net.data(net.gemm(x, 16, 3), batch), "net.onnx")
    assert [step.op for step in network.steps] == ["Conv", "Relu", "MaxPool", "Reshape", "Gemm"]
    assert [(point.signed, point.last) for point in points_of(network)] == [(True, False), (False, False), (True, True)]


def test_operators_of_an_old_set() -> None:
    """Clip with attributes, as of operator set 6, becomes what the present set has."""
    net = FloatWriter((1, 3, 6, 6))
    network = parse(net.data(net.node("Clip", convolved(net), min=0.0, max=6.0), opset=10), "net.onnx")
    assert (network.steps[-1].op, network.steps[-1].low, network.steps[-1].high) == ("Clip", 0.0, 6.0)

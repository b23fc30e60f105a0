"""QONNX networks on the golden models: equal to QONNX' executor, output for output."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from celosia.host import cli, reference
from celosia.host.frontends import qonnx
from celosia.host.ir import Conv2D, DepthwiseConv2D, FullyConnected, Graph
from celosia.host.passes import simplify
from qonnx_networks import SAMPLES, binary_network, features, images, normalization, one_bit_weights, wide_network
from qonnx_writer import Array, QonnxWriter


def check(net: QonnxWriter, output: str, x: Array) -> Graph:
    """The graph of a network whose outputs for x are the executor's, every one."""
    graph = simplify(qonnx.parse(net.data(output)))
    (expected,) = net.execute(x, output)
    answers = reference.run(graph, {"x": x})[graph.outputs[0]]
    assert answers.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(answers, expected)
    assert graph.metadata["unproven"] == "0"
    return graph


def binary_weights(graph: Graph) -> list[bool]:
    """Whether a layer's weights are -1 and +1, a layer each."""
    layers = [node for node in graph.nodes if isinstance(node, Conv2D | DepthwiseConv2D | FullyConnected)]
    return [bool((np.abs(layer.weights) == 1).all()) for layer in layers]


@pytest.mark.parametrize("seed", range(12))
def test_a_binary_convolution_network_equals_the_executor(seed: int) -> None:
    """Bits in and out, batch normalization of either sign, padding with zeros, pooling before and behind the sign."""
    rng = np.random.default_rng(seed)
    net, output = binary_network(rng)
    graph = check(net, output, images(rng, *net.shape[1:]))
    assert binary_weights(graph) == [False, True, True, False]
    for node in graph.nodes:
        if isinstance(node, Conv2D):
            assert graph.tensors[node.output].bits == 1
            assert (node.requant.zero_point, node.requant.low, node.requant.high) == (1, -1, 1)
            assert set(node.requant.shift.tolist()) == {2}
            assert set(node.requant.multiplier.tolist()) == {1 << 30}


@pytest.mark.parametrize("seed", range(8))
def test_a_network_of_one_bit_weights_equals_the_executor(seed: int) -> None:
    """Bytes between layers: biases in the unit of the sums, ReLU, scales of powers of two, rounded down."""
    rng = np.random.default_rng(seed)
    net, output = one_bit_weights(rng)
    graph = check(net, output, images(rng, *net.shape[1:]))
    assert all(binary_weights(graph))


@pytest.mark.parametrize(("bits", "weight_bits"), [(9, 4), (10, 8), (10, 10), (12, 4), (16, 3), (8, 10), (16, 8), (16, 16)])
def test_networks_of_more_than_eight_bits(bits: int, weight_bits: int) -> None:
    """Equal to the executor; where its float32 sums are exact by proof, none of the thresholds is in doubt."""
    rng = np.random.default_rng([bits, weight_bits])
    net, output = wide_network(rng, bits, weight_bits)
    graph = simplify(qonnx.parse(net.data(output)))
    x = 4 * images(rng, *net.shape[1:])
    (expected,) = net.execute(x, output)
    np.testing.assert_array_equal(reference.run(graph, {"x": x})[graph.outputs[0]], expected)
    assert len(np.unique(expected)) > 10
    kinds = {graph.tensors[name].dtype for node in graph.nodes for name in node.inputs}
    assert kinds == {"float32", "int16" if bits > 8 else "int8"}
    if bits + weight_bits < 17:
        assert graph.metadata["unproven"] == "0"


@pytest.mark.parametrize("seed", range(8))
def test_scales_that_are_no_powers_of_two(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Brevitas' defaults without batch normalization: real scales, one an output for weights, halves to even."""
    rng = np.random.default_rng(seed)
    net = QonnxWriter((1, 3, 7, 7))
    x = net.quant("x", float(rng.uniform(0.01, 0.02)))
    weights = net.weights(rng.normal(size=(5, 3, 3, 3)), rng.uniform(0.01, 0.03, (5, 1, 1, 1)), 4)
    x = net.node("Relu", [net.node("Conv", [x, weights])])
    x = net.quant(x, float(rng.uniform(0.1, 0.2)), 4, signed=False)
    x = net.node("Flatten", [x])
    x = net.node("MatMul", [x, net.weights(rng.normal(size=(125, 6)), float(rng.uniform(0.01, 0.02)), 8)])
    output = net.quant(x, float(rng.uniform(0.05, 0.1)))
    graph = simplify(qonnx.parse(net.data(output)))
    inputs = images(rng, *net.shape[1:])
    np.testing.assert_array_equal(reference.run(graph, {"x": inputs})[graph.outputs[0]], net.execute(inputs, output)[0])
    # The executor's sums are rounded: another order of its additions might move thresholds, and that is said.
    assert 0 < int(graph.metadata["unproven"]) < int(graph.metadata["thresholds"])
    monkeypatch.chdir(tmp_path)
    Path("scales.onnx").write_bytes(net.data(output))
    assert cli.main(["check", "scales.onnx"]) == 0
    unproven, thresholds = (int(graph.metadata[name]) for name in ("unproven", "thresholds"))
    told = f"exact: {unproven:,} of {thresholds:,} thresholds lie within the rounding errors"
    assert told in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("seed", range(6))
def test_thresholds_signs_and_averages(seed: int) -> None:
    """MultiThreshold of whole numbers and of bits, Sign, average pooling, depthwise and grouped convolutions."""
    rng = np.random.default_rng(seed)
    net = QonnxWriter((1, 4, 10, 9))
    x = net.thresholds("x", np.sort(rng.normal(size=(1, 15)), axis=1), 0.5, -3.5)
    x = net.node("Conv", [x, net.constant(rng.integers(-3, 4, (8, 1, 3, 3)).astype(float))], group=4, pads=[1, 1, 1, 1])
    x = net.thresholds(x, np.sort(rng.normal(size=(8, 1)) * 9, axis=1), 2.0, -1.0)
    x = net.node("Conv", [x, net.constant(rng.choice([-1.0, 1.0], (6, 4, 3, 3)))], group=2, dilations=[1, 2])
    x = net.node("Add", [x, net.constant(rng.integers(-4, 5, (6, 1, 1)) + 0.5)])
    x = net.node("Sign", [net.node("Mul", [x, net.constant(rng.choice([-0.3, 0.7], (1, 6, 1, 1)))])])
    x = net.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = net.bipolar(net.node("Sub", [x, net.constant(rng.normal(size=(6, 1, 1)) / 3)]))
    x = net.node("Mul", [x, net.constant(0.125)])
    x = net.node("GlobalAveragePool", [x])
    x = net.quant(x, 1 / 256, 8, rounding="FLOOR")
    graph = check(net, net.node("Flatten", [x]), images(rng, *net.shape[1:]))
    assert [node.op for node in graph.nodes if node.op == "depthwise_conv_2d"]


@pytest.mark.parametrize("last", ["conv", "matmul", "depthwise"])
@pytest.mark.parametrize("seed", range(3))
def test_an_output_without_a_quantizer_is_the_executors(seed: int, last: str) -> None:
    """Sums that fit no byte leave in slices; any functions behind them are looked up: real numbers, bit for bit."""
    rng = np.random.default_rng(seed)
    net = QonnxWriter((1, 20, 5, 5))
    x = net.bipolar("x")
    if last == "conv":
        x = net.node("Conv", [x, net.weights(rng.normal(size=(7, 20, 3, 3)), 0.5, 1)])
    elif last == "depthwise":
        x = net.node("Conv", [x, net.weights(rng.normal(size=(40, 1, 3, 3)), 0.5, 3)], group=20)
    else:
        x = net.node("MatMul", [net.node("Flatten", [x]), net.weights(rng.normal(size=(500, 10)), 0.5, 2)])
    channels = net.execute(np.zeros(net.shape, np.float32), x)[0].shape[1]
    x = net.batch_norm(x, *normalization(rng, channels, 3.0))
    if last != "matmul":
        x = net.node("Mul", [x, net.constant(rng.normal(size=(channels, 1, 1)))])
    graph = check(net, x, images(rng, *net.shape[1:]))
    assert [node.op for node in graph.nodes].count("look_up") == 1


def test_padding_of_its_own_goes_into_the_convolution() -> None:
    """Pad before a convolution of bits: still a binary layer, its padding zeros; a second sign of a sign is none."""
    rng = np.random.default_rng(8)
    net = QonnxWriter((1, 3, 5, 4))
    x = net.bipolar(net.bipolar("x", 0.5), 0.5)
    x = net.node("Pad", [x, net.constant(np.array([0, 0, 1, 2, 0, 0, 0, 1]))])
    x = net.node("Conv", [x, net.weights(rng.normal(size=(6, 3, 3, 3)), 0.5, 1)])
    graph = check(net, net.bipolar(net.batch_norm(x, *normalization(rng, 6, 3.0))), images(rng, 3, 5, 4))
    assert [node.op for node in graph.nodes] == ["discretize", "transpose", "conv_2d", "transpose", "dequantize"]
    (layer,) = [node for node in graph.nodes if isinstance(node, Conv2D)]
    assert layer.padding == ((1, 0), (2, 1))
    assert graph.tensors[layer.inputs[0]].bits == 1


@pytest.mark.parametrize("flat", [False, True])
def test_functions_between_two_quantizers(flat: bool) -> None:
    """Without a layer between them: ones as weights, channel by channel."""
    rng = np.random.default_rng(9)
    net = QonnxWriter((1, 5, 4, 3))
    x = net.quant("x", 0.25, 5)
    shape = (5, 1, 1)
    if flat:
        x, shape = net.node("Flatten", [net.node("Transpose", [x], perm=[0, 2, 3, 1])]), (60,)
    x = net.node("Mul", [x, net.constant(rng.normal(size=shape))])
    check(net, net.bipolar(net.node("Add", [x, net.constant(rng.normal(size=shape))])), images(rng, 5, 4, 3))


def test_layouts_follow_the_elements() -> None:
    """Flattening and unflattening images, and transposed ones, keeps every element where ONNX has it."""
    rng = np.random.default_rng(5)
    net = QonnxWriter((1, 3, 4, 6))
    x = net.quant("x", 1 / 16)
    x = net.node("Transpose", [x], perm=[0, 1, 3, 2])
    x = net.node("Conv", [x, net.weights(rng.normal(size=(4, 3, 2, 3)), 0.25, 4)])
    x = net.bipolar(x)
    turned = net.node("Transpose", [x], perm=[0, 3, 2, 1])
    flat = net.node("Flatten", [turned])
    y = net.bipolar(net.node("MatMul", [flat, net.weights(rng.normal(size=(features(net, flat), 12)), 1, 1)]))
    y = net.node("Reshape", [y, net.constant(np.array([0, 3, 2, 2]))])
    y = net.node("Conv", [y, net.weights(rng.normal(size=(5, 3, 1, 2)), 1, 1)])
    check(net, net.bipolar(y), images(rng, *net.shape[1:]))
    check(net, turned, images(rng, *net.shape[1:]))


def test_the_input_takes_constants_of_its_channels() -> None:
    """Mean and deviation a channel before the first quantizer: thresholds of the input's own, a channel each."""
    rng = np.random.default_rng(6)
    net = QonnxWriter((1, 3, 6, 6))
    x = net.node("Sub", ["x", net.constant(rng.normal(size=(1, 3, 1, 1)))])
    x = net.node("Div", [x, net.constant(rng.uniform(0.1, 3, (3, 1, 1)))])
    x = net.quant(x, 0.07, 8)
    x = net.node("Conv", [net.quant(x, 0.07, 8), net.weights(rng.normal(size=(4, 3, 3, 3)), 0.25, 4)])
    values = (rng.normal(size=(SAMPLES, 3, 6, 6)) * 10.0 ** rng.integers(-40, 38, (SAMPLES, 3, 6, 6))).astype(np.float32)
    graph = simplify(qonnx.parse(net.data(net.bipolar(x))))
    assert [node.op for node in graph.nodes][:2] == ["discretize", "transpose"]
    np.testing.assert_array_equal(
        reference.run(graph, {"x": values})[graph.outputs[0]], net.execute(values, net.nodes[-1].output[0])[0]
    )


@pytest.mark.parametrize("rounding", ["ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"])
@pytest.mark.parametrize(("bits", "signed"), [(1, True), (1, False), (2, True), (3, False), (8, True), (8, False)])
def test_every_quantizer_of_the_input(rounding: str, bits: int, signed: bool) -> None:
    """All roundings, ties among the inputs."""
    net = QonnxWriter((1, 1, 30, 30))
    output = net.quant("x", 0.25, bits, signed=signed, narrow=signed, rounding=rounding)
    ties = np.arange(-450, 450, dtype=np.float32).reshape(1, 1, 30, 30) / 8
    check(net, output, np.concatenate([ties, -ties * 9, ties / 7]))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("bits", "zero_point"), [(4, 0), (4, 5), (8, 0), (8, 77)])
def test_padding_is_the_real_zero(bits: int, zero_point: int, own: bool) -> None:
    """Asymmetric and unsigned activations: padding is the real 0, whatever whole number that is; in Conv or in Pad."""
    rng = np.random.default_rng(7)
    net = QonnxWriter((1, 2, 5, 5))
    x = net.quant("x", 0.25, bits, signed=False, zero_point=zero_point)
    weights = net.weights(rng.normal(size=(3, 2, 3, 3)), 0.5, 4)
    if own:
        x = net.node("Pad", [x, net.constant(np.array([0, 0, 1, 0, 0, 0, 1, 2])), net.constant(0.0)])
        pooled = net.node("MaxPool", [x], kernel_shape=[1, 1])
        x = net.node("Conv", [pooled, weights])
    else:
        x = net.node("Conv", [x, weights], pads=[1, 0, 1, 2])
    x = net.bipolar(net.batch_norm(x, *normalization(rng, 3, 2.0)))
    check(net, x, images(rng, 2, 5, 5))


@pytest.mark.parametrize(("datatype", "low", "high"), [("UINT8", 0, 255), ("INT4", -8, 7), ("BIPOLAR", -1, 1)])
def test_an_input_annotated_as_whole_numbers(datatype: str, low: int, high: int) -> None:
    """As FINN writes networks: no quantizer in front, whole numbers as weights, thresholds behind."""
    rng = np.random.default_rng(10)
    net = QonnxWriter((1, 30))
    x = net.node("MatMul", ["x", net.constant(rng.integers(-3, 4, (30, 8)).astype(float))])
    output = net.thresholds(x, np.sort(rng.normal(size=(8, 1)) * high * 8), 2.0, -1.0)
    model = net.model([output])
    entry = onnx.StringStringEntryProto(key="finn_datatype", value=datatype)
    model.graph.quantization_annotation.add(tensor_name="x", quant_parameter_tensor_names=[entry])
    graph = simplify(qonnx.parse(model.SerializeToString()))
    inputs = rng.integers(low, high + 1, (SAMPLES, 30)).astype(np.float32)
    inputs = np.where(inputs == 0, 1, inputs) if datatype == "BIPOLAR" else inputs
    np.testing.assert_array_equal(reference.run(graph, {"x": inputs})[graph.outputs[0]], net.execute(inputs, output)[0])


@pytest.mark.parametrize(("function", "signed"), [("Relu", True), ("Clip", False)])
def test_levels_that_a_function_leaves_out(function: str, signed: bool) -> None:
    """Relu in front of signed bytes, Clip below the largest level: the requantization clips where they do."""
    rng = np.random.default_rng(11)
    net = QonnxWriter((1, 3, 6, 6))
    x = net.node("Conv", [net.quant("x", 1 / 64), net.weights(rng.normal(size=(4, 3, 3, 3)), 1 / 32)])
    limits = [net.constant(0.0), net.constant(1.5)] if function == "Clip" else []
    x = net.quant(net.node(function, [x, *limits]), 1 / 128 if limits else 1 / 16, 8, signed=signed, rounding="FLOOR")
    graph = check(net, x, images(rng, 3, 6, 6))
    (layer,) = [node for node in graph.nodes if isinstance(node, Conv2D)]
    assert (layer.requant.low, layer.requant.high) == ((0, 127) if signed else (-128, 64))

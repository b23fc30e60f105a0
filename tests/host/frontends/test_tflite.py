"""What the TensorFlow Lite front end makes of sound files, of unsuitable ones, and of damaged ones."""

import random
import shutil
import struct
from itertools import pairwise

import networks
import numpy as np
import pytest
import tflite as schema
from celosia import ModelError
from celosia.host import reference
from celosia.host.frontends import load, tflite
from celosia.host.frontends.tflite_writer import ModelWriter
from celosia.host.ir import Conv2D, DepthwiseConv2D, FullyConnected, Mean, Softmax
from golden_check import check, check_noise, unary, weighted
from network_builder import Network

X = ((1, 4, 4, 2), 0.5, 3)
Y = ((1, 4, 4, 3), 0.25, -7)
W = np.arange(-27, 27, dtype=np.int8).reshape(3, 3, 3, 2)
B = np.array([5, -6, 7], np.int32)
SCALES = [0.01, 0.02, 0.03]


def conv(**options) -> bytes:
    return weighted("CONV_2D", X, W, SCALES, B, Y, **options)


# Sound files


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("layer", ["conv", "depthwise", "fully_connected"])
def test_weights_of_four_bits(layer, seed):
    """An odd number of them, two a byte, as the reference kernels read them."""
    network = Network(np.random.default_rng(seed), weight_type="int4")
    x = network.input((1, 5, 7, 3))
    model = network.finish(network.depthwise(x, (3, 3)) if layer == "depthwise" else getattr(network, layer)(x, 5))
    (node,) = check_noise(model, seed).nodes
    assert node.weights.dtype == np.int8
    assert node.weights.size % 2
    assert np.abs(node.weights).max() == 7


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "layer",
    ["conv", "relu6", "depthwise", "connected", "connected by channel", "average", "max", "add", "broadcast", "softmax", "pad"],
)
def test_activations_of_sixteen_bits(layer, seed):
    """Equal to the reference kernels, which round fully-connected layers in double precision and the others by 15 bits."""
    rng = np.random.default_rng(seed)
    network = Network(rng, activation_type="int16", bias_type="int64")
    x = network.input((1, 7, 6, 5), scale=(None, 3e-4, 0.001)[seed])
    grow = {
        "conv": lambda: network.conv(x, 7),
        "relu6": lambda: network.conv(x, 4, (2, 3), stride=(2, 1), padding="VALID", activation="RELU6", per_channel=False),
        "depthwise": lambda: network.depthwise(x, activation="RELU", depth_multiplier=2),
        "connected": lambda: network.fully_connected(x, 9),
        "connected by channel": lambda: network.fully_connected(x, 9, per_channel=True),
        "average": lambda: network.pool(x, "average", (2, 3), padding="SAME"),
        "max": lambda: network.pool(x, "max", (2, 3), padding="SAME"),
        "add": lambda: network.add(network.conv(x, 5), x, activation="RELU"),
        "broadcast": lambda: network.add(x, network.pool(x)),
        "softmax": lambda: network.softmax(x),
        "pad": lambda: network.pad(x, ((1, 2), (0, 3))),
    }
    samples = rng.integers(-(2**15), 2**15, (6, 7, 6, 5)).astype(np.int16)
    samples[0], samples[1], samples[2] = -(2**15), 2**15 - 1, samples[2] // 200
    graph = check(network.finish(grow[layer]()), samples)
    assert {tensor.bits for tensor in graph.tensors.values()} == {16}


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_between_real_numbers_and_integers(kind):
    writer = ModelWriter()
    x = writer.tensor("x", (1, 40), "float32")
    whole = writer.tensor("q", (1, 40), kind, scale=0.003)
    y = writer.tensor("y", (1, 40), "float32")
    writer.op("QUANTIZE", [x], [whole])
    writer.op("DEQUANTIZE", [whole], [y])
    real = np.random.default_rng(1).normal(0, 60, (3, 40)).astype(np.float32)
    check(writer.finish([x], [y]), real)


def test_convolution():
    graph = tflite.parse(conv(activation="RELU"), "net.tflite")
    (node,) = graph.nodes
    assert isinstance(node, Conv2D)
    assert (graph.name, graph.inputs, graph.outputs) == ("net.tflite", ("x",), ("y",))
    assert (node.name, node.inputs, node.output, node.op) == ("conv_2d_0", ("x",), "y", "conv_2d")
    assert (graph.tensors["x"].scale, graph.tensors["x"].zero_point, graph.tensors["x"].dtype) == (0.5, 3, "int8")
    assert (node.input_zero_point, node.padding, node.stride) == (3, ((1, 1), (1, 1)), (1, 1))
    assert (node.requant.zero_point, node.requant.low, node.requant.high) == (-7, -7, 127)
    assert node.macs(graph) == graph.macs == 4 * 4 * 3 * 3 * 3 * 2
    np.testing.assert_array_equal(node.weights, W)
    np.testing.assert_array_equal(node.bias, B)
    for channel, scale in enumerate(SCALES):
        real = 0.5 * float(np.float32(scale)) / 0.25
        assert node.requant.multiplier[channel] == round(real * 2.0 ** (31 - node.requant.shift[channel]))


def test_one_scale_is_repeated():
    node = tflite.parse(weighted("CONV_2D", X, W, 0.01, B, Y)).nodes[0]
    assert node.requant.multiplier.shape == node.requant.shift.shape == (3,)
    assert len(set(node.requant.multiplier.tolist())) == 1


def test_missing_bias_is_zero():
    for op, weights, y in (
        ("DEPTHWISE_CONV_2D", W[:1, :, :, :2], ((1, 4, 4, 2), 0.25, 0)),
        ("FULLY_CONNECTED", np.ones((3, 32), np.int8), ((1, 3), 0.25, 0)),
    ):
        node = tflite.parse(weighted(op, X, weights, 0.01, None, y)).nodes[0]
        assert isinstance(node, DepthwiseConv2D | FullyConnected)
        assert not node.bias.any()


def test_same_padding_puts_the_odd_pixel_behind():
    model = weighted("CONV_2D", ((1, 4, 6, 2), 0.5, 3), W, SCALES, B, ((1, 2, 2, 3), 0.25, -7), stride=(2, 4))
    assert tflite.parse(model).nodes[0].padding == ((0, 1), (0, 1))
    model = weighted("CONV_2D", X, W, SCALES, B, ((1, 2, 2, 3), 0.25, -7), padding="VALID")
    assert tflite.parse(model).nodes[0].padding == ((0, 0), (0, 0))


def test_mean_and_softmax():
    node = tflite.parse(unary("MEAN", X, ((1, 2), 0.5, 3), constant=np.array([2, -3], np.int32))).nodes[0]
    assert isinstance(node, Mean)
    assert (node.axes, node.keep_dims, node.multiplier, node.shift) == ((1, 2), False, 2**30, 1 - 4)
    node = tflite.parse(unary("SOFTMAX", ((1, 10), 0.5, 3), ((1, 10), 1 / 256, -128))).nodes[0]
    assert isinstance(node, Softmax)
    assert (node.input_multiplier, node.input_left_shift, node.diff_min) == (2**30, 26, -31)


@pytest.mark.parametrize("op", ["SQUEEZE", "EXPAND_DIMS", "RESHAPE"])
def test_reshape(op):
    shapes = [(1, 4, 1, 2), (1, 4, 2)] if op == "SQUEEZE" else [(1, 4, 2), (1, 4, 1, 2)]
    graph = tflite.parse(unary(op, (shapes[0], 0.5, 3), (shapes[1], 0.5, 3)))
    assert graph.nodes[0].op == "reshape"
    x = np.arange(16, dtype=np.int8).reshape(2, *shapes[0][1:])
    np.testing.assert_array_equal(reference.run(graph, {"x": x})["y"], x.reshape(2, *shapes[1][1:]))


def test_equal_names_are_told_apart():
    writer = ModelWriter()
    tensors = [writer.tensor("same", (1, 4), scale=0.5) for _ in range(3)] + [writer.tensor("", (1, 4), scale=0.5)]
    for a, b in pairwise(tensors):
        writer.op("RESHAPE", [a], [b])
    graph = tflite.parse(writer.finish([tensors[0]], [tensors[3]]))
    assert list(graph.tensors) == ["same", "same#1", "same#2", "tensor_3"]
    assert [node.name for node in graph.nodes] == ["reshape_0", "reshape_1", "reshape_2"]


@pytest.mark.parametrize("seed", range(20))
def test_graphs_are_in_order(seed):
    graph = tflite.parse(networks.random_network(seed))
    known = set(graph.inputs)
    for node in graph.nodes:
        assert set(node.inputs) <= known
        assert node.output not in known
        known.add(node.output)
    assert known == set(graph.tensors)
    assert set(graph.outputs) <= known
    assert len({node.name for node in graph.nodes}) == len(graph.nodes)


# Files


def test_load(tmp_path):
    path = tmp_path / "net.bin"
    path.write_bytes(conv())
    assert load(str(path)).name == "net.bin"
    assert load(path).nodes[0].op == "conv_2d"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.tflite", b"", "must be a .tflite model, but holds 0 bytes"),
        ("a.tflite", b"PK\x03\x04" * 20, "lacks the identifier 'TFL3'"),
        ("a.tflite", b"\x1c\0\0\0TFL3", "truncated or damaged"),
        ("a.tflite", b"\xff" * 4 + b"TFL3" + b"\xff" * 100, "truncated or damaged"),
        ("a.onnx", b"\x08\x07\x12" * 9, "Model 'a.onnx': the file is no whole ONNX model"),
        ("a", b"", "must be a .tflite file"),
    ],
)
def test_foreign_files(tmp_path, name, content, sentence):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        load(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ModelError, match=r"absent\.tflite' cannot be read: No such file"):
        load(tmp_path / "absent.tflite")
    with pytest.raises(ModelError, match="cannot be read"):
        load(tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        load("a\0b")


# Sound files that Celosia does not run: each sentence names the operator, and says what is needed


def refuse(model: bytes, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        tflite.parse(model, "net.tflite")
    assert str(caught.value).startswith("Model 'net.tflite': ")
    assert "\n" not in str(caught.value)


def chain(op: str, inputs: list[dict], output: dict, **options) -> bytes:
    """One operator over any tensors; those with data are constants."""
    writer = ModelWriter()
    indices = [writer.tensor(f"t{number}", **tensor) for number, tensor in enumerate(inputs)]
    target = writer.tensor("y", **output)
    writer.op(op, indices, [target], **options)
    return writer.finish(indices[:1], [target])


INT8 = {"shape": (1, 4), "scale": 0.5}
FLOAT = {"shape": (1, 4), "dtype": "float32"}
WEIGHTS = {"shape": (4, 4), "scale": 0.01, "data": np.eye(4)}
FLOAT_WEIGHTS = {"shape": (4, 4), "dtype": "float32", "data": np.eye(4)}
INT16 = {"shape": (1, 4), "dtype": "int16", "scale": 0.5}


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (chain("TANH", [INT8], INT8), r"operator 0 \(TANH, output 'y'\): it is not supported: leave it out"),
        (
            chain("FULLY_CONNECTED", [FLOAT, FLOAT_WEIGHTS], FLOAT),
            r"not float32 \(a float model\): quantize .* full int8",
        ),
        (chain("FULLY_CONNECTED", [FLOAT, WEIGHTS], FLOAT), "hybrid model: only its weights are quantized"),
        (chain("FULLY_CONNECTED", [INT8, FLOAT_WEIGHTS], INT8), "weights must be int8 or int4, not float32"),
        (chain("RELU", [FLOAT], FLOAT), "RELU.* is not supported"),
        (chain("SOFTMAX", [INT16], INT16), "its output must have scale 1/32768, not 0.5"),
        (
            chain("MEAN", [INT16, {"shape": (1,), "dtype": "int32", "data": [1]}], {**INT16, "shape": (1,)}, keep_dims=False),
            "'t0' must be int8, not int16",
        ),
        (chain("FULLY_CONNECTED", [INT16, WEIGHTS], INT8), "tensor 'y' must be int16, not int8"),
        (chain("RESHAPE", [{**INT16, "zero_point": 3}], INT16), "'t0' of int16 must have zero point 0, not 3"),
        (
            chain("FULLY_CONNECTED", [INT16, WEIGHTS, {"shape": (4,), "dtype": "int32", "data": np.zeros(4)}], INT16),
            "its bias must be int64, not int32",
        ),
        (chain("FULLY_CONNECTED", [{**INT8, "dtype": "uint8"}, WEIGHTS], INT8), "must be int8 or int16, not uint8"),
        (chain("QUANTIZE", [FLOAT], {**INT8, "dtype": "int32"}), "must be int8 or int16, not int32"),
        (chain("SOFTMAX", [INT8], INT8), "scale 1/256 and zero point -128, not 0.5 and 0"),
        (chain("RESHAPE", [{"shape": (1, 4)}], INT8), "input 't0': .* has no scale"),
        (chain("RESHAPE", [INT8], {"shape": (4, 1)}), "'y' has no scale"),
        (chain("RESHAPE", [INT8], {**INT8, "scale": 0.25}), "must have the quantization of its input"),
        (chain("RESHAPE", [INT8], {**INT8, "shape": (1, 5)}), r"shape \(1, 4\) cannot become the shape \(1, 5\)"),
        (
            chain("ADD", [INT8, {**INT8, "data": np.zeros((1, 4))}], INT8),
            "input 't1' is a constant, which it may not be",
        ),
        (chain("ADD", [INT8, INT8], INT8), "'t1' is not computed before it"),
        (chain("ADD", [INT8], INT8), "it needs 2 inputs, and has 1"),
        (chain("RESHAPE", [{"shape": (2, 4), "scale": 0.5}], INT8), "batch of one in its first axis"),
        (chain("RESHAPE", [{"shape": (4,), "scale": 0.5}], INT8), "batch of one in its first axis"),
        (chain("RESHAPE", [{**INT8, "zero_point": 128}], INT8), r"zero point in -128\.\.127, not 128"),
        (chain("RESHAPE", [{**INT8, "scale": 0.0}], INT8), "scale must be a positive number, not 0.0"),
        (chain("RESHAPE", [{**INT8, "scale": np.nan}], INT8), "scale must be a positive number, not nan"),
        (chain("RESHAPE", [{**INT8, "scale": [0.5] * 4, "axis": 1}], INT8), "must have one scale, not 4"),
        (weighted("CONV_2D", X, W[..., :1], SCALES, B, Y), None),
        (weighted("CONV_2D", X, np.ones((3, 3, 3, 3), np.int8), SCALES, B, Y), "do not fit an input of 2 channels"),
        (weighted("CONV_2D", X, W, SCALES, B, ((1, 4, 5, 3), 0.25, 0)), r"must have shape \(1, 4, 4, 3\), not"),
        (
            weighted("CONV_2D", X, np.ones((3, 5, 5, 2), np.int8), SCALES, B, Y, padding="VALID"),
            "does not fit an input",
        ),
        (weighted("CONV_2D", X, W, 0.01, B[:2], Y), "bias must be 3 numbers"),
        (weighted("CONV_2D", X, W, SCALES, B, ((1, 4, 4, 3), 2.0**-40, 0)), r"may differ by 2\*\*30"),
        (conv(stride=(0, 1)), "its stride must be at least 1"),
        (conv(dilation=(1, 0)), "its dilation must be at least 1"),
        (conv(activation="TANH"), "fused activation must be one of NONE, RELU, RELU6, RELU_N1_TO_1, not TANH"),
        (weighted("FULLY_CONNECTED", X, np.ones((3, 5), np.int8), 0.01, B, Y), "do not fit an input of shape"),
        (weighted("FULLY_CONNECTED", X, np.ones((3, 32), np.int8), 0.01, B, ((1, 3), 1e-10, 0)), "must fit 32 bits"),
        (unary("MEAN", X, Y, constant=np.array([0], np.int32)), "its axes must be others than the batch"),
        (unary("MEAN", X, Y, constant=np.array([4], np.int32)), "must be axes of an input"),
        (unary("PAD", X, Y, constant=np.zeros((3, 2), np.int32)), "a pair >= 0 for each axis"),
        (unary("PAD", X, Y, constant=np.full((4, 2), -1)), "a pair >= 0 for each axis"),
        (unary("PAD", X, Y, constant=np.eye(4, 2)), r"leave the batch axis alone, not pad it by \(1, 0\)"),
        (unary("PAD", X, Y), "lacks its paddings"),
        (unary("RESHAPE", X, ((1, 32), 0.5, 3), constant=np.array([1, 31])), "new shape .* must be that of its output"),
        (unary("MAX_POOL_2D", X, ((1, 2, 2, 2), 0.5, 4)), "must have the quantization of its input"),
        (
            unary("MAX_POOL_2D", ((1, 4, 4), 0.5, 3), ((1, 2, 2), 0.5, 3)),
            r"must have 4 axes, not the shape \(1, 4, 4\)",
        ),
        (unary("SOFTMAX", ((1, 4096), 0.5, 3), ((1, 4096), 1 / 256, -128)), "up to 4095 elements"),
        (unary("SOFTMAX", ((1, 4), 1e-9, 3), ((1, 4), 1 / 256, -128)), r"must exceed 2\*\*-26"),
        (unary("SOFTMAX", ((1, 4), 0.5, 3), ((1, 4), 1 / 256, -128), beta=np.nan), "beta"),
    ],
)
def test_unsuitable_models(model, sentence):
    if sentence is None:  # groups of one channel: grouped convolution wants outputs for each
        sentence = r"weights of shape \(3, 3, 3, 1\) do not fit an input of 2 channels"
    refuse(model, sentence)


def test_sums_of_sixteen_bits_that_are_refused():
    """Those that early converters made by shifts, and sums with int8."""

    def added(second: dict, **options) -> bytes:
        writer = ModelWriter()
        x = writer.tensor("x", **FLOAT)
        a, b, y = (writer.tensor(name, **each) for name, each in (("a", INT16), ("b", second), ("y", INT16)))
        for target in (a, b):
            writer.op("QUANTIZE", [x], [target])
        writer.op("ADD", [a, b], [y], **options)
        return writer.finish([x], [y])

    refuse(added(INT16, powers_of_two=True), "adds int16 by scales that are powers of two")
    refuse(added(INT8), "its inputs must be of one type, not int16 and int8")


def test_addition_whose_output_is_too_fine():
    writer = ModelWriter()
    x = writer.tensor("x", (1, 4), scale=1.0)
    y = writer.tensor("y", (1, 4), scale=1e-6)
    writer.op("ADD", [x, x], [y])
    refuse(writer.finish([x], [y]), r"output's scale must exceed 2\*\*-19")


def test_weights_that_are_not_symmetric():
    writer = ModelWriter()
    x, y = writer.tensor("x", (1, 4), scale=0.5), writer.tensor("y", (1, 4), scale=0.5)
    w = writer.tensor("w", (4, 4), scale=0.01, zero_point=3, data=np.eye(4))
    writer.op("FULLY_CONNECTED", [x, w], [y])
    refuse(writer.finish([x], [y]), r"must be symmetric \(zero point 0\), not have zero point 3")


def test_weights_that_are_computed():
    writer = ModelWriter()
    x, y = writer.tensor("x", (1, 4), scale=0.5), writer.tensor("y", (1, 1), scale=0.5)
    w = writer.tensor("w", (1, 4), scale=0.5)
    writer.op("RESHAPE", [x], [w])
    writer.op("FULLY_CONNECTED", [x, w], [y])
    refuse(writer.finish([x], [y]), r"operator 1 \(FULLY_CONNECTED, output 'y'\): its weights must be a constant")


def test_scales_along_another_axis():
    writer = ModelWriter()
    x, y = writer.tensor("x", (1, 4), scale=0.5), writer.tensor("y", (1, 4), scale=0.5)
    w = writer.tensor("w", (4, 4), scale=[0.01] * 4, axis=1, data=np.eye(4))
    writer.op("FULLY_CONNECTED", [x, w], [y])
    refuse(writer.finish([x], [y]), "one for each of 4 outputs along axis 0, not 4 along axis 1")


def test_bias_of_another_scale():
    writer = ModelWriter()
    x, y = writer.tensor("x", (1, 4), scale=0.5), writer.tensor("y", (1, 4), scale=0.5)
    w = writer.tensor("w", (4, 4), scale=0.01, data=np.eye(4))
    b = writer.tensor("b", (4,), "int32", scale=0.5, data=np.ones(4))
    writer.op("FULLY_CONNECTED", [x, w, b], [y])
    refuse(writer.finish([x], [y]), "bias must have the scale of input times weights, 0.005, not 0.5")


def test_inputs_and_outputs_of_the_model():
    writer = ModelWriter()
    x, y = writer.tensor("x", (1, 4), scale=0.5), writer.tensor("y", (1, 4), scale=0.5)
    z = writer.tensor("z", (1, 4), scale=0.5)
    writer.op("RESHAPE", [x], [y])
    refuse(writer.finish([x, z], [y]), "one input, not 2")
    refuse(writer.finish([], [y]), "one input, not 0")
    refuse(writer.finish([x], []), "must have operators and outputs")
    refuse(writer.finish([x], [z]), "no operator computes the output 'z'")
    refuse(writer.finish([y], [y]), "'x' is not computed before it")


def test_a_tensor_is_computed_once():
    writer = ModelWriter()
    x, y = writer.tensor("x", (1, 4), scale=0.5), writer.tensor("y", (1, 4), scale=0.5)
    writer.op("RESHAPE", [x], [y])
    writer.op("RESHAPE", [x], [y])
    refuse(writer.finish([x], [y]), r"operator 1 \(RESHAPE, output 'y'\): it computes 'y', which is known already")


# Damaged files


def small_network() -> bytes:
    """Every operator that is supported, in less than 4 kB."""
    writer = ModelWriter()

    def tensor(shape, scale=0.5, zero_point=3, **options):
        return writer.tensor(f"t{len(writer._tensors)}", shape, scale=scale, zero_point=zero_point, **options)

    def integers(values):
        return writer.tensor("i", np.shape(values), "int32", data=values)

    x = writer.tensor("x", (1, 5, 5, 2), "float32")
    q, p, c, d, s = (tensor((1, n, n, 2)) for n in (5, 6, 3, 3, 3))
    writer.op("QUANTIZE", [x], [q])
    writer.op("PAD", [q, integers([[0, 0], [0, 1], [0, 1], [0, 0]])], [p])
    w = tensor((2, 3, 3, 2), [0.01, 0.02], 0, data=np.ones((2, 3, 3, 2)))
    b = writer.tensor("b", (2,), "int32", scale=[0.005, 0.01], data=[4, -5])
    writer.op("CONV_2D", [p, w, b], [c], stride=(2, 2))
    w = tensor((1, 3, 3, 2), [0.01, 0.02], 0, axis=3, data=np.ones((1, 3, 3, 2)))
    writer.op("DEPTHWISE_CONV_2D", [c, w, b], [d], activation="RELU6")
    writer.op("ADD", [c, d], [s])
    a, m, v, f, o = tensor((1, 3, 3, 2)), tensor((1, 2, 2, 2)), tensor((1, 2)), tensor((1, 3)), tensor((1, 1, 3))
    writer.op("AVERAGE_POOL_2D", [s], [a], stride=(1, 1))
    writer.op("MAX_POOL_2D", [a], [m], padding="SAME")
    writer.op("MEAN", [m, integers([1, 2])], [v])
    w = tensor((3, 2), 0.01, 0, data=np.ones((3, 2)))
    writer.op("FULLY_CONNECTED", [v, w, -1], [f])
    writer.op("RESHAPE", [f, integers([1, 1, 3])], [o], new_shape=[1, 1, 3])
    g, y = tensor((1, 1, 3), 1 / 256, -128), writer.tensor("y", (1, 1, 3), "float32")
    writer.op("SOFTMAX", [o], [g])
    writer.op("DEQUANTIZE", [g], [y])
    return writer.finish([x], [y])


SPECIAL = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FC00000, 0x40000000]


def damage(data: bytes, rng: random.Random) -> bytes:
    """One to four changes: bits, bytes, words, and pieces lost, doubled or moved."""
    result = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(result))
        match rng.randrange(6):
            case 0:
                result[at] ^= 1 << rng.randrange(8)
            case 1:
                result[at] = rng.randrange(256)
            case 2 if len(result) >= 8:
                struct.pack_into("<I", result, at // 4 * 4 if at < len(result) - 4 else 4, rng.choice(SPECIAL))
            case 3:
                del result[at : at + rng.choice([1, 4, 16])]
            case 4:
                result[at:at] = result[: rng.choice([1, 4, 16])]
            case 5 if rng.random() < 0.2:
                del result[at:]
        if len(result) < 8:
            break
    return bytes(result)


def try_to_run(data: bytes) -> bool:
    """A graph that runs, or ModelError; anything else escapes."""
    try:
        graph = tflite.parse(data)
    except ModelError:
        return False
    if max(tensor.size for tensor in graph.tensors.values()) < 1 << 16:
        tensor = graph.tensors[graph.inputs[0]]
        outputs = reference.run(graph, {tensor.name: np.ones(tensor.shape, tensor.dtype)})
        assert all(outputs[name].shape == graph.tensors[name].shape for name in graph.outputs)
    return True


@pytest.mark.parametrize("seed", range(20))
def test_damaged_files_raise_nothing_else(seed):
    """200 mutations a seed, seed by seed, of a file with every operator."""
    model, rng = small_network(), random.Random(seed)
    assert try_to_run(model)
    survived = sum(try_to_run(damage(model, rng)) for _ in range(200))
    assert 0 < survived < 200


def test_truncated_files():
    """Cut at every length. The last 8 bytes are the empty buffer, which nobody reads."""
    model = small_network()
    assert not any(try_to_run(model[:length]) for length in range(len(model) - 8))


def test_weights_of_four_bits_that_are_cut_off():
    writer = ModelWriter()
    x, y = (writer.tensor(name, (1, 1, 1, 4), scale=0.5) for name in "xy")
    weights = writer.tensor("w", (4, 1, 1, 4), "int4", scale=0.25, data=np.full((4, 1, 1, 4), -8))
    writer.op("CONV_2D", [x, weights], [y])
    data = writer.finish([x], [y])
    assert tflite.parse(data).nodes[0].weights.tolist() == np.full((4, 1, 1, 4), -8).tolist()
    packed = bytes([0x88] * 8)
    assert data.count(packed) == 1
    at = data.index(packed) - 4
    assert data[at : at + 4] == bytes([8, 0, 0, 0])
    with pytest.raises(ModelError, match="of shape .* and type int4 holds 7 bytes: the file is damaged"):
        tflite.parse(data[:at] + bytes([7]) + data[at + 1 :])


def test_more_than_one_subgraph():
    model = bytearray(conv())
    root = schema.Model.GetRootAs(model, 0)
    vector = root._tab.Vector(root._tab.Offset(8)) - 4  # the length before the vector of subgraphs
    struct.pack_into("<I", model, vector, 2)
    refuse(bytes(model), "must have one subgraph, not 2")


def test_damaged_copy_of_a_real_model(shared, tmp_path):
    """What the command line meets: a download that broke off."""
    path = tmp_path / "kws01.tflite"
    shutil.copy(shared / "models" / "kws01_dscnn_int8.tflite", path)
    data = path.read_bytes()
    for length in (len(data) - 1000, len(data) // 2, 1000, 20):
        path.write_bytes(data[:length])
        with pytest.raises(ModelError, match=r"Model 'kws01\.tflite': .*damaged"):
            load(path)

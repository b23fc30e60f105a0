"""The files that ModelWriter writes: read by the schema's own reader, loaded and run by LiteRT's reference kernels."""

import numpy as np
import pytest
import tflite
from celosia.host.frontends.tflite_writer import ModelWriter

SHAPE = (1, 6, 5, 4)


def run(model: bytes, x: np.ndarray) -> np.ndarray:
    """What LiteRT's reference kernels make of `x`."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")
    interpreter = litert.Interpreter(model_content=model, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def random_input(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)


def unary(op: str, shape: tuple[int, ...], *, scale: float = 0.1, zero_point: int = 3, **options) -> bytes:
    """A model of one operator that reads one int8 tensor with scale 0.1 and zero point 3."""
    writer = ModelWriter()
    x = writer.tensor("x", SHAPE, scale=0.1, zero_point=3)
    y = writer.tensor("y", shape, scale=scale, zero_point=zero_point)
    writer.op(op, [x], [y], **options)
    return writer.finish([x], [y])


def with_constant(op: str, shape: tuple[int, ...], constant: list, **options) -> bytes:
    """A model of one operator that reads one int8 tensor and one constant int32 tensor."""
    writer = ModelWriter()
    x = writer.tensor("x", SHAPE, scale=0.1, zero_point=3)
    second = writer.tensor("constant", np.shape(constant), "int32", data=constant)
    y = writer.tensor("y", shape, scale=0.1, zero_point=3)
    writer.op(op, [x, second], [y], **options)
    return writer.finish([x], [y])


def weighted(op: str, kernel: tuple[int, ...], shape: tuple[int, ...], *, axis: int = 0, bias=True, **options) -> bytes:
    """A model of one operator with weights of all ones times 0.5 and a bias of 4.0 in each channel."""
    writer = ModelWriter()
    x = writer.tensor("x", SHAPE, scale=0.1, zero_point=3)
    channels = kernel[axis]
    scales = np.linspace(0.25, 0.5, channels)
    w = writer.tensor("w", kernel, scale=scales, axis=axis, data=np.ones(kernel))
    b = writer.tensor("b", (channels,), "int32", scale=0.1 * scales, data=np.full(channels, 40)) if bias else -1
    y = writer.tensor("y", shape, scale=0.5, zero_point=-7)
    writer.op(op, [x, w, b], [y], **options)
    return writer.finish([x], [y])


def test_conv_2d_with_every_option():
    model = weighted("CONV_2D", (3, 2, 3, 4), (1, 2, 1, 3), stride=(2, 1), dilation=(2, 2), padding="VALID", activation="RELU6")
    x = random_input()
    real = x[0].astype(np.int64) - 3
    sums = np.array([[real[[row, row + 2]][:, [0, 2, 4]].sum()] for row in (0, 2)])
    expected = np.clip((sums + 40) * 0.1 * np.linspace(0.25, 0.5, 3), 0, 6) / 0.5 - 7
    assert np.abs(run(model, x)[0, :, 0] - expected).max() <= 1


@pytest.mark.parametrize("bias", [True, False])
def test_fully_connected(bias):
    # The input of 120 elements is read as 5 rows of 24.
    model = weighted("FULLY_CONNECTED", (3, 24), (5, 3), bias=bias, activation="RELU")
    x = random_input()
    sums = (x.reshape(5, 24).astype(np.int64) - 3).sum(axis=1, keepdims=True) + (40 if bias else 0)
    expected = np.maximum(sums * 0.1 * np.linspace(0.25, 0.5, 3), 0) / 0.5 - 7
    assert np.abs(run(model, x) - np.clip(expected, -128, 127)).max() <= 1


def test_depthwise_conv_2d_with_depth_multiplier():
    model = weighted("DEPTHWISE_CONV_2D", (1, 1, 1, 8), (1, 3, 5, 8), axis=3, stride=(2, 1), depth_multiplier=2, padding="SAME")
    x = random_input()
    sums = np.repeat(x[:, ::2].astype(np.int64) - 3, 2, axis=3) + 40
    expected = sums * 0.1 * np.linspace(0.25, 0.5, 8) / 0.5 - 7
    assert np.abs(run(model, x) - np.clip(expected, -128, 127)).max() <= 1


@pytest.mark.parametrize(("op", "expected"), [("ADD", lambda x: x + x), ("SUB", lambda x: x - x), ("MUL", lambda x: x * x)])
def test_two_inputs(op, expected):
    writer = ModelWriter()
    x = writer.tensor("x", SHAPE, scale=0.1, zero_point=3)
    y = writer.tensor("y", SHAPE, scale=2.0, zero_point=3)
    writer.op(op, [x, x], [y])
    x_int8 = random_input()
    real = (x_int8.astype(np.int64) - 3) * 0.1
    result = run(writer.finish([x], [y]), x_int8)
    assert np.abs(result - np.clip(expected(real) / 2.0 + 3, -128, 127)).max() <= 1


def test_max_pool_2d():
    x = random_input()
    model = unary("MAX_POOL_2D", (1, 3, 1, 4), kernel=(2, 5), stride=(2, 1), padding="VALID")
    np.testing.assert_array_equal(run(model, x)[0, :, 0], x[0].reshape(3, 10, 4).max(axis=1))


def test_average_pool_2d():
    x = random_input()
    model = unary("AVERAGE_POOL_2D", (1, 1, 1, 4), kernel=(6, 5), stride=(1, 1), padding="VALID")
    assert np.abs(run(model, x)[0, 0, 0] - x[0].mean(axis=(0, 1))).max() <= 0.5


@pytest.mark.parametrize(("keep_dims", "shape"), [(True, (1, 1, 1, 4)), (False, (1, 4))])
def test_mean(keep_dims, shape):
    x = random_input()
    result = run(with_constant("MEAN", shape, [1, 2], keep_dims=keep_dims), x)
    assert result.shape == shape
    assert np.abs(result.reshape(4) - x[0].mean(axis=(0, 1))).max() <= 1


def test_pad():
    x = random_input()
    result = run(with_constant("PAD", (1, 8, 6, 4), [[0, 0], [2, 0], [0, 1], [0, 0]]), x)
    expected = np.pad(x, ((0, 0), (2, 0), (0, 1), (0, 0)), constant_values=3)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    "model",
    [with_constant("RESHAPE", (1, 120), [1, 120]), unary("RESHAPE", (1, 120), new_shape=[1, 120])],
    ids=["shape as input", "shape as option"],
)
def test_reshape(model):
    x = random_input()
    np.testing.assert_array_equal(run(model, x), x.reshape(1, 120))


def test_softmax():
    x = random_input()
    real = np.exp(x * 0.1) / np.exp(x * 0.1).sum(axis=-1, keepdims=True)
    result = run(unary("SOFTMAX", SHAPE, scale=1 / 256, zero_point=-128), x)
    assert np.abs(result - np.clip(real * 256 - 128, -128, 127)).max() <= 1


def test_quantize_and_dequantize():
    writer = ModelWriter()
    x = writer.tensor("x", SHAPE, "float32")
    q = writer.tensor("q", SHAPE, scale=0.1, zero_point=3)
    r = writer.tensor("r", SHAPE, scale=0.2, zero_point=-3)
    y = writer.tensor("y", SHAPE, "float32")
    writer.op("QUANTIZE", [x], [q])
    writer.op("QUANTIZE", [q], [r])
    writer.op("DEQUANTIZE", [r], [y])
    real = np.random.default_rng(1).uniform(-10, 10, SHAPE).astype(np.float32)
    assert np.abs(run(writer.finish([x], [y]), real) - real).max() <= 0.16


def test_concatenation():
    writer = ModelWriter()
    x = writer.tensor("x", SHAPE, scale=0.1, zero_point=3)
    y = writer.tensor("y", (1, 6, 10, 4), scale=0.1, zero_point=3)
    writer.op("CONCATENATION", [x, x], [y], axis=2)
    x_int8 = random_input()
    np.testing.assert_array_equal(run(writer.finish([x], [y]), x_int8), np.concatenate([x_int8, x_int8], axis=2))


@pytest.mark.parametrize("op", ["LOGISTIC", "TANH"])
def test_table_operators(op):
    x = random_input()
    zero_point, scale = (-128, 1 / 256) if op == "LOGISTIC" else (0, 1 / 128)
    real = (x - 3.0) * 0.1
    expected = 1 / (1 + np.exp(-real)) if op == "LOGISTIC" else np.tanh(real)
    result = run(unary(op, SHAPE, scale=scale, zero_point=zero_point), x)
    assert np.abs(result - np.clip(expected / scale + zero_point, -128, 127)).max() <= 1.5


def test_relu_without_options():
    x = random_input()
    np.testing.assert_array_equal(run(unary("RELU", SHAPE), x), np.maximum(x, 3))


def test_a_float_model_runs():
    writer = ModelWriter()
    x = writer.tensor("x", SHAPE, "float32")
    w = writer.tensor("w", (3, 3, 3, 4), "float32", data=np.ones((3, 3, 3, 4)))
    b = writer.tensor("b", (3,), "float32", data=[0.5, 1.0, 1.5])
    y = writer.tensor("y", (1, 6, 5, 3), "float32")
    writer.op("CONV_2D", [x, w, b], [y])
    result = run(writer.finish([x], [y]), np.ones(SHAPE, np.float32))
    np.testing.assert_array_equal(result[0, 1, 1], [36.5, 37.0, 37.5])


def test_layout_of_the_file():
    data = weighted("CONV_2D", (3, 3, 3, 4), (1, 6, 5, 3))
    assert tflite.Model.ModelBufferHasIdentifier(data, 0)
    model = tflite.Model.GetRootAs(data, 0)
    assert model.Version() == 3
    assert model.SubgraphsLength() == 1
    assert model.Buffers(0).DataLength() == 0
    for number in range(1, model.BuffersLength()):
        buffer = model.Buffers(number)
        start = buffer._tab.Vector(buffer._tab.Offset(4))
        assert start % 16 == 0
    weights = model.Subgraphs(0).Tensors(1)
    assert weights.Name() == b"w"
    np.testing.assert_array_equal(weights.ShapeAsNumpy(), (3, 3, 3, 4))
    np.testing.assert_allclose(weights.Quantization().ScaleAsNumpy(), [0.25, 0.375, 0.5])
    np.testing.assert_array_equal(weights.Quantization().ZeroPointAsNumpy(), [0, 0, 0])


def test_depthwise_scales_name_the_last_axis():
    model = tflite.Model.GetRootAs(weighted("DEPTHWISE_CONV_2D", (1, 1, 1, 4), (1, 6, 5, 4), axis=3), 0)
    assert model.Subgraphs(0).Tensors(1).Quantization().QuantizedDimension() == 3


def test_equal_calls_write_equal_bytes():
    assert unary("RELU", SHAPE) == unary("RELU", SHAPE)


def test_what_it_refuses():
    writer = ModelWriter()
    with pytest.raises(ValueError, match="must be one of TensorFlow Lite's, not 'complex8'"):
        writer.tensor("x", SHAPE, "complex8")
    with pytest.raises(ValueError, match="must have shape"):
        writer.tensor("x", (2, 2), data=[1, 2, 3, 4])
    for dtype, value in (("int8", 128), ("int4", 8), ("int4", -9), ("int4", 0.5)):
        with pytest.raises(ValueError, match=f"whole numbers that {dtype} can hold"):
            writer.tensor("x", (2,), dtype, data=[0, value])
    with pytest.raises(ValueError, match="3 scales for axis 0"):
        writer.tensor("x", (2,), scale=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="2 scales, but 3 zero points"):
        writer.tensor("x", (2,), scale=[0.1, 0.2], zero_point=[0, 0, 0])
    with pytest.raises(ValueError, match="not 'CONV_9D'"):
        writer.op("CONV_9D", [], [])
    with pytest.raises(ValueError, match="must use one of the 0 tensors, not 0"):
        writer.op("RELU", [0], [0])
    with pytest.raises(ValueError, match="RELU has no option 'stride'"):
        writer.op("RELU", [], [], stride=(1, 1))
    with pytest.raises(ValueError, match="CONV_2D has no option 'kernel'"):
        writer.op("CONV_2D", [], [], kernel=(1, 1))

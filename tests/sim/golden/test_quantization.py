"""QUANTIZE and DEQUANTIZE against LiteRT's reference kernels."""

import networks
import numpy as np
import pytest
from celosia.host.frontends.tflite_writer import ModelWriter
from celosia.sim import golden
from golden_check import check, unary

INT8 = np.arange(-128, 128, dtype=np.int8).reshape(1, 256)


def conversion(op: str, x: dict, y: dict, size: int = 256) -> bytes:
    writer = ModelWriter()
    source, target = writer.tensor("x", (1, size), **x), writer.tensor("y", (1, size), **y)
    writer.op(op, [source], [target])
    return writer.finish([source], [target])


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.1, 0.0078125, 1 / 255, 3.7])
@pytest.mark.parametrize("zero_point", [-128, 0, 127])
def test_quantize(scale, zero_point):
    """Values around every boundary, and floats next to them."""
    halves = (np.arange(-300, 301) * np.float32(0.5) * np.float32(scale)).astype(np.float32)
    near = [np.nextafter(halves, np.float32(np.inf)), halves, np.nextafter(halves, np.float32(-np.inf))]
    x = np.concatenate([*near, np.float32([0.0, -0.0, 1e-40, 1e7, -1e7]) * np.float32(scale)])
    model = conversion("QUANTIZE", {"dtype": "float32"}, {"scale": scale, "zero_point": zero_point}, x.size)
    check(model, x[np.newaxis])


def test_quantize_saturates_where_the_reference_is_undefined():
    x = np.array([1e30, -1e30, np.inf, -np.inf, np.nan], np.float32)
    assert golden.quantize(x, 0.1, 7).tolist() == [127, -128, 127, -128, 7]


@pytest.mark.parametrize("scale", [1.0, 0.1, 1 / 255, 1e-30, 1e30])
@pytest.mark.parametrize("zero_point", [-128, 0, 127])
def test_dequantize(scale, zero_point):
    check(conversion("DEQUANTIZE", {"scale": scale, "zero_point": zero_point}, {"dtype": "float32"}), INT8)


@pytest.mark.parametrize("seed", range(30))
def test_between_quantizations(seed):
    rng = np.random.default_rng(seed)
    scales = np.float32(2.0 ** rng.uniform(-6, 6, 2)).tolist() if seed else [0.3, 0.3]
    zero_points = rng.integers(-128, 128, 2).tolist()
    check(unary("QUANTIZE", ((1, 256), scales[0], zero_points[0]), ((1, 256), scales[1], zero_points[1])), INT8)


@pytest.mark.parametrize(("scale", "zero_point"), [(0.5, 128), (0.5, 3), (0.3, 255)])
def test_uint8(scale, zero_point):
    """The type of images, from and to int8; equal scales 128 apart are TensorFlow's default."""
    values = np.arange(256, dtype=np.uint8).reshape(1, 256)
    unsigned = {"dtype": "uint8", "scale": scale, "zero_point": zero_point}
    check(conversion("QUANTIZE", unsigned, {"scale": 0.5, "zero_point": 0}), values)
    check(conversion("QUANTIZE", {"scale": 0.5, "zero_point": 0}, unsigned), INT8)


def test_float_at_both_ends():
    writer = ModelWriter()
    x = writer.tensor("x", (1, 4, 4, 2), "float32")
    q = writer.tensor("q", (1, 4, 4, 2), scale=0.05, zero_point=-3)
    r = writer.tensor("r", (1, 2, 2, 2), scale=0.05, zero_point=-3)
    y = writer.tensor("y", (1, 2, 2, 2), "float32")
    writer.op("QUANTIZE", [x], [q])
    writer.op("MAX_POOL_2D", [q], [r])
    writer.op("DEQUANTIZE", [r], [y])
    samples = np.random.default_rng(1).normal(0, 3, (5, 4, 4, 2)).astype(np.float32)
    graph = check(writer.finish([x], [y]), samples)
    assert [node.op for node in graph.nodes] == ["quantize", "max_pool_2d", "dequantize"]
    assert networks.input_shape(writer.finish([x], [y])) == graph.tensors[graph.inputs[0]].shape

"""Addition against LiteRT's reference kernel: all pairs of int8 values."""

import networks
import numpy as np
import pytest
from celosia.host.frontends.tflite_writer import ModelWriter
from golden_check import check, check_noise


@pytest.mark.parametrize("seed", range(20))
def test_random_additions(seed):
    rng = np.random.default_rng(seed)
    shape = (1, *rng.integers(1, 8, 3).tolist())
    activation = str(rng.choice(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]))
    check_noise(networks.add(seed, shape, broadcast=bool(seed % 2), activation=activation), seed)


def sum_of_two(scales, zero_points, shape=(1, 2, 256), others=(1, 2, 256), **options) -> bytes:
    """x, and x in another quantization, added: QUANTIZE gives the second operand without a loss of bits."""
    writer = ModelWriter()
    x = writer.tensor("x", shape, scale=scales[0], zero_point=zero_points[0])
    parts = [x]
    for index in (0, 1):
        part = writer.tensor(f"part_{index}", others, scale=scales[index], zero_point=zero_points[index])
        axes = writer.tensor(f"axes_{index}", (1,), "int32", data=[1])
        if others != shape:
            writer.op("MEAN", [x, axes], [part], keep_dims=len(others) == len(shape))
        else:
            writer.op("QUANTIZE", [x], [part])
        parts.append(part)
    y_shape = np.broadcast_shapes(shape, others)
    y = writer.tensor("y", y_shape, scale=scales[2], zero_point=zero_points[2])
    writer.op("ADD", [parts[0], parts[2]], [y], **options)
    return writer.finish([x], [y])


@pytest.mark.parametrize("seed", range(12))
def test_random_scales(seed):
    rng = np.random.default_rng(seed)
    scales = np.float32(2.0 ** rng.uniform(-8, 8, 3)).tolist()
    scales[2] = max(scales[2], max(scales[:2]) * 2.0**-10)
    model = sum_of_two(scales, rng.integers(-128, 128, 3).tolist(), activation=str(rng.choice(["NONE", "RELU"])))
    check_noise(model, seed)


@pytest.mark.parametrize("others", [(1, 1, 256), (1, 256)])
def test_broadcast(others):
    """Also a second operand of lower rank, several samples at once."""
    check_noise(sum_of_two((0.5, 0.3, 0.7), (3, -5, 7), others=others), 1, samples=4)


def test_extremes_and_halves():
    """-128 + -128, 127 + 127, and scales that are powers of two."""
    for zero_points in ((-128, -128, -128), (127, 127, 127), (-128, 127, 0), (0, 0, 0)):
        for scales in ((1.0, 1.0, 1.0), (1.0, 0.5, 2.0), (0.25, 1.0, 4.0), (1.0, 1.0, 0.001)):
            x = np.tile(np.arange(-128, 128, dtype=np.int8), 2).reshape(1, 2, 256)
            check(sum_of_two(scales, zero_points), x)

"""Softmax against LiteRT's fixed-point reference kernel."""

from math import exp

import networks
import numpy as np
import pytest
from celosia.host.frontends import scaling
from celosia.host.frontends.tflite_writer import ModelWriter
from celosia.sim.golden import activation, fixed_point, rounding_divide_by_pot, saturating_rounding_doubling_high_mul
from golden_check import check, unary


def model(shape: tuple[int, ...], scale: float, beta: float = 1.0) -> bytes:
    return unary("SOFTMAX", (shape, scale, 11), (shape, 1 / 256, -128), beta=beta)


@pytest.mark.parametrize("scale", [2.0**-26 * 1.01, 1e-6, 1e-3, 0.0625, 0.1, 0.3, 1.0, 10.0, 31.9, 32.0, 1e6])
@pytest.mark.parametrize("classes", [1, 2, 10, 12, 100])
def test_scales(scale, classes):
    rng = np.random.default_rng(classes)
    x = [rng.integers(-128, 128, (20, classes)), np.clip(rng.normal(0, 8, (20, classes)), -128, 127)]
    edges = np.full((4, classes), -128)
    edges[1], edges[2, 0], edges[3, -1] = 127, 127, 127
    check(model((1, classes), scale), np.concatenate([*x, edges]).astype(np.int8))


def test_every_difference():
    """Two classes, all differences, both orders."""
    x = np.full((511, 2), -128, np.int8)
    x[:256, 0] = np.arange(-128, 128)
    x[256:, 1] = np.arange(-127, 128)
    for scale, beta in ((0.01, 1.0), (0.05, 1.0), (0.2, 1.0), (0.05, 3.0), (0.05, 0.1)):
        check(model((1, 2), scale, beta), x)


@pytest.mark.parametrize("classes", [255, 256, 257, 500])
def test_many_equal_classes(classes):
    check(model((1, classes), 0.1), np.zeros((1, classes), np.int8))


def test_over_the_last_axis():
    x = np.random.default_rng(1).integers(-128, 128, (3, 4, 5, 6)).astype(np.int8)
    check(model((1, 4, 5, 6), 0.07), x)


@pytest.mark.parametrize("scale", [0.01, 0.0625, 0.2, 1.0])
def test_the_fixed_point_functions_to_16_bits(scale):
    """LiteRT's kernel can also write int16: 8 bits more of the same exponentials and reciprocal."""
    writer = ModelWriter()
    source = writer.tensor("x", (1, 30), scale=scale, zero_point=11)
    target = writer.tensor("y", (1, 30), "int16", scale=2.0**-16, zero_point=-32768)
    writer.op("SOFTMAX", [source], [target])
    x = np.random.default_rng(1).integers(-128, 128, (200, 30)).astype(np.int8)
    x[:100] //= 8

    multiplier, left_shift, diff_min = scaling.softmax_scaling(1.0, float(np.float32(scale)))
    diff = x.max(axis=1, keepdims=True).astype(int) - x
    exps = np.where(diff > -diff_min, 0, activation._exponentials(multiplier, left_shift)[diff])
    sums = rounding_divide_by_pot(exps, 12).sum(axis=1, keepdims=True, dtype=np.int64)
    factor, bits = fixed_point.reciprocal(sums, 12)
    result = rounding_divide_by_pot(saturating_rounding_doubling_high_mul(factor, exps), bits + 15) - 32768
    np.testing.assert_array_equal(np.clip(result, -32768, 32767), networks.reference(writer.finish([source], [target]), x))


def test_constants_are_the_nearest():
    assert {key: round(exp(-(2.0**key)) * 2**31) for key in range(-2, 5)} == fixed_point._EXP_MINUS_POT
    assert round(exp(-1 / 8) * 2**31) == fixed_point._EXP_MINUS_EIGHTH
    assert round(2**31 / 3) == fixed_point._THIRD
    assert round(48 / 17 * 2**29) == fixed_point._48_OVER_17
    assert round(-32 / 17 * 2**29) == fixed_point._MINUS_32_OVER_17

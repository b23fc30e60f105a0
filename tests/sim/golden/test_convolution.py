"""Convolutions against LiteRT's reference kernels, and their sums against the formula."""

from itertools import product

import networks
import numpy as np
import pytest
from celosia.sim import golden
from golden_check import check, check_noise, weighted

ACTIVATIONS = ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]


def draw_window(rng: np.random.Generator) -> dict:
    """Options of a window, and kernels and maps from one pixel up."""
    return {
        "kernel": tuple(rng.integers(1, 6, 2).tolist()),
        "stride": tuple(rng.integers(1, 4, 2).tolist()),
        "dilation": tuple(rng.integers(1, 3, 2).tolist()),
        "padding": str(rng.choice(["SAME", "VALID"])),
        "activation": str(rng.choice(ACTIVATIONS)),
        "per_channel": bool(rng.random() < 0.8),
    }


def draw_map(rng: np.random.Generator, options: dict) -> list[int]:
    """Height and width that an unpadded window fits."""
    reach = [(k - 1) * d for k, d in zip(options["kernel"], options["dilation"], strict=True)]
    least = reach if options["padding"] == "VALID" else [0, 0]
    return [int(rng.integers(1, 12)) + extra for extra in least]


@pytest.mark.parametrize("seed", range(60))
def test_random_convolutions(seed):
    rng = np.random.default_rng(seed)
    options = draw_window(rng)
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    depth, filters = rng.integers(1, 20, 2).tolist()
    shape = (1, *draw_map(rng, options), depth * groups)
    check_noise(networks.conv(seed, shape, filters * groups, groups=groups, **options), seed)


@pytest.mark.parametrize("seed", range(60))
def test_random_depthwise_convolutions(seed):
    rng = np.random.default_rng(seed)
    options = draw_window(rng)
    shape = (1, *draw_map(rng, options), int(rng.integers(1, 20)))
    options |= {"depth_multiplier": int(rng.integers(1, 4)), "bias": bool(rng.random() < 0.8)}
    check_noise(networks.depthwise(seed, shape, **options), seed)


@pytest.mark.parametrize(("zero_point", "scale"), list(product([-128, 0, 127], [2.0**-20, 1.0, 100.0])))
def test_extreme_operands(zero_point, scale):
    """All weights -128 or 127 against inputs of -128 and 127: the largest sums, and outputs that saturate."""
    weights = np.full((4, 3, 3, 32), -128, np.int8)
    weights[1], weights[2, ::2] = 127, 127
    bias = np.array([0, 2**20, -(2**20), 1], np.int32)
    model = weighted(
        "CONV_2D",
        ((1, 3, 3, 32), 1.0, zero_point),
        weights,
        [scale] * 4,
        bias,
        ((1, 1, 1, 4), 3.0, -1),
        padding="VALID",
    )
    check_noise(model, 1)
    weights = np.full((1, 3, 3, 4), -128, np.int8)
    weights[..., 1] = 127
    check_noise(
        weighted(
            "DEPTHWISE_CONV_2D",
            ((1, 3, 3, 4), 1.0, zero_point),
            weights,
            [scale] * 4,
            bias,
            ((1, 3, 3, 4), 3.0, -1),
            padding="SAME",
        ),
        1,
    )


@pytest.mark.parametrize("exponent", range(-34, 12))
def test_every_shift(exponent):
    """One product, K = 1, one pixel: factors of 2**exponent times powers of 1.3, all inputs."""
    scales = np.float32(2.0**exponent * 1.3 ** np.arange(-4, 4))
    weights = np.array([1, -1, 127, -127, 64, 3, -128, 100], np.int8).reshape(8, 1, 1, 1)
    bias = np.array([0, 1, -1, 12345, -54321, 2**20, -(2**20), 7], np.int32)
    model = weighted("CONV_2D", ((1, 1, 1, 1), 1.0, 3), weights, scales, bias, ((1, 1, 1, 8), 1.0, -5))
    check(model, np.arange(-128, 128, dtype=np.int8).reshape(-1, 1, 1, 1))


def test_halves_round_as_in_the_reference():
    """Factors that are powers of two make every second sum a tie."""
    weights = np.array([1, -1, 3, -3], np.int8).reshape(4, 1, 1, 1)
    for exponent in range(-6, 1):
        model = weighted("CONV_2D", ((1, 1, 1, 1), 1.0, 0), weights, 2.0**exponent, np.zeros(4), ((1, 1, 1, 4), 1.0, 0))
        check(model, np.arange(-128, 128, dtype=np.int8).reshape(-1, 1, 1, 1))


def plain_sums(x, weights, bias, zero_point, stride, dilation, padding):
    """The formula, in Python's integers: weights (outputs, kernel_h, kernel_w, channels / groups)."""
    outputs, kernel_h, kernel_w, depth = weights.shape
    samples, height, width, channels = x.shape
    (top, bottom), (left, right) = padding
    rows = (height + top + bottom - (kernel_h - 1) * dilation[0] - 1) // stride[0] + 1
    cols = (width + left + right - (kernel_w - 1) * dilation[1] - 1) // stride[1] + 1
    acc = np.zeros((samples, rows, cols, outputs), object)
    for n, i, j, o in np.ndindex(*acc.shape):
        total = int(bias[o])
        first = o // (outputs // (channels // depth)) * depth
        for u, v, c in np.ndindex(kernel_h, kernel_w, depth):
            y, z = i * stride[0] + u * dilation[0] - top, j * stride[1] + v * dilation[1] - left
            if 0 <= y < height and 0 <= z < width:
                total += (int(x[n, y, z, first + c]) - zero_point) * int(weights[o, u, v, c])
        acc[n, i, j, o] = (total + 2**31) % 2**32 - 2**31
    return acc.astype(np.int32)


@pytest.mark.parametrize("seed", range(8))
def test_sums_equal_the_formula(seed):
    rng = np.random.default_rng(seed)
    groups, depth, filters = rng.integers(1, 4, 3).tolist()
    x = rng.integers(-128, 128, (2, 5, 6, groups * depth)).astype(np.int8)
    weights = rng.integers(-128, 128, (groups * filters, 3, 2, depth)).astype(np.int8)
    bias = rng.integers(-(2**31), 2**31, groups * filters).astype(np.int32)  # near the edge: sums wrap
    options = {
        "stride": (int(rng.integers(1, 3)), int(rng.integers(1, 4))),
        "dilation": (int(rng.integers(1, 3)), int(rng.integers(1, 3))),
        "padding": ((1, 2), (0, 3)),
    }
    zero_point = int(rng.integers(-128, 128))
    expected = plain_sums(x, weights, bias, zero_point, **options)
    result = golden.conv2d_sums(x, weights, bias, input_zero_point=zero_point, **options)
    np.testing.assert_array_equal(result, expected)
    narrow = x[..., : groups * depth]
    kernel = weights[: groups * depth, :, :, 0] if filters >= depth else np.resize(weights[..., 0], (groups * depth, 3, 2))
    expected = plain_sums(narrow, kernel[..., np.newaxis], np.resize(bias, groups * depth), zero_point, **options)
    result = golden.depthwise_conv2d_sums(
        narrow,
        kernel.transpose(1, 2, 0),
        np.resize(bias, groups * depth),
        input_zero_point=zero_point,
        **options,
    )
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("depth", [57, 58, 514, 600, 4096])
def test_large_sums_stay_exact(depth):
    """Around 2**24, beyond which float32 would lose the last bit, and far above."""
    x = np.full((1, 3, 3, depth), -128, np.int8)
    x[0, 0, 0, 0] = -127
    weights = np.full((2, 3, 3, depth), -128, np.int8)
    weights[1, 0, 0, 0] = -127
    acc = golden.conv2d_sums(x, weights, np.zeros(2, np.int32), input_zero_point=127)
    count = 9 * depth
    assert acc.ravel().tolist() == [(count - 1) * 255 * 128 + 254 * 128, (count - 1) * 255 * 128 + 254 * 127]


def test_batch_is_split_without_a_seam(monkeypatch):
    model = networks.conv(1, (1, 9, 8, 5), 7)
    monkeypatch.setattr("celosia.sim.golden.convolution._CHUNK", 1000)
    check(model, networks.random_input(model, 1, samples=5))
    model = networks.depthwise(1, (1, 9, 8, 5))
    check(model, networks.random_input(model, 1, samples=5))

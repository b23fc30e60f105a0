"""Fully-connected layers against LiteRT's reference kernels, which requantize in double precision."""

import networks
import numpy as np
import pytest
from golden_check import check, check_noise, weighted


@pytest.mark.parametrize("seed", range(60))
def test_random_layers(seed):
    rng = np.random.default_rng(seed)
    shape = (1, *rng.integers(1, [30, 6, 6][: rng.integers(1, 4)]).tolist()) if rng.random() < 0.7 else (1, 700)
    options = {
        "activation": str(rng.choice(["NONE", "RELU", "RELU6"])),
        "bias": bool(rng.random() < 0.8),
        "per_channel": bool(rng.random() < 0.4),
        "magnitude": int(rng.choice([3, 127])),
    }
    check_noise(networks.fully_connected(seed, shape, int(rng.integers(1, 60)), **options), seed, samples=20)


@pytest.mark.parametrize("keep", [False, True])
def test_several_rows(keep):
    rng = np.random.default_rng(3)
    weights = rng.integers(-127, 128, (6, 8)).astype(np.int8)
    y = (1, 5, 6) if keep else (5, 6)
    model = weighted("FULLY_CONNECTED", ((1, 5, 8), 0.1, 3), weights, 0.01, None, (y, 0.3, -9), keep_num_dims=keep)
    x = rng.integers(-128, 128, (1, 5, 8)).astype(np.int8)
    check(model, x)


@pytest.mark.parametrize("exponent", range(-30, 8))
def test_every_shift(exponent):
    """K = 1, one output: sums of every size with factors near 2**exponent, and exactly there, where ties are."""
    x = np.arange(-128, 128, dtype=np.int8).reshape(-1, 1)
    for factor in (1.0, 0.7310585786300049, 1.9999998807907104):
        for weight, bias in ((1, 0), (-1, 0), (127, -3), (-128, 2**18)):
            weights, biases = np.array([[weight]], np.int8), np.array([bias], np.int32)
            scale = np.float32(2.0**exponent * factor)
            check(weighted("FULLY_CONNECTED", ((1, 1), 1.0, 3), weights, scale, biases, ((1, 1), 1.0, -5)), x)


@pytest.mark.parametrize("zero_point", [-128, 0, 127])
def test_extreme_operands(zero_point):
    weights = np.full((4, 4096), -128, np.int8)
    weights[1], weights[2, ::2] = 127, 127
    bias = np.array([0, 2**20, -(2**20), 1], np.int32)
    for scale in (1e-6, 1e-3, 1.0):
        model = weighted("FULLY_CONNECTED", ((1, 4096), 0.5, zero_point), weights, [scale] * 4, bias, ((1, 4), 2.0, 1))
        check_noise(model, 1)

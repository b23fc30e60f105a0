"""Pooling against LiteRT's reference kernels."""

import networks
import numpy as np
import pytest
from golden_check import check, check_noise, unary


@pytest.mark.parametrize("kind", ["average", "max"])
@pytest.mark.parametrize("seed", range(30))
def test_random_windows(kind, seed):
    rng = np.random.default_rng(seed)
    kernel, stride = tuple(rng.integers(1, 6, 2).tolist()), tuple(rng.integers(1, 5, 2).tolist())
    padding = str(rng.choice(["SAME", "VALID"]))
    least = kernel if padding == "VALID" else (1, 1)
    shape = (1, *(int(rng.integers(0, 9)) + k for k in least), int(rng.integers(1, 9)))
    activation = str(rng.choice(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]))
    check_noise(networks.pool(seed, shape, kind, kernel, stride=stride, padding=padding, activation=activation), seed)


@pytest.mark.parametrize("count", [2, 3, 4, 6, 8])
def test_average_rounds_halves_away_from_zero(count):
    """Every sum that `count` values can make."""
    sums = np.arange(-128 * count, 127 * count + 1)
    x = np.full((len(sums), 1, count, 1), 0, np.int8)
    for index in range(count):
        x[:, 0, index, 0] = (sums + index) // count
    assert (x.sum(axis=(1, 2, 3), dtype=np.int64) == sums).all()
    tensor = (0.1, -3)
    model = unary(
        "AVERAGE_POOL_2D",
        ((1, 1, count, 1), *tensor),
        ((1, 1, 1, 1), *tensor),
        kernel=(1, count),
        stride=(1, 1),
        padding="VALID",
    )
    check(model, x)

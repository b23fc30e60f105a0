"""MEAN against LiteRT's reference kernel."""

import numpy as np
import pytest
from golden_check import check_noise, unary


@pytest.mark.parametrize("seed", range(60))
def test_random_means(seed):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(2, 6))
    shape = (1, *rng.integers(1, 7, rank - 1).tolist())
    axes = rng.choice(np.arange(1, rank), int(rng.integers(1, rank)), replace=False)
    keep = bool(rng.random() < 0.5)
    written = [int(axis) - (rank if rng.random() < 0.5 else 0) for axis in axes]
    result = np.zeros(shape).sum(axis=tuple(axes.tolist()), keepdims=keep).shape
    scales = np.float32(2.0 ** rng.uniform(-4, 4, 2)).tolist()
    zero_points = rng.integers(-128, 128, 2).tolist()
    model = unary(
        "MEAN",
        (shape, scales[0], zero_points[0]),
        (result, scales[1], zero_points[1]),
        constant=np.array(written, np.int32),
        keep_dims=keep,
    )
    check_noise(model, seed)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 25, 5, 4), (1, 64, 64, 2), (1, 7, 7, 9)])
@pytest.mark.parametrize("factor", [2.0**-33, 2.0**-31, 2.0**-28, 2.0**-10, 0.9, 1.0, 3.3, 200.0])
def test_scales(shape, factor):
    """Down to factors that leave no bit, up to ones that saturate everything."""
    model = unary(
        "MEAN",
        (shape, float(np.float32(factor)), 17),
        ((1, shape[3]), 1.0, -4),
        constant=np.array([1, 2], np.int32),
    )
    check_noise(model, 1)

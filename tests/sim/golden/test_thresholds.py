"""discretize and look_up against their definitions, element by element."""

import numpy as np
import pytest
from celosia.sim.golden import discretize, look_up


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("axis", [1, -1])
def test_discretize_counts_the_thresholds_reached(channels, axis):
    rng = np.random.default_rng(channels)
    shape = (2, channels, 4, 5) if axis == 1 else (2, 4, 5, channels)
    thresholds = np.sort(rng.normal(size=(channels, 7)).astype(np.float32), axis=1)
    thresholds[0, -1] = np.inf
    x = rng.normal(size=shape).astype(np.float32)
    x.flat[:7] = thresholds[0]  # equal counts
    y = discretize(x, thresholds, -4, axis)
    assert y.dtype == np.int8
    for index in np.ndindex(shape):
        row = thresholds[index[axis] % channels]
        assert y[index] == -4 + sum(x[index] >= threshold for threshold in row)


def test_look_up_adds_the_slices():
    rng = np.random.default_rng(1)
    channels, slices = 3, 4
    table = rng.normal(size=(channels, slices * 255 + 1)).astype(np.float32)
    sums = rng.integers(0, slices * 255 + 1, (2, 5, channels))
    first = np.arange(slices)[:, np.newaxis] * 255
    x = np.clip(sums[..., np.newaxis, :] - first, 0, 255) - 128
    y = look_up(x.reshape(2, 5, -1).astype(np.int8), table)
    assert y.dtype == np.float32
    for index in np.ndindex(sums.shape):
        assert y[index] == table[index[-1], sums[index]]


def test_look_up_beyond_its_table_is_its_last_entry():
    table = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    assert look_up(np.array([[-128, 127]], np.int8), table).tolist() == [[1.0, 4.0]]

"""Thresholds to bias, multiplier and shift: every sum of a channel's range, on both roundings of the golden models."""

import numpy as np
import pytest
from celosia.host.frontends.qonnx_requant import edges, level_requant, sign_requant
from celosia.host.frontends.qonnx_thresholds import first_reaching, real_thresholds
from celosia.sim.errors import ModelError
from celosia.sim.golden import multiply_by_quantized_multiplier, multiply_by_quantized_multiplier_once, requantize
from celosia.sim.golden import requantize_once as once_rounded

LARGEST_SUM = (1 << 23) - 1


def stairs(kind: str, sums: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whole levels of whole sums, rising."""
    offset = int(rng.integers(-len(sums) // 2, len(sums) // 2))
    if kind == "floor":
        return (sums + offset) >> int(rng.integers(0, 8))
    if kind == "scale":
        return np.floor((sums + offset) * rng.uniform(0.004, 1.5) + 0.5).astype(int)
    return np.round((sums + offset) / 2 ** int(rng.integers(2, 6))).astype(int)


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize(("low", "high"), [(-1, 0), (0, 1), (-2, 1), (0, 15), (-8, 7), (-128, 127)])
@pytest.mark.parametrize("kind", ["floor", "scale"])
def test_even_levels_are_met_exactly(kind: str, low: int, high: int, once: bool) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        reach = int(rng.integers(3, 6000))
        sums = np.arange(-reach, reach + 1)
        channels = [np.clip(stairs(kind, sums, rng), low, high) for _ in range(3)]
        thresholds = np.array([[-reach + int((y < level).sum()) for y in channels] for level in range(low + 1, high + 1)])
        ends = np.full(3, reach)
        bias, requant = level_requant(thresholds, lows=-ends, highs=ends, low=low, high=high, zero_point=max(low, 0), once=once)
        rounding = once_rounded if once else requantize
        accumulated = (sums[:, np.newaxis] + bias).astype(np.int32)
        settings = requant.multiplier, requant.shift, requant.zero_point, requant.low, requant.high
        np.testing.assert_array_equal(rounding(accumulated, *settings), np.stack(channels, axis=1))


def test_halves_to_even_are_refused() -> None:
    sums = np.arange(-300, 301)
    y = np.clip(stairs("even", sums, np.random.default_rng(0)), -8, 7)
    thresholds = np.array([[-300 + int((y < level).sum())] for level in range(-7, 8)])
    ends = np.array([300])
    with pytest.raises(ModelError, match="the levels of 1 of its 1 channels .the first is 0. do not lie evenly"):
        level_requant(thresholds, lows=-ends, highs=ends, low=-8, high=7, zero_point=0, once=True)


@pytest.mark.parametrize("once", [False, True])
def test_a_sign_is_exact_at_every_threshold_of_the_accumulator(once: bool) -> None:
    """Both sides of the threshold, and both ends of what an accumulator holds."""
    thresholds = np.array([-LARGEST_SUM, -77777, -1, 0, 1, 2, 500, LARGEST_SUM])
    bias, requant = sign_requant(thresholds)
    rounding = once_rounded if once else requantize
    for sums, expected in ((thresholds - 1, -1), (thresholds, 1)):
        y = rounding((sums + bias).astype(np.int32), requant.multiplier, requant.shift, requant.zero_point, -1, 1)
        assert y.tolist() == [expected] * len(thresholds)
    for biased, expected in ((-LARGEST_SUM, -1), (LARGEST_SUM, 1)):
        y = rounding(np.full(8, biased, np.int32), requant.multiplier, requant.shift, requant.zero_point, -1, 1)
        assert y.tolist() == [expected] * 8


@pytest.mark.parametrize("once", [False, True])
def test_edges_are_those_of_the_roundings(once: bool) -> None:
    rng = np.random.default_rng(4)
    multiply = multiply_by_quantized_multiplier_once if once else multiply_by_quantized_multiplier
    for _ in range(200):
        multiplier, shift = int(rng.integers(1 << 30, 1 << 31)), int(rng.integers(-12, 3))
        if rng.integers(2):
            multiplier, shift = multiplier >> int(rng.integers(0, 12)), 0
        levels = np.arange(-20, 21)
        found = edges(levels, multiplier, shift, once)
        assert (multiply(found.astype(np.int32), multiplier, shift) >= levels).all()
        assert (multiply(found.astype(np.int32) - 1, multiplier, shift) < levels).all()


def test_first_reaching_finds_the_first() -> None:
    """A channel that never reaches its level, one that always does, and one in between."""
    low, high = np.array([-5, -5, -5]), np.array([9, 9, 9])
    offsets = np.array([-100, 100, 3])
    found = first_reaching(lambda i: np.sign(i + offsets), [0, 1], low, high)
    assert found.tolist() == [[10, -5, -3], [10, -5, -2]]


def test_real_thresholds_lie_between_neighbours_of_float32() -> None:
    def levels(x: np.ndarray) -> np.ndarray:
        return np.floor(x * np.float32(0.3) + np.float32(0.1))

    (row,) = real_thresholds(levels, [-1, 0, 1], 1)
    for level, threshold in zip([-1, 0, 1], row, strict=True):
        assert levels(threshold) >= level
        assert levels(np.nextafter(threshold, np.float32(-np.inf))) < level

"""The rounding functions against their definitions in whole numbers of any size."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from celosia.sim import golden
from hypothesis import given
from hypothesis import strategies as st

MIN, MAX = -(2**31), 2**31 - 1
EDGES = [MIN, MIN + 1, -(2**30), -3, -2, -1, 0, 1, 2, 3, 2**30 - 1, 2**30, 2**30 + 1, MAX - 1, MAX]
MULTIPLIERS = [0, 2**29, 2**30, 2**30 + 1, 3 * 2**29, 0x55555555, MAX - 1, MAX]

int32 = st.integers(MIN, MAX)
multipliers = st.sampled_from([0]) | st.integers(2**30, MAX)


def wrap(x: int) -> int:
    return (x + 2**31) % 2**32 - 2**31


def high_mul(a: int, b: int) -> int:
    """Gemmlowp's, with its nudge and its division towards zero."""
    if a == b == MIN:
        return MAX
    nudged = a * b + (2**30 if a * b >= 0 else 1 - 2**30)
    return abs(nudged) // 2**31 * (1 if nudged >= 0 else -1)


def divide(x: int, exponent: int) -> int:
    """Gemmlowp's, with its mask, remainder and threshold."""
    mask = (1 << exponent) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def twice(x: int, multiplier: int, shift: int) -> int:
    return divide(high_mul(wrap(x << max(shift, 0)), multiplier), max(-shift, 0))


def once(x: int, multiplier: int, shift: int) -> int:
    exact = Fraction(x * multiplier, 2 ** (31 - shift))
    return min(max(floor(exact + Fraction(1, 2)), MIN), MAX)


def grid(function, reference, *axes) -> None:
    """Every combination, in one call."""
    combinations = np.array(np.meshgrid(*axes, indexing="ij")).reshape(len(axes), -1)
    result = function(*combinations.astype(np.int32))
    assert result.dtype == np.int32
    assert result.tolist() == [reference(*(int(v) for v in values)) for values in combinations.T]


def test_high_mul_at_the_edges():
    grid(golden.saturating_rounding_doubling_high_mul, high_mul, EDGES, EDGES)
    assert golden.saturating_rounding_doubling_high_mul(MIN, MIN) == MAX


@given(int32, int32)
def test_high_mul(a, b):
    assert golden.saturating_rounding_doubling_high_mul(a, b) == high_mul(a, b)


@given(st.integers(-(2**40), 2**40))
def test_high_mul_of_halves(near):
    """Products close to odd multiples of 2**30, where rounding is decided."""
    a = wrap(near >> 9)
    for b in (2**30 - 1, 2**30, 2**30 + 1, 2**29):
        assert golden.saturating_rounding_doubling_high_mul(a, b) == high_mul(a, b)


def test_divide_at_the_edges():
    grid(golden.rounding_divide_by_pot, divide, EDGES, range(32))


@given(int32, st.integers(0, 31))
def test_divide(x, exponent):
    assert golden.rounding_divide_by_pot(x, exponent) == divide(x, exponent)


@given(st.integers(-(2**20), 2**20), st.integers(1, 10))
def test_divide_rounds_halves_away_from_zero(whole, exponent):
    half = (2 * whole + 1) << (exponent - 1)
    assert golden.rounding_divide_by_pot(half, exponent) == (whole + 1 if whole >= 0 else whole)


def test_multiply_at_the_edges():
    grid(golden.multiply_by_quantized_multiplier, twice, EDGES, MULTIPLIERS, range(-31, 31))
    grid(golden.multiply_by_quantized_multiplier_once, once, EDGES, MULTIPLIERS, range(-31, 31))


@given(int32, multipliers, st.integers(-31, 30))
def test_multiply(x, multiplier, shift):
    assert golden.multiply_by_quantized_multiplier(x, multiplier, shift) == twice(x, multiplier, shift)
    assert golden.multiply_by_quantized_multiplier_once(x, multiplier, shift) == once(x, multiplier, shift)


def test_one_rounding_is_two_without_the_first_nudge():
    """What the gateware relies on: (P >> 31), then half up, for shifts to the right; P alone decides otherwise."""
    rng = np.random.default_rng(1)
    x = rng.integers(MIN, MAX, 10_000)
    multiplier = rng.integers(2**30, MAX, 10_000)
    for right in range(1, 32):
        high = (x * multiplier) >> 31
        expected = (high + (1 << (right - 1))) >> right
        np.testing.assert_array_equal(golden.multiply_by_quantized_multiplier_once(x, multiplier, -right), expected)
    np.testing.assert_array_equal(
        golden.multiply_by_quantized_multiplier_once(x, multiplier, 0),
        golden.multiply_by_quantized_multiplier(x, multiplier, 0),
    )


@given(st.floats(2**-33, 2**30, exclude_max=True))
def test_quantize_multiplier_is_the_nearest(real):
    multiplier, shift = golden.quantize_multiplier(real)
    if multiplier == 0:
        assert shift == 0
        assert real < 2**-32
        return
    assert 2**30 <= multiplier <= MAX
    exact = Fraction(real) * 2 ** (31 - shift)
    assert abs(multiplier - exact) <= (1 if multiplier == 2**30 else Fraction(1, 2))  # a carry halves the unit


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (0.5, (2**30, 0)),
        (1.0, (2**30, 1)),
        (0.75, (3 * 2**29, 0)),
        (1 - 2**-40, (2**30, 1)),  # rounds up to a power of two
        (0.5 + 2**-32, (2**30 + 1, 0)),  # a half rounds up
        (2.0**-32, (2**30, -31)),
        (2.0**-33, (0, 0)),  # too small for a shift
    ],
)
def test_quantize_multiplier_at_the_edges(real, expected):
    assert golden.quantize_multiplier(real) == expected


@given(st.lists(int32, min_size=1, max_size=5), multipliers, st.integers(-31, 7), st.integers(-128, 127))
def test_requantize_clips(acc, multiplier, shift, zero_point):
    for low, high in ((-128, 127), (zero_point, 127), (-20, 30)):
        two = [min(max(twice(x, multiplier, shift) + zero_point, low), high) for x in acc]
        one = [min(max(once(x, multiplier, shift) + zero_point, low), high) for x in acc]
        result = golden.requantize(acc, multiplier, shift, zero_point, low, high)
        assert result.dtype == np.int8
        assert result.tolist() == two
        assert golden.requantize_once(acc, multiplier, shift, zero_point, low, high).tolist() == one


def test_channels_have_parameters_of_their_own():
    acc = np.arange(-3000, 3000, dtype=np.int32).reshape(-1, 1, 3)
    multiplier, shift = np.array([2**30, 0x55555555, MAX], np.int32), np.array([-3, 1, -31], np.int32)
    result = golden.requantize(acc, multiplier, shift, 5)
    for channel in range(3):
        alone = golden.requantize(acc[..., channel], int(multiplier[channel]), int(shift[channel]), 5)
        np.testing.assert_array_equal(result[..., channel], alone)

"""From scales to integers. What is not here is compared with LiteRT in the tests of the golden models."""

import numpy as np
import pytest
from celosia import ModelError
from celosia.host.frontends.scaling import activation_range, exact_multiplier
from celosia.sim import golden
from hypothesis import given, settings
from hypothesis import strategies as st


def in_double_precision(acc: np.ndarray, real: float) -> np.ndarray:
    """round(acc * real), halves away from zero, as C has it."""
    product = acc.astype(np.float64) * real
    whole = np.trunc(product)
    return whole + np.sign(product) * (np.abs(product - whole) >= 0.5)


def compare_each_sum(real: float, low: int, high: int, reach: int) -> None:
    multiplier, shift = exact_multiplier(real, low, high, reach)
    assert 0 <= multiplier < 2**31
    acc = np.arange(-reach, reach + 1)
    result = golden.requantize_once(acc, multiplier, shift, 0, -128, 127)
    expected = np.clip(in_double_precision(acc, real), max(low, -128), min(high, 127))
    np.testing.assert_array_equal(np.clip(result, low, high), expected)


@settings(max_examples=150, deadline=None)
@given(st.floats(2.0**-34, 2.0**6), st.integers(-128, 0), st.integers(0, 127), st.integers(0, 2**17))
def test_each_sum_of_random_scales(real, low, high, reach):
    compare_each_sum(float(np.float32(real)), low, high, reach)


@pytest.mark.parametrize("exponent", range(-34, 7))
@pytest.mark.parametrize("factor", [1.0, 1.25, 1.5, 1.75, 1 + 2.0**-23, 2 - 2.0**-23])
def test_each_sum_of_scales_with_ties(exponent, factor):
    """Where the double-precision product is a half, it rounds away from zero; the integers round up."""
    compare_each_sum(factor * 2.0**exponent, -128, 127, 2**14)


@pytest.mark.parametrize("reach", [2**20, 2**21 + 1])
def test_sums_of_a_large_layer(reach):
    for real in np.float32([1e-3, 2.7e-4, 1e-4, 2.0**-13, 1 / 8191]):
        compare_each_sum(float(real), -128, 127, reach)


def test_zero_point_moves_the_levels():
    """Levels up to 255 from zero, as with a zero point of -128."""
    multiplier, shift = exact_multiplier(0.00123, 0, 255, 2**18)
    acc = np.arange(-(2**18), 2**18)
    result = golden.requantize_once(acc, multiplier, shift, -128)
    np.testing.assert_array_equal(result, np.clip(in_double_precision(acc, 0.00123), 0, 255) - 128)


def test_what_has_no_exact_multiplier():
    with pytest.raises(ModelError, match="cannot be brought to int8 exactly"):
        exact_multiplier(127.4999 / 2**30, -128, 127, 2**30)
    with pytest.raises(ModelError, match="must fit 32 bits"):
        exact_multiplier(1000.0, -128, 127, 2**24)
    with pytest.raises(ModelError, match="may differ by"):
        exact_multiplier(2.0**31, -128, 127, 1)


@pytest.mark.parametrize(
    ("activation", "scale", "zero_point", "expected"),
    [
        ("NONE", 0.1, 5, (-128, 127)),
        ("RELU", 0.1, -20, (-20, 127)),
        ("RELU6", 0.1, -20, (-20, 40)),
        ("RELU6", 0.01, 5, (5, 127)),
        ("RELU_N1_TO_1", 0.1, 5, (-5, 15)),
        ("RELU_N1_TO_1", 0.4, 0, (-3, 3)),  # 2.5 rounds away from zero, to both sides
        ("RELU_N1_TO_1", 0.001, 0, (-128, 127)),
    ],
)
def test_activation_range(activation, scale, zero_point, expected):
    assert activation_range(activation, float(np.float32(scale)), zero_point) == expected


def test_unknown_activation():
    with pytest.raises(ModelError, match="must be one of NONE, RELU, RELU6, RELU_N1_TO_1, not TANH"):
        activation_range("TANH", 0.1, 0)

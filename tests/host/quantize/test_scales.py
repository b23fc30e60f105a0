"""Scales and rounding: against every scale there is, and against rounding to the nearest."""

import numpy as np
import pytest
from celosia.host.quantize.network import Step
from celosia.host.quantize.observe import Values, rows_of
from celosia.host.quantize.points import Point
from celosia.host.quantize.rounding import compensated, factor_of
from celosia.host.quantize.scales import ODDS, channel_scales, odd_of, quantizer_of
from float_networks import FloatWriter, answers

POINT = Point(
    tensor="t",
    maker=Step(op="Conv", name="c", inputs=("x",), output="t", shape=(1, 4)),
    signed=False,
    clipped=np.inf,
    last=False,
)
INPUT = Point(tensor="x", maker=None, signed=True, clipped=np.inf, last=False)


def values(array: np.ndarray) -> Values:
    return Values(some=array.astype(np.float32), low=float(array.min()), high=float(array.max()))


def test_the_odd_number_of_a_scale() -> None:
    assert odd_of(np.array([1.0, 0.5, 3.0, 1.25, 7 / 1024, 2.0**-40], np.float32)).tolist() == [1, 1, 3, 5, 7, 1]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_channel_scales_are_near_the_best_of_all(bits: int) -> None:
    """Against the best of 2,000 scales: a tenth is lost by having odd numbers alone, several tenths by powers of two alone."""
    rng = np.random.default_rng(bits)
    weights = rng.normal(size=(20, 90)) * rng.uniform(0.01, 3, (20, 1))
    importance = rng.uniform(0.2, 2, (20, 90))
    most = (1 << (bits - 1)) - 1

    def lost(scale: np.ndarray) -> np.ndarray:
        whole = np.clip(np.round(weights / scale), -most, most)
        return (importance * np.square(weights - whole * scale)).sum(axis=1)

    found = channel_scales(weights, importance, most)
    assert set(odd_of(found).tolist()) <= set(ODDS)
    largest = np.abs(weights).max(axis=1, keepdims=True) / most
    best = np.min([lost(largest * factor) for factor in np.linspace(0.1, 1.2, 2000)], axis=0)
    only_twos = channel_scales(weights, importance, most, np.zeros((20, len(ODDS)), bool))
    assert set(odd_of(only_twos).tolist()) == {1}
    few, one = (float((lost(scales[:, np.newaxis].astype(np.float64)) / best).mean()) for scales in (found, only_twos))
    assert few < (1.1 if bits < 8 else 1.5)
    assert few < one


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_compensation_beats_rounding_to_the_nearest(bits: int) -> None:
    rng = np.random.default_rng(bits)
    inputs = rng.normal(size=(500, 12)) @ rng.normal(size=(12, 40)) + 0.1 * rng.normal(size=(500, 40))
    covariance = inputs.T @ inputs / len(inputs)
    weights = rng.normal(size=(16, 40))
    most = (1 << (bits - 1)) - 1
    scale = channel_scales(weights, np.ones_like(weights), most)
    nearest = np.clip(np.round(weights / scale[:, np.newaxis]), -most, most)
    found = compensated(weights, scale, factor_of(covariance), most)
    assert np.abs(found).max() <= most

    def lost(whole: np.ndarray) -> float:
        return float(np.square(inputs @ (weights - whole * scale[:, np.newaxis]).T).sum())

    assert lost(found) < 0.7 * lost(nearest)
    np.testing.assert_array_equal(compensated(weights, scale, None, most), nearest)


def test_inputs_that_never_vary_do_no_harm() -> None:
    weights = np.random.default_rng(0).normal(size=(3, 9))
    scale = channel_scales(weights, np.full_like(weights, 1e-12), 7)
    assert np.abs(compensated(weights, scale, factor_of(np.zeros((9, 9))), 7)).max() <= 7


@pytest.mark.parametrize(("method", "scale"), [("max", 2.0**-4), ("percentile", 2.0**-6), ("mse", 2.0**-5)])
def test_an_outlier_is_clipped_where_that_loses_less(method: str, scale: float) -> None:
    array = np.append(np.random.default_rng(0).uniform(0, 3.9, 49_999), 9.0)
    assert quantizer_of(POINT, values(array), 8, method).scale == scale


def test_an_input_that_leans_to_one_side_has_a_zero_point() -> None:
    found = quantizer_of(INPUT, values(np.random.default_rng(0).uniform(-0.42, 2.82, 9999)), 8, "mse")
    assert not found.signed
    assert (found.low - found.zero) * found.scale <= -0.41
    assert (found.high - found.zero) * found.scale >= 2.8
    even = quantizer_of(INPUT, values(np.random.default_rng(0).uniform(-1, 1, 9999)), 8, "mse")
    assert even.signed
    assert even.zero == 0


def test_rows_are_what_weights_are_multiplied_with() -> None:
    """Against onnxruntime's convolution: strides, padding on one side, dilation, groups."""
    net = FloatWriter((1, 4, 9, 8), 5)
    attributes = {"strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 2], "group": 2, "kernel_shape": [3, 3]}
    output = net.conv("x", 4, 6, bias=False, **attributes)
    x = net.rng.normal(size=(2, 4, 9, 8)).astype(np.float32)
    expected = answers(net.data(output), x)
    weights = np.asarray(__import__("onnx").numpy_helper.to_array(net.constants[0]))
    step = Step(op="Conv", name="c", inputs=("x",), output=output, shape=expected.shape, attributes=attributes, weights=weights)
    rows = rows_of(step, x)  # (groups, N * height * width, K)
    sums = rows @ weights.reshape(2, 3, -1).transpose(0, 2, 1)
    found = sums.transpose(1, 0, 2).reshape(2, *expected.shape[2:], 6).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

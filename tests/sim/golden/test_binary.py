"""Binary layers on packed bits against the golden models of numbers, whose sources are TensorFlow Lite's kernels."""

import numpy as np
import pytest
from celosia.sim import golden

SIGN = {"multiplier": 1 << 30, "shift": 2, "output_zero_point": 1, "low": -1, "high": 1}  # clip(2 * sum + 1, -1, 1)


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def _signs(rng, *shape):
    return rng.choice(np.array([-1, 1], np.int8), shape)


def test_bits_and_back(rng):
    x = _signs(rng, 3, 5, 24)
    assert golden.pack_bits(x).shape == (3, 5, 3)
    assert (golden.unpack_bits(golden.pack_bits(x)) == x).all()
    assert golden.pack_bits(np.array([1, -1, -1, -1, -1, -1, -1, 1], np.int8)).tolist() == [0x81]


def test_bits_come_by_eights():
    with pytest.raises(ValueError, match="bits are packed by eights along the last axis, which has 12 elements"):
        golden.pack_bits(np.ones((2, 12), np.int8))


@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 0), (0, 3))])
@pytest.mark.parametrize(("stride", "dilation"), [((1, 1), (1, 1)), ((2, 1), (1, 1)), ((1, 1), (1, 2))])
def test_convolution(rng, padding, stride, dilation):
    x, weights = _signs(rng, 2, 7, 6, 16), _signs(rng, 24, 3, 2, 16)
    bias = rng.integers(-30, 30, 24).astype(np.int32)
    windows = {"stride": stride, "dilation": dilation, "padding": padding}
    expected = golden.conv2d(x, weights, bias, input_zero_point=0, **SIGN, **windows)
    found = golden.binary_conv2d(golden.pack_bits(x), golden.pack_bits(weights), -bias, **windows)
    assert (golden.unpack_bits(found) == expected).all()
    assert len(np.unique(expected)) == 2


@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 1), (0, 1))])
def test_pooling(rng, padding):
    x = np.where(rng.random((2, 6, 5, 16)) < 0.3, 1, -1).astype(np.int8)
    expected = golden.max_pool2d(x, kernel=(2, 2), stride=(2, 1), padding=padding)
    found = golden.binary_max_pool2d(golden.pack_bits(x), kernel=(2, 2), stride=(2, 1), padding=padding)
    assert (golden.unpack_bits(found) == expected).all()
    assert len(np.unique(expected)) == 2

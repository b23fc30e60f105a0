"""The backward passes of the demo's layers, against differences of their forward passes."""

import numpy as np
import pytest
from celosia.host.demo.layers import Adam, AveragePool, Conv, Depthwise, Layer

SHAPE = (2, 6, 4, 3)


def layers(rng):
    return {
        "conv 3x3": Conv(rng, 3, 3, 5),
        "conv 3x3 stride 2": Conv(rng, 3, 3, 5, stride=2),
        "conv 1x1 linear": Conv(rng, 1, 3, 5, relu=False),
        "depthwise": Depthwise(rng, 3),
        "average pool": AveragePool(),
    }


@pytest.mark.parametrize("name", layers(np.random.default_rng(0)))
def test_gradients_are_slopes(name):
    rng = np.random.default_rng(1)
    layer = layers(rng)[name]
    if isinstance(layer, Layer):  # differences of float32 are too coarse
        layer.parameters = [parameter.astype(np.float64) for parameter in layer.parameters]
        layer.gradients = [np.zeros_like(parameter) for parameter in layer.parameters]
    x = rng.normal(size=SHAPE)
    weight_of = rng.normal(size=layer.forward(x).shape)

    def loss():
        return (layer.forward(x) * weight_of).sum()

    loss()
    dx = layer.backward(weight_of)
    variables = [(x, dx)]
    if isinstance(layer, Layer):
        variables += zip(layer.parameters, layer.gradients, strict=True)
    for values, gradient in variables:
        for _ in range(12):
            index = tuple(rng.integers(0, values.shape))
            kept = values[index]
            values[index] = kept + 1e-6
            above = loss()
            values[index] = kept - 1e-6
            below = loss()
            values[index] = kept
            assert gradient[index] == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-6)


def test_adam_finds_a_minimum():
    rng = np.random.default_rng(2)
    layer = Conv(rng, 1, 3, 2, relu=False)
    x = rng.normal(size=SHAPE).astype(np.float32)
    wanted = Conv(rng, 1, 3, 2, relu=False).forward(x) + 0.5
    adam = Adam([layer])
    for _ in range(500):
        layer.backward((layer.forward(x) - wanted) / len(x))
        adam.step(0.02)
    assert np.abs(layer.forward(x) - wanted).max() < 0.01

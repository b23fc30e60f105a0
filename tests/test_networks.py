"""The helper modules of the tests: LiteRT runs what they write, and it is worth running."""

import networks
import numpy as np
import pytest


@pytest.mark.parametrize("size", networks.SIZES)
def test_reference_kernels_run_random_networks(size):
    varied = 0
    seeds = range({"tiny": 60, "small": 60, "large": 6}[size])
    for seed in seeds:
        model = networks.random_network(seed, size=size)
        outputs = networks.reference(model, networks.random_input(model, seed, samples=2))
        assert outputs.dtype == np.int8
        varied += outputs.size < 4 or len(np.unique(outputs)) > 2
    assert varied > 0.8 * len(seeds), "too many networks answer the same, whatever goes in"


def test_equal_seeds_give_equal_files():
    assert networks.random_network(5) == networks.random_network(5)
    assert networks.random_network(5) != networks.random_network(6)


@pytest.mark.parametrize(
    "model",
    [
        networks.conv(1, (1, 9, 8, 5), 7, (5, 3), stride=(2, 1), dilation=(1, 2), activation="RELU6"),
        networks.conv(2, (1, 9, 8, 6), 8, groups=2, padding="VALID"),
        networks.conv(3, (1, 30, 1, 3), 9, (9, 1), stride=(4, 1), per_channel=False),
        networks.conv(4, (1, 30, 30, 3), 4, (11, 11), stride=(4, 4), magnitude=3),
        networks.depthwise(5, (1, 9, 8, 5), (3, 5), depth_multiplier=2, bias=False),
        networks.fully_connected(6, (1, 3, 2, 7), 10),
        networks.fully_connected(7, (1, 42), 10, bias=False, per_channel=True),
        networks.add(8, (1, 5, 4, 3), activation="RELU"),
        networks.add(9, (1, 5, 4, 3), broadcast=True),
        networks.pool(10, (1, 5, 4, 3), "average", (3, 3), stride=(2, 2), padding="SAME"),
        networks.pool(11, (1, 5, 4, 3), "max", None, activation="RELU"),
    ],
)
def test_single_layers_use_their_range(model):
    x = networks.random_input(model, 1, samples=4)
    outputs = networks.reference(model, x)
    assert outputs.shape[0] == 4
    saturated = np.isin(outputs, (-128, 127)).mean()
    assert saturated < 0.75
    assert len(np.unique(outputs)) > 5
    np.testing.assert_array_equal(networks.reference(model, x[2:3]), outputs[2:3])


def test_reference_tensors_hold_the_output():
    model = networks.random_network(5)
    x = networks.random_input(model, 1)
    tensors = networks.reference_tensors(model, x)
    assert any(np.array_equal(values, networks.reference(model, x)) for values in tensors.values())
    assert tuple(tensors["input_1"].shape) == networks.input_shape(model)

"""The fabric as a whole, compiled: each engine by a layer of its own, what streams, what waits, and what comes back."""

import networks
import pytest
from celosia.hw.config import XNOR_TILES
from celosia.hw.fabric import Fabric
from celosia.hw.presets import preset
from fabrics import SMALL, STARVED, check_network, check_stream

LAYERS = {
    "convolution": networks.conv(1, (1, 6, 5, 3), 9, (3, 3)),
    "convolution of pairs": networks.conv(8, (1, 6, 8, 1), 2, (3, 3), stride=(1, 2)),
    "depthwise": networks.depthwise(2, (1, 6, 5, 6), (3, 3)),
    "depthwise beside the unit": networks.depthwise(3, (1, 7, 6, 5), (5, 5)),
    "fully connected": networks.fully_connected(4, (1, 120), 10),
    "addition": networks.add(5, (1, 5, 3, 7)),
    "maximum": networks.pool(6, (1, 7, 5, 6), "max", (3, 3), stride=(2, 2), padding="SAME"),
    "average": networks.pool(7, (1, 6, 6, 5), "average", (2, 2)),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_layers(layer):
    check_network(LAYERS[layer], "mini")


@pytest.mark.parametrize(
    "layer",
    [networks.conv(8, (1, 3, 3, 8), 9, (3, 3), padding="VALID"), LAYERS["fully connected"]],
    ids=["convolution", "fully connected"],
)
def test_weights_that_stream(layer):
    """Each weight serves one pixel, so the array waits for them."""
    counters = check_network(layer, STARVED)
    assert sum(record.weights for record in counters.layers.values()) > 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_networks(seed):
    check_network(networks.random_network(seed, size="tiny"), "mini")


def test_the_next_input_comes_while_layers_run():
    """Neither before they are done that need its place, nor before the input that is there has been read."""
    check_stream(networks.filling((1, 40, 20, 4)), SMALL)


def test_what_is_loaded_again_waits_for_the_end():
    """Programs, channel parameters and weights that have no room to stay."""
    check_stream(networks.filling((1, 10, 5, 4)), STARVED)


def test_words_of_the_ring_wait_for_the_xnor_engine():
    """It reads a step's words up to so many cycles later than the array would, and only then may others take their place."""
    array, both = (Fabric.step_latency_of(preset(name)) for name in ("ecp5-85", "ecp5-85-xnor"))
    assert both == array + XNOR_TILES + 1

"""The compact fabric as a whole, compiled: networks bit for bit, counters that add up, words that wait."""

import networks
import pytest
from fabrics import check_network as check

# Whole, and with so little that weights stream and programs are cut.
FABRICS = ("up5k", "up5k,weight_depth=24,tile_depth=12,program_words=144,record_depth=5")


@pytest.mark.parametrize("fabric", FABRICS, ids=["whole", "starved"])
def test_layers(fabric):
    check(networks.conv(1, (1, 6, 5, 3), 9, (3, 3)), fabric)
    check(networks.depthwise(2, (1, 6, 5, 6), (3, 3), stride=(2, 2)), fabric)
    check(networks.fully_connected(3, (1, 60), 10), fabric)
    check(networks.pool(4, (1, 6, 6, 5), "average", (2, 2)), fabric)


@pytest.mark.parametrize("seed", range(4))
def test_networks(seed):
    check(networks.random_network(seed, size="tiny"), FABRICS[seed % 2])

"""Networks of few bits on a simulated fabric with an XNOR engine: the golden models' numbers, the cost model's cycles."""

from functools import cache

import numpy as np
import pytest
from binary_networks import samples
from celosia.host.cost.model import estimate
from celosia.host.placement import place
from celosia.host.schedule import schedule
from celosia.hw.isa import Operation
from fabrics import BINARY, check_cycles, fabric_of, run_samples
from few_bit_networks import PAIRS, Few, random_layer

COUNT = 2  # samples


def few(seed, shape, channels, bits=2):
    """Begins a network: a map of few bits."""
    return Few(seed, shape).first(channels, (1, 1), bits=bits)


NETWORKS = {
    "two by two": Few(1, (7, 9, 3)).first(24, bits=2).conv(32, weights=2, bits=2, padding=1).flat().last(10),
    "two by three": Few(2, (5, 6, 4)).first(40, bits=2).conv(24, weights=3, bits=2, padding=1).flat().last(10),
    "two by five": Few(3, (7, 9, 4)).first(64, bits=2).conv(8, weights=5, bits=2, stride=2).flat().last(10),
    "four by two": Few(4, (6, 5, 4)).first(64, bits=4).conv(24, weights=2, bits=4, padding=1).flat().last(10),
    "four by four": Few(5, (6, 5, 4)).first(64, bits=4).conv(24, weights=4, bits=2).flat().last(10),
    "pooled to planes": (
        few(6, (8, 6, 4), 64).conv(40, weights=2, bits=4, padding=1).pool().conv(16, weights=3, bits=4).last_of(10)
    ),
    "fully connected": few(7, (3, 3, 4), 72).flat().fc(100, weights=2, bits=4).fc(16, weights=4, bits=4).last(10),
    "rows apart, padding on one side": (
        few(8, (9, 8, 4), 64).conv(40, (3, 2), weights=2, bits=8, padding=((2, 1), (0, 1)), dilation=(2, 1)).graph()
    ),
    "stride 2, two pixels a block": few(9, (9, 10, 4), 64).conv(24, weights=4, bits=2, stride=2, padding=2).graph(),
    "one column": few(10, (9, 1, 4), 128).conv(24, (3, 1), weights=4, bits=8).graph(),
    "weights that stream": few(11, (2, 4, 4), 512).conv(64, weights=3, bits=8, padding=1).graph(),
    "weights that stream, used once": few(12, (2, 2, 4), 512).flat().fc(96, weights=3, bits=8).graph(),
    "wide sums": few(13, (4, 4, 4), 64, bits=4).conv(16, weights=4, bits=8, bias=np.eye(16)[0] * (3 << 20)).graph(),
}


LAYERS, MORE_LAYERS = 48, 1000


@cache
def run(name):
    """Outputs of the fabric and of the golden models, and what was counted."""
    return run_graph(NETWORKS[name])


def run_graph(graph):
    """The same of a graph."""
    return run_samples(graph, BINARY, samples(graph, COUNT))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    """Every output; the layers of few bits run on the XNOR engine."""
    graph = NETWORKS[name]
    layers = [placement.layer for placement in place(graph, fabric_of(BINARY))]
    assert any(layer is not None and layer.operation is Operation.SERIAL for layer in layers)
    found, expected, _ = run(name)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(expected)) > 1


@pytest.mark.parametrize("name", NETWORKS)
def test_cycles(name):
    """What the cost model says of every descriptor."""
    _, _, counted = run(name)
    check_cycles(NETWORKS[name], BINARY, counted, COUNT)


@pytest.mark.parametrize("pair", range(len(PAIRS)))
def test_random_layers(pair):
    """Two of each pair of widths."""
    check_layers(pair, LAYERS)


@pytest.mark.slow
@pytest.mark.parametrize("pair", range(len(PAIRS)))
def test_many_random_layers(pair):
    check_layers(pair, MORE_LAYERS)


def check_layers(pair, count):
    """Of so many layers in all, those of one pair: every output, every cycle."""
    for seed in range(pair, count, len(PAIRS)):
        graph = random_layer(seed)
        found, expected, counted = run_graph(graph)
        np.testing.assert_array_equal(found, expected, err_msg=f"random_layer({seed})")
        assert counted.cycles == COUNT * estimate(schedule(graph, fabric_of(BINARY))).cycles, f"random_layer({seed})"

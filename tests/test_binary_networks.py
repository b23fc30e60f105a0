"""Binary networks on a simulated fabric with an XNOR engine: the golden models' bits, the cost model's cycles."""

from functools import cache

import numpy as np
import pytest
from binary_networks import Binary, samples
from celosia.host.placement import place
from celosia.host.schedule import schedule
from fabrics import BINARY, check_cycles, fabric_of, run_samples

COUNT = 2  # samples

BITS = {"bits": 1}
NETWORKS = {
    "mixed": (
        Binary(1, (7, 9, 3)).first(16).conv(24, padding=1).pool().conv(16, padding=1).flat().fc(40).last(10),
        ["mac", "xnor", "vector", "xnor", "none", "xnor", "mac"],
    ),
    "sent and fetched as bits": (Binary(2, (64,), **BITS).fc(16).graph(), ["xnor"]),
    "a last tile of a byte": (Binary(3, (40,), **BITS).fc(40).graph(), ["xnor"]),
    "as many steps as writes": (Binary(4, (4, 5, 64), **BITS).conv(64, (1, 1)).graph(), ["xnor"]),
    "a word's part a kernel row": (Binary(5, (5, 7, 8), **BITS).conv(16).graph(), ["xnor"]),
    "padding, stride 2": (Binary(6, (9, 8, 24), **BITS).conv(40, padding=2, stride=2).graph(), ["xnor"]),
    "padding on one side": (Binary(7, (5, 6, 64), **BITS).conv(32, padding=((0, 1), (2, 0))).graph(), ["xnor"]),
    "rows apart": (Binary(8, (9, 8, 24), **BITS).conv(40, (3, 1), padding=((2, 2), (0, 0)), dilation=(2, 1)).graph(), ["xnor"]),
    "columns apart": (Binary(9, (9, 8, 24), **BITS).conv(40, (1, 3), dilation=(1, 2)).graph(), ["mac"]),
    "a column of pixels": (Binary(10, (6, 1, 16), **BITS).conv(16, (3, 1)).graph(), ["xnor"]),
    "two groups of tiles": (Binary(11, (3, 4, 64), **BITS).conv(200, (1, 1)).graph(), ["xnor"]),
    "numbers for the array": (Binary(12, (64,), **BITS).fc(16).last(10), ["xnor", "mac"]),
    "pooling of bits": (Binary(13, (7, 6, 40), **BITS).pool(3, 2, ((1, 1), (1, 0))).graph(), ["vector"]),
    "first alone": (Binary(14, (6, 5, 4)).first(24, padding=1).graph(), ["mac"]),
    "weights that stream, used once": (Binary(16, (2048,), **BITS).fc(400).graph(), ["xnor"]),
    "weights that stream": (Binary(17, (2, 4, 512), **BITS).conv(1200, (1, 1)).graph(), ["xnor"]),
    "no whole bytes": (Binary(15, (5, 5, 12), **BITS).conv(12).graph(), ["mac"]),
}


@cache
def run(name, fabric):
    """Outputs of the fabric and of the golden models, and what was counted of a sample."""
    graph, _ = NETWORKS[name]
    return run_samples(graph, fabric, samples(graph, COUNT))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    """Every output, on the engines that the placement names."""
    graph, engines = NETWORKS[name]
    assert [placement.engine for placement in place(graph, fabric_of(BINARY))] == engines
    found, expected, _ = run(name, BINARY)
    assert (found == expected).all()
    assert len(np.unique(expected)) > 1


@pytest.mark.parametrize("name", NETWORKS)
def test_cycles(name):
    """What the cost model says of every descriptor."""
    _, _, counted = run(name, BINARY)
    check_cycles(NETWORKS[name][0], BINARY, counted, COUNT)


def test_a_fabric_without_the_engine_takes_the_array():
    """The same networks, place by place: nothing is packed."""
    config = fabric_of("mini")
    graph, engines = NETWORKS["mixed"]
    found = [placement.engine for placement in place(graph, config)]
    assert found == ["mac" if engine == "xnor" else engine for engine in engines]
    assert not any(tensor.packed for tensor in schedule(graph, config).graph.tensors.values())

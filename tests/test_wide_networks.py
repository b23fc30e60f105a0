"""Networks of 10 and 16 bits on simulated fabrics that take them: the golden models' numbers, the cost model's cycles."""

from functools import cache

import numpy as np
import pytest
from celosia.host.frontends.tflite import parse
from celosia.host.passes import simplify
from celosia.host.placement import place
from fabrics import STARVED, WIDE, check_cycles, check_network, fabric_of, run_samples
from network_builder import Network
from networks import random_network
from wide_networks import WIDTHS, Wide, random_layer, samples

NARROW = f"{STARVED},widest_bits=16"  # weights stream, sums wait by eights
BINARY = "mini,rows=8,cols=8,requant_lanes=8,xnor_pixels=4,widest_bits=16"
COUNT = 4  # samples

NETWORKS = {
    "sixteen by eight": Wide(1, (7, 6, 5)).conv(9, weights=8, bits=16, padding=1).conv(7, weights=8, bits=16).graph(),
    "sixteen by sixteen": Wide(2, (7, 6, 5)).conv(9, weights=16, bits=16, padding=1).conv(7, weights=16, bits=16).graph(),
    "ten by ten": Wide(3, (5, 9, 6), bits=10).conv(6, weights=10, bits=10, stride=2).flat().fc(11, weights=10, bits=10).graph(),
    "bytes between": Wide(4, (6, 6, 4)).conv(12, weights=8, bits=8).conv(5, weights=16, bits=16, padding=1).graph(),
    "bytes, and weights of sixteen": Wide(5, (6, 6, 7), bits=8).conv(10, weights=16, bits=8, padding=1).graph(),
    "bytes in and out": Wide(6, (5, 5, 3), bits=8).conv(8, weights=4, bits=16).flat().fc(10, weights=8, bits=8).graph(),
    "more results than partial sums": Wide(7, (12, 11, 3)).conv(6, (2, 2), weights=8, bits=16).graph(),
    "longer rows than partial sums": Wide(8, (2, 90, 3)).conv(5, (2, 3), weights=16, bits=16).graph(),
    "turned over by the host": Wide(10, (12, 7, 1)).conv(9, (10, 4), weights=8, bits=16, padding=1).graph(),
    "both kinds of weights": Wide(9, (4, 4, 9)).conv(24, weights=16, bits=16).flat().fc(9, weights=8, bits=16).graph(),
}
LAYERS, MORE_LAYERS = 1, 40  # of each pair of widths


@cache
def run(name, fabric):
    return run_samples(NETWORKS[name], fabric, samples(NETWORKS[name], COUNT))


@pytest.mark.parametrize(
    "fabric", [WIDE, NARROW, pytest.param(BINARY, marks=pytest.mark.slow)], ids=["mini", "starved", "binary"]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, fabric):
    """Every output, on the array, and every descriptor's cycles."""
    graph, config = NETWORKS[name], fabric_of(fabric)
    assert {placement.engine for placement in place(graph, config)} <= {"mac", "none"}
    found, expected, counted = run(name, fabric)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(expected)) > 20
    check_cycles(graph, fabric, counted, COUNT)


def check_layers(pair, count):
    for seed in range(pair, pair + len(WIDTHS) * count, len(WIDTHS)):
        graph = random_layer(seed)
        fabric = (WIDE, NARROW)[(seed + seed // len(WIDTHS)) % 2]
        engines = [placement.engine for placement in place(graph, fabric_of(fabric))]
        assert engines[-1] == "mac", f"seed {seed}"
        found, expected, _ = run_samples(graph, fabric, samples(graph, COUNT, seed))
        np.testing.assert_array_equal(found, expected, err_msg=f"seed {seed}")


@pytest.mark.parametrize("pair", range(len(WIDTHS)))
def test_random_layers(pair):
    check_layers(pair, LAYERS)


@pytest.mark.slow
@pytest.mark.parametrize("pair", range(len(WIDTHS)))
def test_many_random_layers(pair):
    check_layers(pair, MORE_LAYERS)


def network(seed):
    """A TensorFlow Lite model of int16 activations."""
    rng = np.random.default_rng(seed)
    made = Network(rng, activation_type="int16", bias_type="int64")
    x = made.conv(made.input((1, 9, 8, 3)), 8, stride=(2, 1), activation="RELU")
    x = made.depthwise(x, activation="RELU6")
    x = made.pool(made.conv(x, 12, (1, 1)), "max", (2, 2))
    return made.finish(made.fully_connected(made.pool(x, "average"), 5))


@pytest.mark.parametrize("seed", range(3))
def test_tensorflow_lites_int16(seed):
    """Convolutions run on the array, what the array has not on the CPU; all of it is what the golden models say."""
    graph = simplify(parse(network(seed)))
    (name,) = graph.inputs
    x = np.random.default_rng(seed).integers(-(2**15), 2**15, (COUNT, *graph.tensors[name].shape[1:])).astype(np.int16)
    engines = [placement.engine for placement in place(graph, fabric_of(WIDE))]
    assert engines.count("mac") == 3
    found, expected, _ = run_samples(graph, WIDE, x)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seed", range(4))
def test_networks_of_bytes(seed):
    """What other fabrics run, this one does alike."""
    check_network(random_network(seed, size="tiny", branches=True), WIDE, seed=seed)


@pytest.mark.parametrize(
    ("graph", "fabric", "reason", "advice"),
    [
        (
            Wide(1, (4, 4, 4)).conv(4, weights=8, bits=16).graph(),
            "mini",
            "it has numbers of 16 bits, and mini takes bytes",
            "take a fabric with widest_bits=16: ecp5-85-16",
        ),
        (
            Wide(2, (4, 4, 4)).pool().graph(),
            WIDE,
            "the fabric's unit for max_pool_2d takes bytes, not 16 bits",
            "it costs little on the CPU",
        ),
        (
            simplify(parse(network(0))),
            WIDE,
            "TensorFlow Lite multiplies its sums in double precision, which a multiplier of 31 bits does not equal",
            "write it as a 1x1 convolution",
        ),
        (
            Wide(3, (4, 4, 60)).conv(4, weights=16, bits=16).graph(),
            WIDE,
            "the accumulators of mini,widest_bits=16 hold 274,877,906,943",
            "split its reduction, or give it smaller weights",
        ),
    ],
    ids=["bytes", "pooling", "double precision", "sums"],
)
def test_what_goes_to_the_cpu_and_why(graph, fabric, reason, advice):
    placement = place(graph, fabric_of(fabric))[-1]
    assert placement.engine == "cpu"
    assert reason in placement.reason
    assert placement.advice == advice

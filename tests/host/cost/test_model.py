"""Predicted against simulated: every counter of every descriptor, every word of every transfer, equal."""

from dataclasses import replace
from functools import cache

import networks
import numpy as np
import pytest
import zoo
from celosia.host.cost.model import estimate
from celosia.host.driver import FabricDevice
from celosia.host.emit import emit
from celosia.host.frontends.tflite import parse
from celosia.host.passes import simplify
from celosia.host.schedule import schedule
from celosia.hw.isa import Command
from celosia.hw.presets import preset
from celosia.sim.engine import Simulator
from fabrics import STARVED, fabric_of

SHARED_MODELS = ["ad01_int8", "ic01_resnet8_int8", "kws01_dscnn_int8", "vww01_mobilenet_int8"]


@cache
def graph_of(model):
    return simplify(parse(model))


class Counting:
    """A transport that remembers what it carried, in front of a simulator."""

    def __init__(self, config):
        self._simulator = Simulator(config)
        self.sent = []
        self.received = 0

    def write(self, words):
        self.sent.append(words)
        self._simulator.write(words)

    def read(self, count):
        self.received += count
        return self._simulator.read(count)

    def close(self):
        self._simulator.close()


def run(model, fabric):
    """A plan, its estimate, what a device counted for one inference and for the next, and the transport."""
    config = fabric_of(fabric)
    graph = graph_of(model)
    plan = schedule(graph, config)
    transport = Counting(config)
    device = FabricDevice(graph, config, transport)
    (name,) = graph.inputs
    counts = []
    for _ in range(2):
        before = device.counters()
        device.infer({name: np.zeros(graph.tensors[name].shape, np.int8)})
        counts.append(device.counters() - before)
    device.close()
    return plan, estimate(plan), counts, transport


def check(model, fabric):
    """No tolerance: the hardware is deterministic, and the data do not matter."""
    plan, predicted, counts, transport = run(model, fabric)
    names = [name for run in predicted.runs for name in run.draft.records]
    for counted in counts:
        for name, ours, theirs in zip(names, predicted.counters.descriptors, counted.descriptors, strict=True):
            assert ours == theirs, name or "result"
        assert predicted.counters == counted
    setup = len(emit(plan).setup)
    assert predicted.setup_words == setup == len(transport.sent[0])
    assert predicted.words_in * 2 + setup == sum(map(len, transport.sent))
    assert predicted.words_out * 2 == transport.received
    return plan, predicted


@pytest.mark.parametrize("fabric", ["ecp5-85", pytest.param("ecp5-85-w8k", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SHARED_MODELS)
def test_mlperf_tiny(shared, name, fabric):
    """Weights that stay, and a buffer of 8 KiB through whose ring nearly all of them stream."""
    check((shared / "models" / f"{name}.tflite").read_bytes(), fabric)


@pytest.mark.parametrize("fabric", ["mini", STARVED], ids=["mini", "starved"])
@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed, fabric):
    check(networks.random_network(seed, size="small" if seed % 2 else "tiny"), fabric)


@pytest.mark.parametrize("name", zoo.MODELS)
def test_familiar_networks(name):
    check(zoo.MODELS[name](), "mini,activation_bytes=65536")


@pytest.mark.parametrize(("height", "width", "stride"), [(7, 9, 1), (9, 9, 2), (10, 11, 3), (12, 12, 4)])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_depthwise_windows(height, width, stride, padding):
    """The unit gives its last result somewhere between the map's last row and its own last push."""
    _, predicted = check(networks.depthwise(1, (1, height, width, 9), stride=(stride, stride), padding=padding), "mini")
    assert predicted.memory[4].used == 3, "it must be the unit's"


def test_memory_is_what_the_setup_loads():
    """Counted from the very words that are sent."""
    fabric = "mini,activation_bytes=65536,weight_depth=8192,tile_depth=2048,depthwise_tiles=512"
    plan = schedule(graph_of(zoo.MODELS["mobilenet_v2"]()), preset(fabric))
    config = plan.config
    loaded = dict.fromkeys(Command, 0)
    words = emit(plan).setup
    while len(words):
        count, command = int(words[0]) & 0xFFFFFF, Command(int(words[0]) >> 24)
        loaded[command] += count
        words = words[2 + count :]
    memory = {item.name: item for item in estimate(plan).memory}
    assert memory["programs"].used == loaded[Command.LOAD_PROGRAM]
    assert memory["weights"].used == loaded[Command.LOAD_WEIGHTS] * 4 // config.macs_per_cycle > 0
    assert memory["channel parameters"].used == loaded[Command.LOAD_CHANNELS] // (3 * config.cols)
    assert memory["depthwise weights"].used == loaded[Command.LOAD_DEPTHWISE] * 4 // (9 * config.cols) > 0
    assert memory["activations"].used == plan.segments[0].memory.used
    assert all(item.used <= item.available for item in memory.values())


def test_memory_of_a_fabric_that_nothing_fits():
    """What a ring takes counts, what programs share counts once."""
    for seed in range(30):
        plan = schedule(graph_of(networks.random_network(seed, size="small")), preset(STARVED))
        for item in estimate(plan).memory:
            assert 0 <= item.used <= item.available, (seed, item)


def test_a_slower_requantizer_costs_what_the_model_says():
    """The estimate follows the configuration: half the lanes, twice the beats."""
    model = networks.conv(1, (1, 8, 8, 4), 8, (1, 1))
    fast, slow = (estimate(schedule(graph_of(model), preset(f"mini,requant_lanes={lanes}"))) for lanes in (4, 2))
    (layer,) = fast.layers.keys() - {""}
    assert fast.layers[layer].output < slow.layers[layer].output
    assert replace(fast.layers[layer], output=0, activations=0) == replace(slow.layers[layer], output=0, activations=0)

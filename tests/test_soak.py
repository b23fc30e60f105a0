"""One fabric, inference after inference, with words that wait at random on both sides: nothing drifts.

Outputs stay exact. What does not depend on the stalls stays equal: the words of every answer but its counts, and the cycles in
which the engines worked. Without stalls the counts are equal to the last cycle, before and after.
"""

import os

import networks
import numpy as np
import pytest
from amaranth.lib import data
from celosia.host import reference
from celosia.host.driver import FabricDevice
from celosia.host.frontends.tflite import parse
from celosia.host.passes import simplify
from celosia.hw.isa import Record
from celosia.sim.engine import Simulator
from fabrics import fabric_of

COUNTS = {"quick": 300, "all": 100_000}
SEED = int(os.environ.get("CELOSIA_SEED", "0"))
_KINDS = 8  # different inputs


class Stalling:
    """A transport that now and then lets the fabric wait: words come in pieces, answers are fetched in pieces."""

    def __init__(self, simulator, rng, share):
        self._simulator, self._rng, self.share = simulator, rng, share

    def write(self, words):
        self._simulator.write(words)
        if len(words) and self._rng.random() < self.share:
            self._simulator.flush()

    def read(self, count):
        """Between two pieces the fabric's output has nobody to take it for some cycles: a word to the loader takes those."""
        if self._rng.random() >= self.share:
            return self._simulator.read(count)
        parts = []
        while count:
            piece = min(count, int(self._rng.integers(1, 12)))
            parts.append(self._simulator.read(piece))
            count -= piece
            if self._rng.random() < 0.5:
                payload = int(self._rng.integers(0, 30))
                self._simulator.write(np.full(2 + payload, payload, np.uint32))  # a NOP and what it does not look at
                self._simulator.flush()
        return np.concatenate(parts)

    def close(self):
        self._simulator.close()


def _network():
    """Every engine of the fabric, and few cycles."""
    builder = networks.Network(np.random.default_rng(1))
    x = builder.input((1, 4, 4, 4))
    y = builder.conv(builder.depthwise(x, (3, 3)), 4, (1, 1))
    x = builder.pool(builder.add(x, y), "max", (2, 2), stride=(2, 2))
    return builder.finish(builder.fully_connected(builder.flatten(x), 40))


def soak(count):
    model = _network()
    graph = simplify(parse(model))
    (name,), (output,) = graph.inputs, graph.outputs
    samples = networks.random_input(model, SEED, samples=_KINDS)
    expected = reference.run(graph, {name: samples})[output]
    config = fabric_of("mini")
    rng = np.random.default_rng(SEED)
    stalling = Stalling(Simulator(config), rng, 0.0)
    device = FabricDevice(graph, config, stalling)
    assert {item.engine for item in device.placements} >= {"mac", "depthwise", "vector"}

    def infer(number):
        before = device.counters()
        kind = number % _KINDS
        got = device.infer({name: samples[kind : kind + 1]})[output]
        assert np.array_equal(got[0], expected[kind]), f"inference {number}, seed {SEED}"
        spent = device.counters() - before
        for layer in spent.layers.values():
            assert layer.cycles == layer.busy + layer.weights + layer.activations + layer.output, f"inference {number}"
        assert sum(layer.cycles for layer in spent.layers.values()) <= spent.cycles
        assert sum(layer.cycles for layer in spent.descriptors) >= spent.cycles - len(spent.descriptors) - 200
        return spent

    def calm():
        stalling.share = 0.0
        infer(0)  # what the last stalls have left behind
        return [(item.cycles, item.layers) for item in map(infer, range(_KINDS))]

    first = calm()
    assert all(item == first[0] for item in first), "cycles depend on the data"
    busy = {key: layer.busy for key, layer in first[0][1].items()}
    total = device.counters()
    inferences = total.samples
    longest = 0
    for number in range(count):
        stalling.share = float(rng.choice([0.0, 0.3, 1.0]))
        spent = infer(number)
        inferences += 1
        longest = max(longest, spent.cycles)
        assert {key: layer.busy for key, layer in spent.layers.items()} == busy, f"inference {number}"
    assert longest > first[0][0], "no stall ever cost a cycle"
    assert calm() == first, "the fabric has drifted"
    total = device.counters()
    assert total.samples == inferences + _KINDS + 1
    assert {key: layer.busy for key, layer in total.layers.items()} == {
        key: total.samples * value for key, value in busy.items()
    }
    assert np.array_equal(total.bytes_in % total.samples, 0)
    device.close()
    return total


def test_some_hundred_inferences():
    soak(COUNTS["quick"])


@pytest.mark.slow
def test_a_hundred_thousand_inferences():
    total = soak(COUNTS["all"])
    print(f"{total.samples} inferences, {total.cycles} cycles, seed {SEED}")


def test_records_have_the_fields_that_add_up():
    assert [name for name, _ in data.Layout.cast(Record)] == ["cycles", "busy", "weights", "activations", "output"]

"""One fabric, inference after inference, with words that wait at random on both sides: nothing drifts.

Outputs stay exact. What does not depend on the stalls stays equal: the words of every answer but its counts, and the cycles in
which the engines worked. Without stalls the counts are equal to the last cycle, before and after.
"""

import ctypes
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
from fabrics import STARVED, fabric_of

COUNTS = {"quick": 300, "all": 100_000}
FABRICS = [  # weights stay, or stream through the ring with every inference
    pytest.param("mini", id="mini"),
    pytest.param(STARVED, id="starved"),
]
SEED = int(os.environ.get("CELOSIA_SEED", "0"))
_KINDS = 8  # different inputs
_PATIENCE = 100_000  # cycles


class Stalling(Simulator):
    """The compiled simulator with both streams pausing at random: for a few cycles at a time nobody takes what comes, or there
    is no next word. What is offered stays until it is taken.

    share           of pauses, below 1: 0 for none at all
    """

    share = 0.0

    def __init__(self, config, rng):
        super().__init__(config)
        self._rng = rng
        self._offered = 0  # words that must be offered again

    def _run(self, out, more):
        if not self.share:
            self._offered = 0  # all of them are offered
            super()._run(out, more)
            return
        words = np.concatenate([np.zeros(0, np.uint32), *self._pending])
        done = quiet = 0
        while more(done, len(words)):
            pauses, lengths, cycles = self._rng.random((2, 64)) < self.share, *self._rng.integers(1, 30, (2, 64))
            for no_word, not_taken, length, limit in zip(*pauses, lengths.tolist(), cycles.tolist(), strict=True):
                if not more(done, len(words)):
                    break
                if not_taken and len(words) < length:  # while one side waits, the other must go on, or no time passes
                    words = np.concatenate([words, np.full(2 + length, length, np.uint32)])  # a NOP with its payload
                offered = min(max(self._offered, 0 if no_word and not not_taken else length), len(words))
                wanted = out[:0] if not_taken else out[done:]
                taken, given = self._clock(words[:offered], wanted, limit)
                self._offered = offered - taken
                words, done = words[taken:], done + given
                quiet = 0 if taken or given else quiet + limit
                assert quiet < _PATIENCE, f"nothing in or out for {quiet} cycles"
        self._pending = [words] if len(words) else []

    def _clock(self, words, out, limit):
        """Up to so many cycles: words that were taken and given."""
        taken, given = ctypes.c_size_t(), ctypes.c_size_t()
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in (words, out))
        (into, count), (from_, want) = zip(pointers, map(ctypes.c_size_t, (len(words), len(out))), strict=True)
        run = self._library.celosia_run
        run(self._simulation, into, count, from_, want, ctypes.c_uint64(limit), ctypes.byref(taken), ctypes.byref(given))
        return taken.value, given.value


def _network():
    """Every engine of the fabric, and few cycles."""
    builder = networks.Network(np.random.default_rng(1))
    x = builder.input((1, 4, 4, 4))
    y = builder.conv(builder.depthwise(x, (3, 3)), 4, (1, 1))
    x = builder.pool(builder.add(x, y), "max", (2, 2), stride=(2, 2))
    return builder.finish(builder.fully_connected(builder.flatten(x), 40))


def soak(count, fabric):
    model = _network()
    graph = simplify(parse(model))
    (name,), (output,) = graph.inputs, graph.outputs
    samples = networks.random_input(model, SEED, samples=_KINDS)
    expected = reference.run(graph, {name: samples})[output]
    config = fabric_of(fabric)
    rng = np.random.default_rng(SEED)
    stalling = Stalling(config, rng)
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
        stalling.share = float(rng.choice([0.0, 0.3, 0.8]))
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


@pytest.mark.parametrize("fabric", FABRICS)
def test_some_hundred_inferences(fabric):
    soak(COUNTS["quick"], fabric)


@pytest.mark.slow
@pytest.mark.parametrize("fabric", FABRICS)
def test_a_hundred_thousand_inferences(fabric):
    total = soak(COUNTS["all"], fabric)
    print(f"{total.samples} inferences, {total.cycles} cycles, seed {SEED}")


def test_records_have_the_fields_that_add_up():
    assert [name for name, _ in data.Layout.cast(Record)] == ["cycles", "busy", "weights", "activations", "output"]

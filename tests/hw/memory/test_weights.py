"""The weight-buffer controller: every step finds the words that were meant, and the loader waits no longer than it must.

The banks are modelled here, with the cycles in which the array's cells write and read them.
"""

from dataclasses import replace

import pytest
from celosia.hw.mac.array import SystolicArray
from celosia.hw.memory.walker import WindowWalker
from celosia.hw.memory.weights import WeightBuffer
from celosia.hw.presets import preset
from weight_layers import STEP_LATENCY, WRITE_DELAY, Layer

MINI = replace(preset("mini"), weight_depth=16)
EIGHT = replace(preset("ecp5-25"), weight_depth=16)


class Rig:
    """One controller, its loader's and its walker's side, and what happened when."""

    def __init__(self, bench, config):
        self.bench, self.config = bench, config
        self.unit = WeightBuffer(config, step_latency=WindowWalker.LATENCY + SystolicArray.read_latency_of(config))
        self.quads = config.cols // 4
        self.cycle = 0
        self.loads = []  # (cycle, address, row, quad, payload)
        self.steps = []  # (cycle, address, word that was meant)
        self.claims, self.releases = [], []  # cycles

    def words(self, count):
        """Random weight words: tuples of stream words, row by row."""
        shape = (count, self.config.rows * self.quads)
        return [tuple(word) for word in self.bench.rng.integers(0, 1 << 32, shape).tolist()]

    async def watch(self, ctx):
        """Keeps what the load port says, and counts cycles: it is the last to see one."""
        port = self.unit.load
        while True:
            if ctx.get(port.enable):
                place = [ctx.get(value) for value in (port.address, port.row, port.quad, port.data.as_value())]
                self.loads.append((self.cycle, *place))
            self.cycle += 1
            await ctx.tick()

    async def set_ring(self, ctx, base):
        self.bench.put(ctx, self.unit, set_ring=1, ring_base=base)
        self.ring_size = self.config.weight_depth - base
        self.claims, self.releases = [], []
        await ctx.tick()
        ctx.set(self.unit.set_ring, 0)

    async def load(self, ctx, words, stalls, base=None):
        """The loader: resident words from `base` on, or the ring's. Checks that the ring takes a word as soon as it may."""
        unit = self.unit
        if base is not None:
            self.bench.put(ctx, unit, load_at=1, load_address=base)
            await ctx.tick()
            ctx.set(unit.load_at, 0)
        ctx.set(unit.load_ring, base is None)
        pauses = self.bench.pauses(stalls)
        for word in words:
            for index, payload in enumerate(word):
                while next(pauses):
                    ctx.set(unit.i.payload, 0xDEAD)
                    await ctx.tick()
                self.bench.put(ctx, unit.i, valid=1, payload=payload)
                ready = False
                while not ready:
                    ready = ctx.get(unit.i.ready)
                    assert ready == (base is not None or index > 0 or self.room()), f"cycle {self.cycle}"
                    if ready and index == 0 and base is None:
                        self.claims.append(self.cycle)
                    await ctx.tick()
                ctx.set(unit.i.valid, 0)

    def room(self):
        """Whether the ring has a word that no step in flight reads: releases count when the last cell has read."""
        latency = WindowWalker.LATENCY + SystolicArray.read_latency_of(self.config) + 1
        free = sum(cycle + latency < self.cycle for cycle in self.releases)
        return sum(cycle < self.cycle for cycle in self.claims) - free < self.ring_size

    async def walk(self, ctx, layer, meant, stalls):
        """The walker: takes a step whenever the word is there and it does not pause itself."""
        unit, request = self.unit, self.unit.request
        ring = layer.base is None
        self.bench.put(ctx, request, start=1, base=layer.base or 0, ring=ring, repeat=layer.repeat)
        await ctx.tick()
        ctx.set(request.start, 0)
        pauses = self.bench.pauses(stalls)
        for tile in range(layer.tiles):
            for result in range(layer.results):
                for step in range(layer.steps):
                    release, result_end = result == layer.results - 1, step == layer.steps - 1
                    self.bench.put(ctx, request, release=release, result_end=result_end)
                    while next(pauses) or not ctx.get(unit.ready):
                        await ctx.tick()
                    ctx.set(request.step, 1)
                    word = meant[0 if layer.repeat else tile * layer.steps + step]
                    cycle = self.cycle
                    if ring and release:
                        self.releases.append(cycle)
                    await ctx.tick()
                    ctx.set(request.step, 0)
                    assert unit.ADDRESS_LATENCY == 1
                    self.steps.append((cycle, ctx.get(unit.address), word))

    def run(self, *testbenches):
        """Simulates, then plays the banks: what every cell reads for a step, when it comes by, is the word that was meant."""
        self.bench.run(self.unit, *testbenches, background=(self.watch,))
        banks = {}
        for cycle, address, row, quad, payload in self.loads:
            banks.setdefault((address, row, quad), []).append((cycle + WRITE_DELAY, payload))
        for cycle, address, word in self.steps:
            for row in range(self.config.rows):
                for quad in range(self.quads):
                    # Steps and loads travel along the columns together: it is the rows that a step meets later.
                    at = cycle + STEP_LATENCY + row
                    held = [value for since, value in banks.get((address, row, quad), []) if since <= at]
                    assert held, f"step of cycle {cycle}: word {address} was never written"
                    assert held[-1] == word[row * self.quads + quad], f"step of cycle {cycle}, word {address}, row {row}"


def layers_through(rng, ring_size, count):
    """Random layers that flow through a ring: of one result a tile any steps, else as many as the ring holds."""
    layers = []
    for _ in range(count):
        results = int(rng.choice([1, 1, 2, 5]))
        steps = int(rng.integers(1, (2 * ring_size if results == 1 else ring_size) + 1))
        layers.append(Layer(tiles=int(rng.integers(1, 5)), results=results, steps=steps))
    return layers


@pytest.mark.parametrize("config", [MINI, EIGHT], ids=["4x4", "8x8"])
@pytest.mark.parametrize("ring", [(0, 16), (5, 11), (12, 4), (15, 1)])
def test_ring(bench, stalls, config, ring):
    """Layers flow through the ring while the loader runs ahead as far as it can."""
    base, size = ring
    rig = Rig(bench, config)
    layers = layers_through(bench.rng, size, 5)
    meant = [rig.words(layer.words) for layer in layers]
    walker_stalls = bench.rng.choice(["none", "random", "bursty"])
    opened = []

    async def loader(ctx):
        await rig.set_ring(ctx, base)
        opened.append(True)
        await rig.load(ctx, [word for words in meant for word in words], stalls)

    async def walker(ctx):
        while not opened:
            await ctx.tick()
        for layer, words in zip(layers, meant, strict=True):
            await rig.walk(ctx, layer, words, walker_stalls)
            await bench.ticks(ctx, int(bench.rng.integers(1, 30)))

    rig.run(loader, walker)
    assert {address for _, address, *_ in rig.loads} <= set(range(base, base + size))


def test_resident_words_and_the_ring_live_together(bench, stalls):
    """Resident layers, an identity word for all steps, and streamed layers, in turns; the resident words stay."""
    rig = Rig(bench, MINI)
    plan = [
        Layer(tiles=2, results=3, steps=3, base=0),
        Layer(tiles=3, results=2, steps=4),
        Layer(tiles=5, results=4, steps=3, base=8, repeat=True),
        Layer(tiles=2, results=1, steps=20),
        Layer(tiles=3, results=2, steps=2, base=3),
        Layer(tiles=1, results=6, steps=7),
    ]
    resident = rig.words(9)
    streamed = [rig.words(layer.words) for layer in plan if layer.base is None]
    loaded = []

    async def loader(ctx):
        await rig.set_ring(ctx, 9)
        await rig.load(ctx, resident[4:], stalls, base=4)
        await rig.load(ctx, resident[:4], stalls, base=0)
        loaded.append(True)
        for words in streamed:
            await rig.load(ctx, words, stalls)

    async def walker(ctx):
        while not loaded:
            await ctx.tick()
        stream = iter(streamed)
        for layer in plan:
            words = next(stream) if layer.base is None else resident[layer.base :]
            await rig.walk(ctx, layer, words, "random")
            await bench.ticks(ctx, 3)

    rig.run(loader, walker)


def test_set_ring_empties_the_ring(bench):
    """A ring of another place and size, once the array has drained; words that were loaded in vain are forgotten."""
    rig = Rig(bench, MINI)

    async def testbench(ctx):
        for base, size in ((12, 4), (8, 8), (14, 2), (0, 16)):
            await rig.set_ring(ctx, base)
            for _ in range(3):
                words = rig.words(size)
                await rig.load(ctx, words, "none")
                await rig.walk(ctx, Layer(tiles=1, results=2, steps=size), words, "none")
            await rig.load(ctx, rig.words(size - 1), "none")
            await bench.ticks(ctx, 30)

    rig.run(testbench)


def test_loading_hides_behind_work(bench):
    """Double buffering: while the array works on a tile for longer than the next one takes to load, no step waits."""
    rig = Rig(bench, MINI)
    layer = Layer(tiles=6, results=6, steps=8)
    words = rig.words(layer.words)
    loaded = []

    async def loader(ctx):
        await rig.set_ring(ctx, 0)
        await rig.load(ctx, words[:16], "none")
        loaded.append(True)
        await rig.load(ctx, words[16:], "none")

    async def walker(ctx):
        while not loaded:
            await ctx.tick()
        await bench.ticks(ctx, 5)
        await rig.walk(ctx, layer, words, "none")

    rig.run(loader, walker)
    cycles = [cycle for cycle, _, _ in rig.steps]
    assert cycles[-1] - cycles[0] == len(cycles) - 1

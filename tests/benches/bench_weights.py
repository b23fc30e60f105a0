"""The weight-buffer controller: every step finds the words that were meant in the banks, which are modelled here.

The loader and the walker each have their pauses; the golden result of a step is the word that the layer's schedule says.
"""

import cocotb
from celosia.hw.memory.weights import WeightBuffer
from stalls import STALLS
from weight_layers import STEP_LATENCY, WRITE_DELAY, Layer

from .blocks import MINI
from .rig import TIMEOUT, Rig, effort, together


class Buffer:
    """A controller with its loader, its walker, and the array's banks."""

    def __init__(self, rig, loader, walker):
        self.rig, self.config = rig, MINI
        self.stalls = {"loader": loader, "walker": walker}
        self.loads, self.steps = [], []
        self.waited = self.starved = False

    def words(self, count):
        return [tuple(word) for word in self.rig.rng.integers(0, 1 << 32, (count, self.config.rows)).tolist()]

    async def watch(self):
        """Keeps what the load port says."""
        names = [f"load__{name}" for name in ("enable", "address", "row")]
        while True:
            now = self.rig.cycle
            await self.rig.settled()
            enable, address, row = (self.rig.bits(name) for name in names)
            if enable:
                self.loads.append((now, address, row, self.rig.bits("load__data")))
            await self.rig.ticks()

    async def set_ring(self, base):
        self.rig.set(set_ring=1, ring_base=base)
        await self.rig.ticks()
        self.rig.set(set_ring=0)

    async def load(self, words, base=None):
        """The loader: resident words from `base` on, or the ring's."""
        rig = self.rig
        if base is not None:
            rig.set(load_at=1, load_address=base)
            await rig.ticks()
            rig.set(load_at=0)
        rig.set(load_ring=int(base is None))
        cycle = rig.cycle
        count = [0]

        def taken(_):
            count[0] += 1

        await rig.send("i", [part for word in words for part in word], self.stalls["loader"], taken)
        self.waited |= rig.cycle - cycle > count[0]

    async def walk(self, layer, meant):
        """The walker: takes a step whenever the word is there and it does not pause itself."""
        rig = self.rig
        ring = layer.base is None
        rig.set(request__start=1, request__base=layer.base or 0, request__ring=int(ring), request__repeat=int(layer.repeat))
        await rig.ticks()
        rig.set(request__start=0)
        pauses = rig.pauses(self.stalls["walker"])
        for tile in range(layer.tiles):
            for result in range(layer.results):
                for step in range(layer.steps):
                    release, result_end = result == layer.results - 1, step == layer.steps - 1
                    rig.set(request__release=int(release), request__result_end=int(result_end))
                    while next(pauses) or not rig.bits("ready"):  # a register
                        self.starved |= not rig.bits("ready")
                        await rig.ticks()
                    rig.set(request__step=1)
                    word = meant[0 if layer.repeat else tile * layer.steps + step]
                    assert WeightBuffer.ADDRESS_LATENCY == 1
                    cycle = rig.cycle
                    await rig.ticks()
                    rig.set(request__step=0)
                    self.steps.append((cycle, rig.bits("address"), word))
        rig.cover(
            mode=layer.mode,
            results="one" if layer.results == 1 else "several",
            tiles="one" if layer.tiles == 1 else "several",
            **self.stalls,
        )

    def check(self):
        """What every row of cells reads for a step, when it comes by, is the word that was meant."""
        banks = {}
        for cycle, address, row, data in self.loads:
            banks.setdefault((address, row), []).append((cycle + WRITE_DELAY, data))
        for cycle, address, word in self.steps:
            for row in range(self.config.rows):
                held = [data for since, data in banks.get((address, row), []) if since <= cycle + STEP_LATENCY + row]
                assert held, f"step of cycle {cycle}: word {address} was never written"
                assert held[-1] == word[row], f"step of cycle {cycle}: word {address}, row {row}"
        assert self.steps


def layers_through(rng, size, count):
    """Layers that flow through a ring: of one result a tile any steps, else as many as the ring holds."""
    for index in range(count):
        results = 1 if index % 2 else int(rng.integers(2, 5))
        steps = int(rng.integers(1, (2 * size if results == 1 else size) + 1))
        yield Layer(tiles=int(rng.integers(2, 5)) if index % 4 < 2 else 1, results=results, steps=steps)


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(loader=STALLS, walker=STALLS)
async def ring(top, loader, walker):
    """Layers flow through rings of all sizes; after a reset in mid-stream the ring is set anew and works."""
    async with Rig(top, "weights", "weights") as rig:
        depth = MINI.weight_depth
        for name, base in (("whole", 0), ("part", 3), ("one word", depth - 1)):
            buffer = Buffer(rig, loader, walker)
            layers = list(layers_through(rig.rng, depth - base, effort(4)))
            meant = [buffer.words(layer.tiles * layer.steps) for layer in layers]
            await buffer.set_ring(base)
            watching = cocotb.start_soon(buffer.watch())

            async def walks(buffer=buffer, layers=layers, meant=meant):
                for layer, words in zip(layers, meant, strict=True):
                    await buffer.walk(layer, words)
                    await rig.ticks(int(rig.rng.integers(1, 30)))

            await together(buffer.load([word for words in meant for word in words]), walks())
            watching.cancel()
            buffer.check()
            assert {address for _, address, *_ in buffer.loads} <= set(range(base, depth))
            rig.cover(ring=name, waits="loader" if buffer.waited else "")
            rig.cover(ring=name, waits="walker" if buffer.starved else "")
            # In mid-stream: words that nobody reads, one of them half written.
            rig.set(load_ring=1)
            await rig.send("i", [0] * int(rig.rng.integers(1, 4)), "none")
            await rig.reset()
            rig.cover(reset="mid-stream")


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(loader=STALLS, walker=STALLS)
async def resident(top, loader, walker):
    """Resident layers, one word for all steps, and streamed layers in turns: the resident words stay."""
    async with Rig(top, "weights", "weights") as rig:
        buffer = Buffer(rig, loader, walker)
        plan = [
            Layer(tiles=2, results=3, steps=2, base=0),
            Layer(tiles=3, results=2, steps=2),
            Layer(tiles=5, results=4, steps=3, base=4, repeat=True),
            Layer(tiles=1, results=1, steps=5, base=0),
            Layer(tiles=2, results=1, steps=5),
            Layer(tiles=1, results=4, steps=2, base=3),
            Layer(tiles=2, results=1, steps=2, base=1),
            Layer(tiles=1, results=1, steps=9, base=2, repeat=True),
        ]
        words = buffer.words(5)
        streamed = [buffer.words(layer.tiles * layer.steps) for layer in plan if layer.base is None]
        watching = cocotb.start_soon(buffer.watch())
        await buffer.set_ring(5)
        await buffer.load(words[3:], base=3)
        await buffer.load(words[:3], base=0)
        rig.set(load_ring=1)

        async def walks():
            stream = iter(streamed)
            for layer in plan:
                await buffer.walk(layer, next(stream) if layer.base is None else words[layer.base :])
                await rig.ticks(3)

        await together(buffer.load([word for part in streamed for word in part]), walks())
        watching.cancel()
        buffer.check()

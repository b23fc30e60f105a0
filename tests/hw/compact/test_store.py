"""The compact fabric's STORE packets against the bytes of a memory that answers a cycle later, whatever the host does."""

from dataclasses import replace

from celosia.hw.compact.store import CompactStore
from celosia.hw.isa import Answer, Header, Operation
from celosia.hw.presets import preset

CONFIG = replace(preset("up5k"), activation_bytes=256)


class Rig:
    """A store with a memory of random bytes, and what was seen of `active`, `done` and the words."""

    def __init__(self, bench):
        self.bench = bench
        self.store = CompactStore(CONFIG)
        self.content = bench.rng.integers(0, 256, CONFIG.activation_bytes).tolist()
        self.active, self.done, self.taken = [], [], []

    async def memory(self, ctx):
        """Answers a cycle later: 16 bits. Sees every cycle last."""
        store, cycle = self.store, 0
        while True:
            half = ctx.get(store.half)
            if ctx.get(store.active):
                self.active.append(cycle)
            if ctx.get(store.done):
                self.done.append(cycle)
            if ctx.get(store.o.valid) and ctx.get(store.o.ready):
                self.taken.append(cycle)
            cycle += 1
            await ctx.tick()
            ctx.set(store.i_half, int.from_bytes(self.content[2 * half : 2 * half + 2], "little"))

    async def send(self, ctx, address, length, tag, pauses):
        """One STORE; gives the packet."""
        store = self.store
        ctx.set(store.descriptor, {"operation": Operation.STORE, "row_address": address, "length": length, "tag": tag})
        ctx.set(store.start, 1)
        self.active, self.done, self.taken = [], [], []
        await ctx.tick()
        ctx.set(store.start, 0)
        return await self.bench.receive(ctx, store.o, 2 + length, pauses)

    def packet(self, address, length, tag):
        header = Header.const({"command": Answer.RESULT, "count": length}).as_value().value
        octets = [self.content[(address + at) % len(self.content)] for at in range(4 * length)]
        return [header, tag, *(int.from_bytes(octets[at : at + 4], "little") for at in range(0, 4 * length, 4))]

    def run(self, dut, testbench):
        self.bench.run(dut, testbench, background=(self.memory,))


def test_packets(bench, stalls):
    """Every length up to all of the memory, from its first byte to its last."""
    rig = Rig(bench)

    async def testbench(ctx):
        for length in [1, 2, 3, 64, *bench.rng.integers(1, 40, 8).tolist()]:
            address, tag = 4 * int(bench.rng.integers(65 - length)), int(bench.rng.integers(256))
            assert await rig.send(ctx, address, length, tag, bench.pauses(stalls)) == rig.packet(address, length, tag)
            assert not ctx.get(rig.store.active)
            # `active` and `done` tell the sequencer the same: until the last word is taken, and in that cycle.
            assert rig.done == [rig.taken[-1]] == [rig.active[-1]]
            assert len(rig.active) == rig.active[-1] - rig.active[0] + 1
            await bench.ticks(ctx, int(bench.rng.integers(4)))

    rig.run(rig.store, testbench)


def test_a_word_in_three_cycles(bench):
    rig = Rig(bench)

    async def testbench(ctx):
        ctx.set(rig.store.descriptor, {"row_address": 8, "length": 50})
        ctx.set(rig.store.start, 1)
        ctx.set(rig.store.o.ready, 1)
        await ctx.tick()
        ctx.set(rig.store.start, 0)
        await bench.until(ctx, rig.store.done)

    rig.run(rig.store, testbench)
    assert len(rig.taken) == 52
    assert rig.taken[1] - rig.active[0] == 1
    assert {after - before for before, after in zip(rig.taken[1:], rig.taken[2:], strict=False)} == {CompactStore.WORD_CYCLES}


def test_payload_holds_still_until_it_is_taken(bench):
    rig = Rig(bench)

    async def testbench(ctx):
        ctx.set(rig.store.descriptor, {"row_address": 0, "length": 9})
        ctx.set(rig.store.start, 1)
        await ctx.tick()
        ctx.set(rig.store.start, 0)
        for _ in range(11):
            await bench.until(ctx, rig.store.o.valid)
            word = ctx.get(rig.store.o.payload)
            for _ in range(int(bench.rng.integers(1, 15))):
                assert ctx.get(rig.store.o.valid)
                assert ctx.get(rig.store.o.payload) == word
                await ctx.tick()
            ctx.set(rig.store.o.ready, 1)
            await ctx.tick()
            ctx.set(rig.store.o.ready, 0)

    rig.run(rig.store, testbench)


def test_reset_in_mid_stream(bench, stalls):
    """Whatever it was doing, a reset leaves it idle and empty."""
    rig = Rig(bench)
    dut, reset = bench.resettable(rig.store)

    async def testbench(ctx):
        for taken in (0, 1, 2, 3, 20):
            ctx.set(rig.store.descriptor, {"row_address": 4, "length": 40})
            ctx.set(rig.store.start, 1)
            await ctx.tick()
            ctx.set(rig.store.start, 0)
            await bench.receive(ctx, rig.store.o, taken, bench.pauses(stalls))
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            assert not ctx.get(rig.store.active)
            assert not ctx.get(rig.store.o.valid)
            assert await rig.send(ctx, 96, 20, 4, bench.pauses(stalls)) == rig.packet(96, 20, 4)
            await ctx.tick()

    rig.run(dut, testbench)

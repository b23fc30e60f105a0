"""STORE packets against the bytes of a memory that answers as late as the real one, whatever the host does."""

from dataclasses import replace

import pytest
from celosia.hw.isa import Answer, Header, Operation
from celosia.hw.memory.activations import ActivationMemory
from celosia.hw.presets import preset
from celosia.hw.store import Store

MINI = replace(preset("mini"), activation_bytes=256)
CONFIGS = {f"{rows} rows": replace(MINI, rows=rows, cols=rows, requant_lanes=rows // 2) for rows in (4, 8, 16)}


class Rig:
    """A store with a memory of random bytes, and what was seen of `active` and `done`."""

    def __init__(self, bench, config, dut=None):
        self.bench, self.config = bench, config
        self.store = Store(config)
        self.content = bench.rng.integers(0, 256, config.activation_bytes).tolist()
        self.active, self.done, self.taken = [], [], []

    async def memory(self, ctx):
        """Answers reads after the latency; data of no read is noise. Sees every cycle last."""
        pipeline = [0] * (ActivationMemory.READ_LATENCY - 1)
        store, rows = self.store, self.config.rows
        while True:
            read = store.read
            assert (ctx.get(read.first), ctx.get(read.end)) == (0, rows)
            pipeline.append(ctx.get(read.address))
            if ctx.get(store.active):
                self.active.append(self.cycle)
            if ctx.get(store.done):
                self.done.append(self.cycle)
            assert ctx.get(store.reading) == (ctx.get(store.active) or ctx.get(store.done))
            if ctx.get(store.o.valid) and ctx.get(store.o.ready):
                self.taken.append(self.cycle)
            self.cycle += 1
            await ctx.tick()
            address = pipeline.pop(0)
            ctx.set(store.i_data, [self.content[(address + lane) % len(self.content)] for lane in range(rows)])

    async def start(self, ctx, **descriptor):
        store = self.store
        ctx.set(store.descriptor, {"operation": Operation.STORE, **descriptor})
        self.active, self.done, self.taken = [], [], []
        ctx.set(store.start, 1)
        await ctx.tick()
        ctx.set(store.start, 0)

    async def send(self, ctx, address, length, tag, pauses):
        """One STORE; gives the packet."""
        await self.start(ctx, row_address=address, length=length, tag=tag)
        return await self.bench.receive(ctx, self.store.o, 2 + length, pauses)

    def packet(self, address, length, tag):
        header = Header.const({"command": Answer.RESULT, "count": length}).as_value().value
        octets = [self.content[(address + at) % len(self.content)] for at in range(4 * length)]
        return [header, tag, *(int.from_bytes(octets[at : at + 4], "little") for at in range(0, 4 * length, 4))]

    def run(self, dut, testbench):
        self.cycle = 0
        self.bench.run(dut, testbench, background=(self.memory,))


@pytest.mark.parametrize("name", CONFIGS)
def test_packets(bench, stalls, name):
    """Lengths around the words of a memory row, addresses at any byte, and one tensor that is longer than the queue."""
    rig = Rig(bench, CONFIGS[name])

    async def testbench(ctx):
        for length in [1, 2, 3, 4, 5, 7, 8, 9, 60, *bench.rng.integers(1, 40, 6).tolist()]:
            address, tag = int(bench.rng.integers(256)), int(bench.rng.integers(256))
            words = await rig.send(ctx, address, length, tag, bench.pauses(stalls))
            assert words == rig.packet(address, length, tag)
            assert not ctx.get(rig.store.active)
            # `active` until the last word is taken, `done` a cycle later.
            await bench.ticks(ctx, 2)
            assert rig.taken[-1] == rig.active[-1]
            assert rig.done == [rig.taken[-1] + 1]
            assert len(rig.active) == rig.active[-1] - rig.active[0] + 1
            await bench.ticks(ctx, int(bench.rng.integers(1, 4)))

    rig.run(rig.store, testbench)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_word_a_cycle(bench, name):
    """A host that never pauses gets a word every cycle, once the first came out of the memory."""
    rig = Rig(bench, CONFIGS[name])

    async def testbench(ctx):
        ctx.set(rig.store.o.ready, 1)
        await rig.start(ctx, row_address=3, length=50)
        await bench.until(ctx, rig.store.done)

    rig.run(rig.store, testbench)
    assert len(rig.taken) == 52
    assert rig.taken[-1] - rig.taken[2] == 49
    assert rig.taken[2] - rig.active[0] <= ActivationMemory.READ_LATENCY + 3


def test_a_host_that_sleeps_loses_nothing(bench):
    """The read-ahead fills the queue and stops: what is on its way has room, however long the host takes for a word."""
    rig = Rig(bench, CONFIGS["4 rows"])

    async def testbench(ctx):
        for asleep in (0, 1, 5, 12, 100):
            pauses = iter([False] * 2 + ([True] * asleep + [False]) * 30)
            assert await rig.send(ctx, 17, 30, 1, pauses) == rig.packet(17, 30, 1)
            await ctx.tick()

    rig.run(rig.store, testbench)


def test_payload_holds_still_until_it_is_taken(bench):
    rig = Rig(bench, CONFIGS["8 rows"])

    async def testbench(ctx):
        await rig.start(ctx, row_address=0, length=9)
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
    rig = Rig(bench, CONFIGS["4 rows"])
    dut, reset = bench.resettable(rig.store)

    async def testbench(ctx):
        for taken in (0, 1, 2, 3, 20):
            await rig.start(ctx, row_address=5, length=40)
            await bench.receive(ctx, rig.store.o, taken, bench.pauses(stalls))
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            assert not ctx.get(rig.store.active)
            assert not ctx.get(rig.store.o.valid)
            assert await rig.send(ctx, 99, 20, 4, bench.pauses(stalls)) == rig.packet(99, 20, 4)
            await ctx.tick()

    rig.run(dut, testbench)

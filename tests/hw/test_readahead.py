"""The read-ahead: the words that were asked for, none twice, none lost, however long the memory and the reader take."""

import pytest
from celosia.hw.readahead import ReadAhead


class Rig:
    """A read-ahead and a memory of 256 random words that answers late."""

    def __init__(self, bench, latency, step=1):
        self.bench = bench
        self.unit = ReadAhead(16, address_bits=8, count_bits=8, latency=latency, step=step)
        self.words = bench.rng.integers(0, 1 << 16, 256).tolist()
        self._asked = [0] * latency

    async def memory(self, ctx):
        while True:
            await ctx.tick()
            ctx.set(self.unit.i_data, self.words[self._asked[0]])
            self._asked = [*self._asked[1:], ctx.get(self.unit.read_address)]

    async def start(self, ctx, address, count):
        self.bench.put(ctx, self.unit, start=1, address=address, count=count)
        await ctx.tick()
        ctx.set(self.unit.start, 0)

    def piece(self, address, count, step=1):
        return [self.words[(address + step * index) % 256] for index in range(count)]


@pytest.mark.parametrize("latency", [1, 2, 8])
@pytest.mark.parametrize("step", [1, 4])
def test_pieces(bench, stalls, latency, step):
    rig = Rig(bench, latency, step)

    async def testbench(ctx):
        for count in [1, 2, 0, 3, 40, 200, *bench.rng.integers(1, 30, 5).tolist()]:
            address = int(bench.rng.integers(256))
            await rig.start(ctx, address, count)
            assert await bench.receive(ctx, rig.unit.o, count, bench.pauses(stalls)) == rig.piece(address, count, step)

    bench.run(rig.unit, testbench, background=(rig.memory,))


@pytest.mark.parametrize("latency", [1, 2, 8])
def test_a_word_a_cycle(bench, latency):
    """The first word `latency + 2` cycles after `start`, then one every cycle."""
    rig = Rig(bench, latency)
    taken = []

    async def testbench(ctx):
        ctx.set(rig.unit.o.ready, 1)
        await bench.ticks(ctx, 4)
        await rig.start(ctx, 7, 60)
        cycle = 1
        while len(taken) < 60:
            if ctx.get(rig.unit.o.valid):
                taken.append(cycle)
            cycle += 1
            await ctx.tick()

    bench.run(rig.unit, testbench, background=(rig.memory,))
    assert taken == list(range(latency + 2, latency + 62))


def test_reset_in_mid_piece(bench):
    rig = Rig(bench, 3)
    dut, reset = bench.resettable(rig.unit)

    async def testbench(ctx):
        for taken in (0, 1, 5):
            await rig.start(ctx, 3, 40)
            await bench.receive(ctx, rig.unit.o, taken, bench.pauses("none"))
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            assert not ctx.get(rig.unit.o.valid)
            await rig.start(ctx, 90, 20)
            assert await bench.receive(ctx, rig.unit.o, 20, bench.pauses("random")) == rig.piece(90, 20)

    bench.run(dut, testbench, background=(rig.memory,))

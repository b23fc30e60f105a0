"""The compact fabric's activation memory against a list of bytes: four users of one port, and each gets what it is due."""

from dataclasses import replace

import pytest
from celosia.hw.compact.memory import ByteMemory
from celosia.hw.presets import preset

CONFIG = replace(preset("up5k"), activation_bytes=256)
LAST = CONFIG.activation_bytes - 1


class Rig:
    """A memory, what it must hold, and its walker: which byte was read before."""

    def __init__(self, bench):
        self.bench = bench
        self.memory = ByteMemory(CONFIG)
        self.content = [0] * CONFIG.activation_bytes
        self.last = None  # address of the walker's last byte

    async def load(self, ctx, address, data):
        """Four bytes by the loader; gives the cycles that they took."""
        self.bench.put(ctx, self.memory.load, enable=1, address=address)
        ctx.set(self.memory.load.data, data)
        cycles = 1
        while not ctx.get(self.memory.load_ready):
            await ctx.tick()
            cycles += 1
        await ctx.tick()
        ctx.set(self.memory.load.enable, 0)
        self.content[address : address + 4] = data
        return cycles

    def read(self, ctx, address, inside, pad):
        """The walker's byte of this cycle; gives what must be there in the next one."""
        needed = self.last is None or address % 2 == 0 or address != self.last + 1
        self.bench.put(ctx, self.memory.read, address=address, inside=inside, pad=pad, needed=needed)
        self.last = address
        return (self.content[address] if inside else pad), needed


async def fill(rig, ctx):
    """The loader writes all of the memory, a word in two cycles."""
    for address in range(0, CONFIG.activation_bytes, 4):
        assert await rig.load(ctx, address, rig.bench.rng.integers(-128, 128, 4).tolist()) == 2


def test_bytes_one_behind_the_other(bench):
    """Runs of bytes from any address on, of which every second is the other half of a word; outside there is the padding."""
    rig = Rig(bench)

    async def testbench(ctx):
        await fill(rig, ctx)
        for _ in range(200):
            begin = int(bench.rng.integers(LAST - 8))
            expected = None
            rig.last = None
            for address in range(begin, begin + int(bench.rng.integers(1, 8))):
                coming, _ = rig.read(ctx, address, int(bench.rng.random() < 0.8), int(bench.rng.integers(-128, 128)))
                assert expected is None or ctx.get(rig.memory.o_byte) == expected
                await ctx.tick()
                expected = coming
            ctx.set(rig.memory.read.needed, 0)
            assert ctx.get(rig.memory.o_byte) == expected

    bench.run(rig.memory, testbench)


def test_the_other_half_outlives_other_users(bench):
    """Between a word's two bytes the port may serve whoever else."""
    rig = Rig(bench)

    async def testbench(ctx):
        await fill(rig, ctx)
        for _ in range(60):
            begin = 2 * int(bench.rng.integers(LAST // 2))
            other = int(bench.rng.choice([at for at in range(0, LAST, 4) if at != begin - begin % 4]))
            rig.last = None
            rig.read(ctx, begin, 1, 0)
            upper = rig.content[begin + 1]
            await ctx.tick()
            bench.put(ctx, rig.memory.read, needed=0, address=begin + 1)
            assert ctx.get(rig.memory.o_byte) == rig.content[begin]
            await rig.load(ctx, other, bench.rng.integers(-128, 128, 4).tolist())
            assert ctx.get(rig.memory.o_byte) == upper

    bench.run(rig.memory, testbench)


def test_halves_for_the_store(bench):
    rig = Rig(bench)

    async def testbench(ctx):
        await fill(rig, ctx)
        ctx.set(rig.memory.use_half, 1)
        for half in [0, LAST // 2, *bench.rng.integers(LAST // 2, size=40).tolist()]:
            ctx.set(rig.memory.half, half)
            await ctx.tick()
            low, high = (value & 0xFF for value in rig.content[2 * half : 2 * half + 2])
            assert ctx.get(rig.memory.o_half) == low | high << 8

    bench.run(rig.memory, testbench)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.75])
def test_all_at_once(bench, share):
    """Walker, requantizer and loader in every mixture: the walker is never late, a result waits for the port and is written
    once, the loader gets what is left."""
    rig = Rig(bench)
    memory = rig.memory
    counts = {"read": 0, "written": 0, "loaded": 0, "waited": 0}

    async def testbench(ctx):
        await fill(rig, ctx)
        expected = None
        waiting = None  # the requantizer's byte
        load, second = None, False
        for _ in range(6000):
            busy = bench.rng.random() < share
            if expected is not None:
                assert ctx.get(memory.o_byte) == expected
                counts["read"] += 1
            expected, needed = None, False
            if busy:
                address = int(bench.rng.integers(LAST + 1)) if bench.rng.random() < 0.3 or rig.last is None else rig.last + 1
                address %= LAST + 1
                if (waiting is not None and address // 2 == waiting[0] // 2) or (load and address // 4 == load[0] // 4):
                    ctx.set(memory.read.needed, 0)  # no layer reads what it writes
                    rig.last = None
                else:
                    expected, needed = rig.read(ctx, address, 1, 0)
            else:
                ctx.set(memory.read.needed, 0)
                if bench.rng.random() < 0.5:
                    rig.last = None

            assert ctx.get(memory.waiting) == (waiting is not None)
            free = waiting is None or not needed  # the byte that waits goes now
            write = free and bench.rng.random() < 0.25
            if waiting is not None and not needed:
                rig.content[waiting[0]] = waiting[1]
                waiting = None
                counts["written"] += 1
                port = True
            else:
                counts["waited"] += waiting is not None
                port = needed
            if write:
                target = int(bench.rng.integers(LAST + 1))
                if (load and target // 4 == load[0] // 4) or (rig.last is not None and target // 2 == rig.last // 2):
                    write = False
                else:
                    waiting = (target, int(bench.rng.integers(-128, 128)))
                    bench.put(ctx, memory, address=waiting[0], byte=waiting[1])
            ctx.set(memory.write, int(write))

            if load is None and bench.rng.random() < 0.3:
                at = 4 * int(bench.rng.integers((LAST + 1) // 4))
                if not ((waiting and waiting[0] // 4 == at // 4) or (rig.last is not None and rig.last // 4 == at // 4)):
                    load, second = (at, bench.rng.integers(-128, 128, 4).tolist()), False
            bench.put(ctx, memory.load, enable=int(load is not None), address=load[0] if load else 0)
            if load:
                ctx.set(memory.load.data, load[1])
                if not port:
                    assert ctx.get(memory.load_ready) == second
                    if second:
                        rig.content[load[0] : load[0] + 4] = load[1]
                        load = None
                        counts["loaded"] += 1
                    else:
                        second = True
                else:
                    assert not ctx.get(memory.load_ready)
            await ctx.tick()
        ctx.set(memory.write, 0)
        ctx.set(memory.read.needed, 0)
        ctx.set(memory.load.enable, 0)
        await bench.ticks(ctx, 3)
        if waiting is not None:
            rig.content[waiting[0]] = waiting[1]
        ctx.set(memory.use_half, 1)
        for half in range((LAST + 1) // 2):
            ctx.set(memory.half, half)
            await ctx.tick()
            if load and 2 * half // 4 == load[0] // 4:
                continue  # half of it may be written
            low, high = (value & 0xFF for value in rig.content[2 * half : 2 * half + 2])
            assert ctx.get(memory.o_half) == low | high << 8

    bench.run(memory, testbench)
    assert min(counts["written"], counts["loaded"]) > 200, counts
    assert bool(counts["read"] > 500 and counts["waited"] > 50) == (share > 0), counts

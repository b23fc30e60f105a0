"""The single-port memory against a list: a read or a write every cycle, byte by byte; and both its forms against each other."""

import numpy as np
import pytest
from amaranth.hdl import Cat, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from celosia.hw.primitives.single_port import SinglePortMemory
from twins import UltraPlus, first_difference


@pytest.mark.parametrize(("width", "depth"), [(16, 64), (32, 300), (16, 2048)])
def test_reads_what_was_written(bench, width, depth):
    memory = SinglePortMemory(width=width, depth=depth)
    content = {}
    addresses = bench.rng.integers(0, depth, 40)

    async def testbench(ctx):
        for address in addresses:
            bytes_ = bench.rng.integers(0, 256, width // 8)
            content[address] = bytes_
            bench.put(
                ctx,
                memory,
                i_address=int(address),
                i_write=1,
                i_bytes=-1,
                i_data=int.from_bytes(bytes_.astype(np.uint8), "little"),
            )
            await ctx.tick()
        expected = None
        for _ in range(800):
            if expected is not None:
                assert ctx.get(memory.o_data) == int.from_bytes(expected.astype(np.uint8), "little")
            address = bench.rng.choice(addresses)
            write, strobes = int(bench.rng.integers(2)), bench.rng.integers(0, 2, width // 8)
            given = bench.rng.integers(0, 256, width // 8)
            bench.put(
                ctx,
                memory,
                i_address=int(address),
                i_write=write,
                i_bytes=int(strobes @ (1 << np.arange(width // 8))),
                i_data=int.from_bytes(given.astype(np.uint8), "little"),
            )
            if write:
                content[address] = np.where(strobes, given, content[address])
            expected = None if write else content[address]
            await ctx.tick()

    bench.run(memory, testbench)


def test_refused_width():
    with pytest.raises(ValueError, match="width must be a multiple of 16, not 24"):
        SinglePortMemory(width=24, depth=16)


class Observed(wiring.Component):
    """A memory whose output counts where it is defined: in the cycle after a read."""

    def __init__(self, *, width, depth):
        self.memory = SinglePortMemory(width=width, depth=depth)
        self.inputs = ("i_address", "i_write", "i_bytes", "i_data")
        super().__init__({**{name: In(len(getattr(self.memory, name))) for name in self.inputs}, "o_data": Out(width)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = self.memory
        read = Signal()
        m.d.sync += read.eq(~self.i_write)
        m.d.comb += [getattr(self.memory, name).eq(getattr(self, name)) for name in self.inputs]
        m.d.comb += self.o_data.eq(self.memory.o_data & read.replicate(len(self.o_data)))
        return m


def traffic(m, noise, memory):
    """A few addresses in every part of the memory, so that most reads find what was written."""
    width = len(memory.i_address)
    m.d.comb += [
        memory.i_address.eq(Cat(noise[:3], *[0] * (width - 6), noise[3:6])),
        memory.i_write.eq(noise[6]),
        memory.i_bytes.eq(noise[7:]),
        memory.i_data.eq(noise[16:]),
    ]


@pytest.mark.parametrize(("width", "depth"), [(16, 32768), (32, 16384), (16, 1024)])
def test_forms_are_equal(width, depth):
    """Two in turn, two side by side, and one of which a part is used."""
    assert first_difference(lambda: Observed(width=width, depth=depth), cycles=5000, drive=traffic, platform=UltraPlus) is None


@pytest.mark.parametrize(("broken", "value"), [("i_MASKWREN", -1), ("i_CHIPSELECT", 1), ("i_POWEROFF", 0)])
def test_a_wrong_memory_is_seen(monkeypatch, broken, value):
    """The comparison notices each of the cell's settings."""

    def wrong(kind, **arguments):
        assert broken in arguments
        return Instance(kind, **arguments | {broken: value})

    monkeypatch.setattr("celosia.hw.primitives.single_port.Instance", wrong)
    assert first_difference(lambda: Observed(width=16, depth=32768), cycles=2000, drive=traffic, platform=UltraPlus) is not None

"""Copies of a register: a cycle late, one by one as on a chip, and alike in both forms."""

import celosia.hw.primitives.copies as copies_module
from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from celosia.hw.primitives.copies import copies
from twins import first_difference

BITS = 5


class Copied(wiring.Component):
    """Three copies of what comes in, side by side."""

    i: In(BITS)
    o: Out(3 * BITS)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(Cat(copies(m, platform, self.i, 3, name="copy")))
        return m


def test_a_cycle_late(bench):
    dut = Copied()

    async def testbench(ctx):
        for value in bench.rng.integers(0, 1 << BITS, 50).tolist():
            ctx.set(dut.i, value)
            await ctx.tick()
            assert ctx.get(dut.o) == value * 0b00001_00001_00001

    bench.run(dut, testbench)


def test_the_primitives_hold_alike():
    assert first_difference(Copied, cycles=500) is None


def test_a_wrong_primitive_is_noticed(monkeypatch):
    """The comparison can fail: registers that are always reset, or whose input is not connected."""
    original = copies_module.Instance
    for wrong in ({"i_LSR": 1}, {"i_DI": 0}):
        monkeypatch.setattr(copies_module, "Instance", lambda kind, wrong=wrong, **ports: original(kind, **(ports | wrong)))
        assert first_difference(Copied, cycles=500) is not None, wrong

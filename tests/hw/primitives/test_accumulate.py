"""The accumulator and the product against Python's numbers, and both their forms against each other."""

import pytest
from amaranth.hdl import Cat, Instance, Module, Mux, ResetInserter, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from celosia.hw.primitives.accumulate import Accumulator, Product
from twins import UltraPlus, first_difference

SHAPES = [(unsigned(15), unsigned(15)), (signed(14), unsigned(16)), (signed(16), signed(16))]


def test_accumulates_between_clears(bench):
    accumulator = Accumulator()
    due = []  # what each cycle adds, and whether it clears

    async def testbench(ctx):
        total = 0
        for _ in range(2000):
            x, y = (int(value) for value in bench.rng.choice([-128, -127, -1, 0, 1, 127, 50], 2))
            add, clear = int(bench.rng.random() < 0.7), int(bench.rng.random() < 0.05)
            bench.put(ctx, accumulator, i_x=x, i_y=y, add=add, clear=clear)
            assert ctx.get(accumulator.o) == total
            due.append(x * y * add)
            late = due[-accumulator.LATENCY] if len(due) >= accumulator.LATENCY else 0
            total = 0 if clear else total + late
            await ctx.tick()

    bench.run(accumulator, testbench)


@pytest.mark.parametrize(("x", "y"), SHAPES)
def test_products(bench, x, y):
    product = Product(x, y)

    def numbers(shape):
        low, high = (-(1 << shape.width - 1), 1 << shape.width - 1) if shape.signed else (0, 1 << shape.width)
        return [low, high - 1, 0, 1, *bench.rng.integers(low, high, 30).tolist()]

    async def testbench(ctx):
        for first in numbers(x):
            for second in numbers(y):
                bench.put(ctx, product, i_x=first, i_y=second)
                await bench.ticks(ctx, product.LATENCY)
                assert ctx.get(product.o) == first * second

    bench.run(product, testbench)


def test_refused_width():
    with pytest.raises(ValueError, match="1 to 16 bits, not 17 and 4"):
        Product(unsigned(17), unsigned(4))


def sparse(m, noise, accumulator):
    """Sums of many products: a clear in one of sixteen cycles."""
    m.d.comb += [
        accumulator.i_x.eq(noise[:8]),
        accumulator.i_y.eq(noise[8:16]),
        accumulator.add.eq(noise[16] | noise[17]),
        accumulator.clear.eq(noise[18:22] == 0),
    ]


def test_accumulators_forms_are_equal():
    assert first_difference(Accumulator, cycles=10_000, drive=sparse, platform=UltraPlus) is None


@pytest.mark.parametrize(("x", "y"), [*SHAPES, (signed(14), unsigned(15))])
def test_products_forms_are_equal(x, y):
    assert first_difference(lambda: Product(x, y), cycles=10_000, platform=UltraPlus) is None


@pytest.mark.parametrize(
    ("broken", "value"),
    [("p_A_REG", 0), ("p_B_SIGNED", 0), ("p_TOPADDSUB_CARRYSELECT", 0), ("i_OHOLDTOP", 0), ("i_OLOADBOT", 0)],
)
def test_a_wrong_multiplier_is_seen(monkeypatch, broken, value):
    """The comparison notices each of the cell's settings."""

    def wrong(kind, **arguments):
        assert broken in arguments
        return Instance(kind, **arguments | {broken: value})

    monkeypatch.setattr("celosia.hw.primitives.accumulate.Instance", wrong)
    assert first_difference(Accumulator, cycles=2000, drive=sparse, platform=UltraPlus) is not None


class Resettable(wiring.Component):
    """An accumulator that is reset as the link resets the fabric, which no primitive hears of."""

    i_x: In(signed(8))
    i_y: In(signed(8))
    add: In(1)
    clear: In(1)
    reset: In(1)
    o: Out(signed(32))

    def elaborate(self, platform):
        m = Module()
        accumulator = Accumulator()
        m.submodules.accumulator = ResetInserter(self.reset)(accumulator)
        m.d.comb += [getattr(accumulator, name).eq(getattr(self, name)) for name in ("i_x", "i_y", "add", "clear")]
        # The forms need not agree until the cycle after the reset.
        resetting = Signal(2)
        m.d.sync += resetting.eq(Cat(self.reset, resetting))
        m.d.comb += self.o.eq(Mux(self.reset | resetting.any(), 0, accumulator.o))
        return m


def test_a_reset_empties_both_forms():
    """For two cycles, as what is under way is lost: the first sum after it must not begin with the one before."""

    def drive(m, noise, accumulator):
        sparse(m, noise, accumulator)
        again = Signal()
        m.d.sync += again.eq(noise[40:46] == 0)
        m.d.comb += accumulator.reset.eq((noise[40:46] == 0) | again)
        with m.If(accumulator.reset):
            m.d.comb += accumulator.add.eq(0)

    assert first_difference(Resettable, cycles=5000, drive=drive, platform=UltraPlus) is None

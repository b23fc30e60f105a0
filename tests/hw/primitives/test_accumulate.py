"""The accumulator and the product against Python's numbers."""

import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from celosia.hw.primitives.accumulate import Accumulator, Product


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


@pytest.mark.parametrize(("x", "y"), [(unsigned(15), unsigned(15)), (signed(14), unsigned(16)), (signed(16), signed(16))])
def test_products(bench, x, y):
    product = Product(x, y)

    def numbers(shape):
        low, high = (-(1 << shape.width - 1), 1 << shape.width - 1) if shape.signed else (0, 1 << shape.width)
        return [low, high - 1, 0, 1, *bench.rng.integers(low, high, 30).tolist()]

    async def testbench(ctx):
        for first in numbers(x):
            for second in numbers(y):
                bench.put(ctx, product, i_x=first, i_y=second)
                await ctx.tick()
                assert ctx.get(product.o) == first * second

    clocked = Module()  # the bench wants a clock
    clocked.submodules.product = product
    clocked.d.sync += Signal().eq(product.o)
    bench.run(clocked, testbench)


def test_refused_width():
    with pytest.raises(ValueError, match="1 to 16 bits, not 17 and 4"):
        Product(unsigned(17), unsigned(4))

"""Sums and products of carry chains: what the ECP5's cells compute is what the portable twin computes."""

import celosia.hw.primitives.carry as carry_module
import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from celosia.hw.primitives.carry import add
from celosia.hw.primitives.products import CarryDotProduct, CarryMultiplier
from twins import first_difference

SHAPES = [
    (signed(8), signed(8)),
    (signed(10), unsigned(31)),
    (unsigned(17), unsigned(31)),
    (signed(9), unsigned(3)),
    (unsigned(1), signed(5)),
    (unsigned(4), unsigned(4)),
]


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize(("x", "y"), SHAPES)
def test_products(x, y, levels):
    assert first_difference(lambda: CarryMultiplier(x, y, levels=levels), cycles=5000) is None


@pytest.mark.parametrize(("levels", "latency"), [(1, 4), (2, 3), (3, 2), (4, 2)])
def test_products_with_an_addend(levels, latency):
    """Ten rows: four additions, with registers after the first, then after `levels` each, and at the end."""

    def make():
        return CarryMultiplier(signed(9), unsigned(31), addend=signed(2), addend_log2=10, levels=levels)

    assert make().latency == latency
    assert first_difference(make, cycles=5000) is None


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize(("count", "sum_shape"), [(3, None), (3, signed(20)), (4, signed(12)), (1, unsigned(3))])
def test_sums_of_products(count, sum_shape, levels):
    def make():
        return CarryDotProduct(signed(8), signed(8), count=count, sum_shape=sum_shape, levels=levels)

    assert first_difference(make, cycles=5000) is None


def test_the_twin_sums_products(bench):
    """The products of some operands, and the sum that comes a cycle before the result."""
    dut = CarryDotProduct(signed(8), signed(8), count=3, sum_shape=signed(20), levels=2)
    assert dut.latency == 4
    cases = bench.rng.integers(-128, 128, (300, 2, 3))
    cases[:2] = -128
    bases = bench.rng.integers(-(2**19), 2**19, 300 + dut.latency)
    results = []

    async def testbench(ctx):
        for cycle in range(len(bases)):
            x, y = cases[min(cycle, 299)].tolist()
            bench.put(ctx, dut, i_x=x, i_y=y, i_sum=int(bases[cycle]))
            results.append(ctx.get(dut.o))
            await ctx.tick()

    bench.run(dut, testbench)
    assert results[dut.latency :] == ((cases[:, 0] * cases[:, 1]).sum(axis=1) + bases[dut.latency - 1 : -1]).tolist()


@pytest.mark.parametrize(("x", "y"), SHAPES)
def test_the_twin_multiplies(bench, x, y):
    """Every product at the latency that the instance names, a product a cycle; fewer registers with two levels."""
    multiplier = CarryMultiplier(x, y, levels=2)
    assert multiplier.latency == 1 + CarryMultiplier(x, y).latency // 2
    low = [-(1 << (shape.width - 1)) if shape.signed else 0 for shape in (x, y)]
    pairs = [[int(bench.rng.integers(least, least + (1 << shape.width))) for least, shape in zip(low, (x, y), strict=True)]
             for _ in range(200)]  # fmt: skip
    pairs += [[a, b] for a in (low[0], low[0] + (1 << x.width) - 1) for b in (low[1], low[1] + (1 << y.width) - 1)]
    products = []

    async def testbench(ctx):
        for a, b in [*pairs, *[(0, 0)] * multiplier.latency]:
            bench.put(ctx, multiplier, i_x=a, i_y=b)
            products.append(ctx.get(multiplier.o))
            await ctx.tick()

    bench.run(multiplier, testbench)
    assert products[multiplier.latency :] == [a * b for a, b in pairs]


class Adder(wiring.Component):
    """One use of `add`."""

    def __init__(self, x, y, shape, **uses):
        self._shape, self._uses = shape, uses
        super().__init__({"i_x": In(x), "i_y": In(y), "i_bit": In(1), "o": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        uses = {name: self.i_bit if value is None else value for name, value in self._uses.items()}
        result = Signal(self._shape)
        m.d.sync += result.eq(add(m, platform, self.i_x, self.i_y, self._shape, name="sum", **uses))
        m.d.comb += self.o.eq(result)
        return m


USES = [
    {},
    {"carry": 1},
    {"carry": None},
    {"y_gate": None},
    {"x_gate": None, "y_gate": None},
    {"y_flip": None},
    {"y_flip": None, "carry": None},
]


@pytest.mark.parametrize("uses", USES, ids=lambda uses: " ".join(uses) or "plain")
@pytest.mark.parametrize("width", [9, 10])
def test_sums(uses, width):
    assert first_difference(lambda: Adder(signed(8), signed(6), signed(width), **uses), cycles=5000) is None
    assert first_difference(lambda: Adder(unsigned(8), signed(9), signed(width), **uses), cycles=5000) is None


def test_a_wrong_cell_is_noticed(monkeypatch):
    """The comparison can fail: another truth table in the first cell of every chain."""
    original = carry_module.Instance
    monkeypatch.setattr(
        carry_module, "Instance", lambda kind, **ports: original(kind, **(ports | {"p_INIT1": carry_module.Const(0x1234, 16)}))
    )
    assert first_difference(lambda: CarryMultiplier(signed(8), signed(8)), cycles=2000) is not None

"""The multiplier: every product at the latency that the class names, from the primitive and from its twin."""

import celosia.hw.primitives.multiplier as multiplier_module
import pytest
from amaranth.hdl import signed, unsigned
from celosia.hw.primitives.multiplier import Multiplier
from twins import first_difference

SHAPES = [(signed(18), signed(8)), (unsigned(17), unsigned(18)), (signed(9), unsigned(5)), (unsigned(1), signed(18))]


def limits(shape):
    return (-(1 << (shape.width - 1)), (1 << (shape.width - 1)) - 1) if shape.signed else (0, (1 << shape.width) - 1)


@pytest.mark.parametrize(("x", "y"), SHAPES)
def test_a_product_a_cycle(bench, x, y):
    multiplier = Multiplier(x, y)
    pairs = [(a, b) for a in (*limits(x), 0) for b in (*limits(y), 0)]
    pairs += [tuple(int(bench.rng.integers(low, high + 1)) for low, high in map(limits, (x, y))) for _ in range(200)]
    products = []

    async def testbench(ctx):
        for a, b in [*pairs, *[(0, 0)] * multiplier.LATENCY]:
            bench.put(ctx, multiplier, i_x=a, i_y=b)
            products.append(ctx.get(multiplier.o))
            await ctx.tick()

    bench.run(multiplier, testbench)
    assert products[multiplier.LATENCY :] == [a * b for a, b in pairs]


@pytest.mark.parametrize(("x", "y"), [(signed(19), signed(8)), (signed(8), unsigned(0))])
def test_shapes_of_the_primitive(x, y):
    with pytest.raises(ValueError, match="1 to 18 bits, not"):
        Multiplier(x, y)


@pytest.mark.parametrize(("x", "y"), SHAPES)
def test_the_primitive_multiplies_alike(x, y):
    assert first_difference(lambda: Multiplier(x, y), cycles=10_000) is None


def test_a_wrong_primitive_is_noticed(monkeypatch):
    """The comparison can fail: a register less, and a product of unsigned numbers."""
    original = multiplier_module.Instance
    for wrong in ({"p_REG_PIPELINE_CLK": "NONE"}, {"i_SIGNEDA": 0}):
        monkeypatch.setattr(multiplier_module, "Instance", lambda kind, wrong=wrong, **ports: original(kind, **(ports | wrong)))
        assert first_difference(lambda: Multiplier(signed(18), signed(8)), cycles=2000) is not None

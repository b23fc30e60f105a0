"""The requantizer is its definition: for small numbers in every combination, and for every sum with some multipliers.

The definition is TensorFlow Lite's, written down here as arithmetic on whole numbers without a pipeline: two roundings,

    high = floor((x * 2**left * multiplier + 2**30) / 2**31)
    y    = (high + 2**(right - 1) - (high < 0)) >> right

or one, y = floor(x * 2**left * multiplier / 2**(31 + right) + 1/2).
"""

import pytest
from amaranth.hdl import Cat, Const, Mux, Signal, signed
from celosia.hw.post.requantize import RequantizeLane
from formal.cases import Case, holding, needs_solver, refuted
from formal.exhaust import Sweep, first_wrong
from formal.prover import Proof
from mutation.gateware import Fault, Gateware, planted

LEAST_SHIFT, MOST_SHIFT = -31, 7

FAULTS = (
    Fault(
        file="post/requantize.py",
        old="Cat(twice, twice & (x < 0)).as_signed()",
        new="Cat(twice, 0).as_signed()",
        what="negative sums are nudged upwards",
    ),
    Fault(
        file="post/requantize.py",
        old="Mux(below, self.i_range.low, Mux(above, self.i_range.high, inside))",
        new="Mux(below, self.i_range.low, inside)",
        what="no saturation at the upper end",
    ),
    Fault(
        file="post/requantize.py",
        old="y_flip=negative, carry=negative)",
        new="y_flip=negative, carry=1)",
        what="a carry of its own",
    ),
)


def _definition(m, x, multiplier, shift, once, zero_point, low, high):
    """The int8 that is meant; `shift` is positive to the left."""
    bits = len(x) + 7 + 31 + 2
    left, right = Signal(3), Signal(5)
    m.d.comb += [left.eq(Mux(shift > 0, shift.as_unsigned()[:3], 0)), right.eq(Mux(shift < 0, -shift, 0))]
    product = Signal(signed(bits))
    m.d.comb += product.eq((x * multiplier) << left)
    high_part, twice, single = Signal(signed(bits)), Signal(signed(bits)), Signal(signed(bits))
    half = Signal(31)
    m.d.comb += [
        high_part.eq((product + (1 << 30)) >> 31),
        half.eq((Const(1) << right) >> 1),
        twice.eq((high_part + half - ((high_part < 0) & (right != 0))) >> right),
        single.eq(((product >> right) + (1 << 30)) >> 31),
    ]
    result, meant = Signal(signed(bits)), Signal(signed(8))
    m.d.comb += [
        result.eq(Mux(once, single, twice) + zero_point),
        meant.eq(Mux(result < low, low, Mux(result > high, high, result))),
    ]
    return meant


def small(hw):
    """Case: sum (8 bits, signed), multiplier (its 6 upper bits), shift (all), one rounding or two, either of two ranges."""
    module = hw("post.requantize")
    latency = module.RequantizeLane.LATENCY
    sweep = Sweep(22, latency=latency, settle=latency)
    m = sweep.m
    m.submodules.dut = dut = module.RequantizeLane()
    case = sweep.case
    once = case[-1]  # holds still for half of the cases, as a layer's does
    x, multiplier, shift = Signal(signed(8)), Signal(31), Signal(signed(6))
    m.d.comb += [
        x.eq(case[:8]),
        multiplier.eq(Cat(Const(0, 25), case[8:14])),
        shift.eq(Mux(case[14:20].as_signed() > MOST_SHIFT, case[14:17].as_signed(), case[14:20].as_signed())),
        dut.i_sum.eq(x - 3),
        dut.i_channel.bias.eq(3),
        dut.i_channel.multiplier.eq(multiplier),
        dut.i_channel.shift.eq(Mux(shift < LEAST_SHIFT, LEAST_SHIFT, shift)),
    ]
    zero_point, low, high = Signal(signed(8)), Signal(signed(8)), Signal(signed(8))
    m.d.comb += [zero_point.eq(Mux(case[-2], -5, 0)), low.eq(Mux(case[-2], -30, -128)), high.eq(Mux(case[-2], 40, 127))]
    range_of = dut.i_range
    m.d.comb += [range_of.round_once.eq(once), range_of.zero_point.eq(zero_point), range_of.low.eq(low), range_of.high.eq(high)]
    meant = _definition(m, x, multiplier, dut.i_channel.shift, once, zero_point, low, high)
    # The range holds still for a layer: between two of them nothing counts.
    layer = sweep.late(case[-2:], 2 * latency) == case[-2:]
    sweep.expect(~layer | (dut.o == sweep.late(meant, latency)))
    return sweep


def all_sums(multiplier, shift):
    """A proof for every sum that takes one pass, every bias, zero point and range, with a multiplier and a shift."""

    def make(hw):
        module = hw("post.requantize")
        p = Proof()
        p.m.submodules.dut = dut = module.RequantizeLane()
        once = p.fixed(1, "once")
        x, bias = p.fixed(signed(module.NARROW_BITS), "x"), p.fixed(signed(12), "bias")
        zero_point, low, high = (p.fixed(signed(8), name) for name in ("zero_point", "low", "high"))
        factor, places = p.free(31, "factor"), p.free(signed(6), "places")
        p.require((low <= high) & (factor == multiplier) & (places == shift))
        p.m.d.comb += [
            dut.i_sum.eq(x - bias),
            dut.i_channel.bias.eq(bias),
            dut.i_channel.multiplier.eq(factor),
            dut.i_channel.shift.eq(places),
            dut.i_range.round_once.eq(once),
            dut.i_range.zero_point.eq(zero_point),
            dut.i_range.low.eq(low),
            dut.i_range.high.eq(high),
        ]
        number = Signal(range(module.RequantizeLane.LATENCY + 1))
        p.m.d.sync += number.eq(number + (number != module.RequantizeLane.LATENCY))
        meant = _definition(p.m, x, factor, places, once, zero_point, low, high)
        p.check((number != module.RequantizeLane.LATENCY) | (dut.o == meant))
        return p

    return make


PAIRS = ((1 << 30, 1), (1 << 30, -4), ((1 << 30) + (1 << 13), -7), (3 << 29, -12))
"""Multipliers of few bits, and shifts both ways."""

CASES = tuple(
    Case(
        name=f"every sum times {multiplier} with shift {shift}",
        make=all_sums(multiplier, shift),
        cycles=RequantizeLane.LATENCY + 2,  # the answer's cycle is among them
        faults=FAULTS[1:2] if not number else (),
        slow=number > 0,
    )
    for number, (multiplier, shift) in enumerate(PAIRS)
)


def test_small_numbers():
    assert first_wrong(small(Gateware())) is None


@pytest.mark.parametrize(
    "fault", [pytest.param(f, marks=[pytest.mark.slow] if n else []) for n, f in enumerate(FAULTS)], ids=str
)
def test_a_fault_breaks_small_numbers(fault):
    with planted(fault) as gateware:
        assert first_wrong(small(gateware)) is not None


@needs_solver
@pytest.mark.parametrize("case", holding(CASES))
def test_every_sum(case):
    case.check()


@needs_solver
@pytest.mark.parametrize(("case", "fault"), refuted(CASES, quick=1))
def test_a_fault_breaks_a_sum(case, fault):
    case.check_fault(fault)

"""The cell's sums unpack to its products, for every activation, with every pair of weights of 8 bits and every one of 16."""

import pytest
from amaranth.hdl import Signal, signed
from formal.exhaust import Sweep, first_wrong
from mutation.gateware import Fault, Gateware, planted

FAULTS = (
    Fault(
        file="mac/cell.py",
        old="second = (word[LOW_BITS : LOW_BITS + FOLD_BITS] + word[LOW_BITS - 1])[:FOLD_BITS]",
        new="second = word[LOW_BITS : LOW_BITS + FOLD_BITS]",
        what="the borrow of packing stays in the residue",
    ),
    Fault(
        file="mac/cell.py",
        old="high = delay(m, (rows[2] + (rows[3] << 1) + (rows[4] << 2))",
        new="high = delay(m, (rows[2] + (rows[3] << 1))",
        what="a row of the residue is missing",
    ),
    Fault(
        file="mac/cell.py",
        old="sums.high.eq(self.i_sums.high + (product >> LOW_BITS))",
        new="sums.high.eq(self.i_sums.high + (product.as_unsigned() >> LOW_BITS))",
        what="the upper part loses its sign",
    ),
)


def _feed(sweep, cell, word, activation):
    """A word is written and read in every cycle, at one of four places."""
    place = sweep.case[:2]
    sweep.m.d.comb += [
        cell.write.enable.eq(1),
        cell.write.address.eq(place),
        cell.write.data.eq(word),
        cell.i_address.eq(sweep.late(place, 1)),
        cell.i_activation.eq(sweep.late(activation, 1 + cell.ACTIVATION_LAG)),
    ]


def products(hw, *, carries=False):
    """Case: activation, second weight, first weight, a byte each; a weight of -128 stands for none."""
    cell = hw("mac.cell")
    latency = cell.PairCell.LATENCY + cell.PairCell.FOLD_LAG + 1  # the word is written a cycle before its address is given
    sweep = Sweep(24, latency=latency)
    m = sweep.m
    m.submodules.dut = dut = cell.PairCell(rows=4, depth=4, carries=carries)
    first, second, activation = (Signal(signed(8), name=name) for name in ("first", "second", "activation"))
    m.d.comb += [first.eq(sweep.case[:8]), second.eq(sweep.case[8:16]), activation.eq(sweep.case[16:])]
    _feed(sweep, dut, (second << cell.LOW_BITS) + first, activation)
    sums = dut.o_sums
    low, high = (sweep.late(value, cell.PairCell.FOLD_LAG) for value in (sums.low, sums.high))
    meant = [Signal(signed(16), name=f"meant_{index}") for index in range(2)]
    m.d.comb += [meant[0].eq(activation * first), meant[1].eq(activation * second)]
    meant = [sweep.late(value, latency) for value in meant]
    counts = sweep.late((first != -128) & (second != -128), latency)
    got = [Signal(signed(18), name=f"got_{index}") for index in range(2)]
    m.d.comb += [got[0].eq(low + (sums.fold << cell.LOW_BITS)), got[1].eq(high - sums.fold)]
    sweep.expect(~counts | ((got[0] == meant[0]) & (got[1] == meant[1])))
    return sweep


def whole_products(hw):
    """The same with a weight of 16 bits: case is the activation and the weight."""
    cell = hw("mac.cell")
    latency = cell.PairCell.LATENCY + 1
    sweep = Sweep(24, latency=latency)
    m = sweep.m
    m.submodules.dut = dut = cell.PairCell(rows=4, depth=4)
    weight, activation = Signal(signed(16)), Signal(signed(8))
    m.d.comb += [weight.eq(sweep.case[:16]), activation.eq(sweep.case[16:])]
    _feed(sweep, dut, weight, activation)
    meant, got = Signal(signed(24)), Signal(signed(28))
    m.d.comb += [meant.eq(activation * weight), got.eq(dut.o_sums.low + (dut.o_sums.high << cell.LOW_BITS))]
    sweep.expect(got == sweep.late(meant, latency).as_signed())
    return sweep


def test_all_products():
    assert first_wrong(products(Gateware())) is None


def test_all_products_with_weights_of_sixteen_bits():
    assert first_wrong(whole_products(Gateware())) is None


def test_a_sign_that_is_lost_breaks_weights_of_sixteen_bits():
    with planted(FAULTS[-1]) as hw:
        assert first_wrong(whole_products(hw)) is not None


@pytest.mark.slow
def test_all_products_of_carry_chains():
    assert first_wrong(products(Gateware(), carries=True)) is None


@pytest.mark.parametrize(
    "fault", [pytest.param(f, marks=[pytest.mark.slow] if n else []) for n, f in enumerate(FAULTS)], ids=str
)
def test_a_fault_breaks_a_product(fault):
    with planted(fault) as gateware:
        assert first_wrong(products(gateware)) is not None

"""No commands and no program bring what carries them out to a standstill.

As long as the others do their part, something happens within a bound of cycles. In the place of program memory stands one that
gives any word at any time: whatever holds of it holds of every program.
"""

import contextlib
from types import SimpleNamespace

import pytest
from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from formal.cases import Case, holding, needs_solver, refuted
from formal.prover import Proof
from mutation.gateware import Fault


class AnyBank(wiring.Component):
    """In a Bank's place: a memory that gives whatever it likes."""

    LATENCY = 2

    def __init__(self, proof, bank, width, depth):
        self._proof, self._width = proof, width
        super().__init__(
            {"i_address": In(range(depth)), "o_data": Out(width), "write": In(bank.BankWrite(width=width, depth=depth))}
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o_data.eq(self._proof.free(self._width, f"given_{id(self)}"))
        return m


class AnyMemory(Elaboratable):
    """The same in the place of Amaranth's own memory."""

    def __init__(self, proof, shape, depth):
        self._proof, self._shape, self._depth = proof, shape, depth

    def read_port(self):
        return SimpleNamespace(addr=Signal(range(self._depth)), data=self._proof.free(self._shape, f"given_{id(self)}"))

    def write_port(self):
        return SimpleNamespace(addr=Signal(range(self._depth)), data=Signal(self._shape), en=Signal())

    def elaborate(self, platform):
        return Module()


@contextlib.contextmanager
def _replaced(module, name, by):
    before = getattr(module, name)
    setattr(module, name, by)
    try:
        yield
    finally:
        setattr(module, name, before)


def _elaborated(dut):
    """Elaborates at once, and keeps what it gives."""
    inside = dut.elaborate(None)
    dut.elaborate = lambda platform: inside
    return dut


def loader(hw):
    """Where everybody takes what it offers, the loader takes a word soon, whatever the words are: a WAIT has its look first."""
    p = Proof()
    module = hw("loader").Loader
    p.m.submodules.dut = dut = module(hw.config(program_words=8))
    p.gives_stream(dut.i, "i")
    for name in ("weights", "channels", "depthwise", "starts"):
        p.m.d.comb += getattr(dut, name).ready.eq(1)
    p.m.d.comb += [dut.activations_ready.eq(1), dut.waited.eq(1)]
    held = Signal(range(module.LOOK_CYCLES + 3))
    p.m.d.sync += held.eq(Mux(dut.i.ready, 0, held + 1))
    p.check(held <= module.LOOK_CYCLES + 1)
    return p


def _bounded(p, dut, cycles, *, ends):
    """Any program of any operations; engines end within three cycles; answers are taken within two. Then the sequencer rests,
    launches, or answers, within `cycles`."""
    program = dut.program
    p.m.d.comb += [
        program.enable.eq(p.free(1, "write")),
        program.address.eq(p.free(len(program.address), "address")),
        program.data.eq(p.free(32, "data")),
        dut.starts.payload.eq(p.free(len(dut.starts.payload), "start")),
        dut.starts.valid.eq(p.free(1, "starts")),
        dut.o.ready.eq(p.free(1, "ready")),
    ]
    p.require(~p.started | ~p.past(dut.o.valid & ~dut.o.ready) | dut.o.ready)
    launched = dut.launch | dut.launch_store
    running, store, worked = Signal(), Signal(), Signal(2)
    end = running & (p.free(1, "end") | (worked == 2))
    p.m.d.sync += worked.eq(worked + 1)
    with p.m.If(launched):
        p.m.d.sync += [running.eq(1), store.eq(dut.launch_store), worked.eq(0)]
    with p.m.Elif(end):
        p.m.d.sync += running.eq(0)
    ends(end, store)
    p.check(~(launched & running))
    quiet = Signal(range(cycles + 2))
    p.m.d.sync += quiet.eq(quiet + (quiet <= cycles))
    with p.m.If(dut.idle | dut.starts.ready | launched | running | dut.o.valid):
        p.m.d.sync += quiet.eq(0)
    p.check(quiet <= cycles)


def sequencer(hw):
    p = Proof()
    module = hw("sequencer")
    bank = hw("primitives.bank")
    any_bank = lambda *, width, depth, site="": AnyBank(p, bank, width, depth)  # noqa: E731
    any_bank.LATENCY = AnyBank.LATENCY
    with _replaced(module, "Bank", any_bank):
        dut = _elaborated(module.Sequencer(hw.config(program_words=32, record_depth=2)))
    p.m.submodules.dut = dut

    def ends(end, store):
        p.m.d.comb += [dut.done.eq(end & ~store), dut.store_done.eq(end & store)]

    _bounded(p, dut, module.Sequencer.FETCH_CYCLES + module.Sequencer.LAUNCH_CYCLES, ends=ends)
    return p


def compact_sequencer(hw):
    p = Proof()
    module = hw("compact.sequencer")
    any_memory = lambda *, shape, depth, init: AnyMemory(p, shape, depth)  # noqa: E731
    with _replaced(module, "Memory", any_memory):
        dut = _elaborated(module.CompactSequencer(hw.config(program_words=32, record_depth=2)))
    p.m.submodules.dut = dut

    def ends(end, store):
        p.m.d.comb += dut.done.eq(end)

    _bounded(p, dut, module.CompactSequencer.FETCH_CYCLES + 8, ends=ends)
    return p


CASES = (
    Case(
        name="the loader takes any words",
        make=loader,
        cycles=7,
        induction=True,
        faults=(
            Fault(
                file="loader.py",
                old="self.i.ready.eq(takes & ~blocked)",
                new="self.i.ready.eq(takes & ~blocked & (left != 7))",
                what="one word of a packet is waited for",
            ),
            Fault(
                file="loader.py",
                old="looks[-1] & self.waited)):",
                new="looks[-1] & ~self.waited)):",
                what="WAIT waits until something runs",
            ),
        ),
    ),
    Case(
        name="the sequencer goes on to the next layer",
        make=sequencer,
        cycles=66,
        faults=(
            Fault(
                file="sequencer.py",
                old="with m.Elif(walk[-1]):",
                new="with m.Elif(walk[-1] & (coming.operation != Operation.MAX)):",
                what="an operation that is never complete",
            ),
            Fault(
                file="sequencer.py",
                old="more = delay(m, coming.operation != Operation.END, 1",
                new="more = delay(m, coming.operation == Operation.STORE, 1",
                what="the next descriptor is fetched behind a STORE alone",
            ),
        ),
    ),
    Case(
        name="the compact sequencer goes on",
        make=compact_sequencer,
        cycles=60,
        faults=(
            Fault(
                file="compact/sequencer.py",
                old="with m.If(word == DESCRIPTOR_WORDS - 1):",
                new="with m.If(word == 2 * DESCRIPTOR_WORDS):",
                what="a fetch that never ends",
            ),
        ),
    ),
)


@needs_solver
@pytest.mark.parametrize("case", holding(CASES))
def test_something_happens(case):
    case.check()


@needs_solver
@pytest.mark.parametrize(("case", "fault"), refuted(CASES, quick=3))
def test_a_fault_breaks_it(case, fault):
    case.check_fault(fault)

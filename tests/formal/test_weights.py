"""The weight buffer's ring: no word is overwritten before its last read is over, and none is read before it is there.

For any stream of weights, any pauses on both sides, tiles of any size that fits, and rings that begin anywhere.
"""

from dataclasses import replace

import pytest
from amaranth.hdl import Mux, Signal
from formal.cases import Case, holding, needs_solver, refuted
from formal.prover import Proof
from mutation.gateware import Fault

STEP_LATENCY = 5
LOAD_LATENCY = 2
DEPTH = 4
QUADS = 4


def ring(hw):
    p = Proof()
    m = p.m
    m.submodules.dut = dut = hw("memory.weights").WeightBuffer(hw.config(weight_depth=DEPTH), step_latency=STEP_LATENCY)
    base = p.fixed(2, "base")
    p.require(base <= DEPTH - 2)
    m.d.comb += [dut.set_ring.eq(~p.started), dut.ring_base.eq(base), dut.load_ring.eq(1)]

    def following(pointer):
        return Mux(pointer == DEPTH - 1, base, pointer + 1)

    # The loader's side: stream words at will.
    offered = p.free(1, "offered")
    m.d.comb += dut.i.valid.eq(offered & p.started)
    target, quad = Signal(2), Signal(range(QUADS))
    taken, first, last = dut.i.valid & dut.i.ready, quad == 0, quad == QUADS - 1
    with m.If(~p.started):
        m.d.sync += target.eq(base)
    with m.Elif(taken):
        m.d.sync += quad.eq(quad + 1)
        with m.If(last):
            m.d.sync += target.eq(following(target))
    p.check(dut.load.enable == taken)
    p.check(~taken | ((dut.load.address == target) & (dut.load.row == quad)))

    # The walker's side: tiles of so many steps and results, one behind the other.
    steps, results = p.fixed(2, "steps"), p.fixed(1, "results")  # less one
    p.require(steps < DEPTH - base)
    active, step, result, word, begin = Signal(), Signal(2), Signal(), Signal(2), Signal(2)
    start = p.free(1, "start") & p.started & ~active
    taking = p.free(1, "taking") & active & dut.ready
    result_end, release = step == steps, result == results
    m.d.comb += [
        dut.request.start.eq(start),
        dut.request.ring.eq(1),
        dut.request.step.eq(taking),
        dut.request.result_end.eq(result_end),
        dut.request.release.eq(release),
    ]
    with m.If(~p.started):
        m.d.sync += [word.eq(base), begin.eq(base)]
    with m.Elif(start):
        m.d.sync += active.eq(1)
    with m.Elif(taking):
        m.d.sync += [step.eq(Mux(result_end, 0, step + 1)), word.eq(following(word))]
        with m.If(result_end):
            m.d.sync += result.eq(Mux(release, 0, result + 1))
            with m.If(release):
                m.d.sync += begin.eq(following(word))
            with m.Else():
                m.d.sync += word.eq(begin)
    named, naming = Signal(2), Signal()  # a cycle later
    m.d.sync += [named.eq(word), naming.eq(active)]
    p.check(~naming | (dut.address == named))

    # One word of the ring, whichever: who has it.
    watched = p.fixed(2, "watched")
    held, arriving = Signal(), Signal(LOAD_LATENCY)
    there, reading = Signal(), Signal(range(STEP_LATENCY + 1))
    loads = taken & (target == watched)
    reads = taking & (word == watched)
    m.d.sync += [arriving.eq(arriving << 1 | (loads & last)), there.eq(there | arriving[-1])]
    with m.If(reading != 0):
        m.d.sync += reading.eq(reading - 1)
    with m.If(reading == 1):
        m.d.sync += held.eq(0)
    with m.If(loads & first):
        m.d.sync += held.eq(1)
    with m.If(reads & release):
        m.d.sync += [there.eq(0), reading.eq(STEP_LATENCY)]
    p.check(~(loads & first & held))  # no overflow
    p.check(~reads | there | arriving[-1])  # no underflow
    return p


CASE = Case(
    name="the ring neither overflows nor underflows",
    make=ring,
    cycles=18,
    faults=(
        Fault(
            file="memory/weights.py",
            old="free.eq(config.weight_depth - self.ring_base)",
            new="free.eq(config.weight_depth - self.ring_base + 1)",
            what="the ring takes a word too many",
        ),
        Fault(
            file="memory/weights.py",
            old="drained = delay(m, released, self._step_latency",
            new="drained = delay(m, released, 0",
            what="a word is free while the array reads it",
        ),
        Fault(
            file="memory/weights.py",
            old="Mux(pointer == self._config.weight_depth - 1, first, pointer + 1)",
            new="Mux(pointer == self._config.weight_depth - 1, 0, pointer + 1)",
            what="the ring wraps to the buffer's first word",
        ),
    ),
)


def unread(hw):
    """Words in any number and steps at any time: a step takes no word that is not there, and what is there can be taken."""
    p = Proof()
    p.m.submodules.dut = dut = hw("memory.unread").UnreadWords(_RING)
    names = ("arrived", "start", "ring", "step", "result_end", "release")
    free = {name: p.free(1, name) for name in names}
    count, fresh, quiet = Signal(range(_RING + 1)), Signal(), Signal(range(5))
    arrived, start = free["arrived"] & (count < _RING), free["start"] & p.started
    step = free["step"] & dut.ready & ~start & p.started
    p.m.d.comb += [
        dut.arrived.eq(arrived),
        dut.start.eq(start),
        dut.step.eq(step),
        *(getattr(dut, name).eq(free[name]) for name in ("ring", "result_end", "release")),
    ]
    ring = Signal()  # holds still during a layer
    p.require(start | (free["ring"] == ring))
    with p.m.If(start):
        p.m.d.sync += [ring.eq(free["ring"]), fresh.eq(free["ring"])]
    with p.m.Elif(step & free["result_end"]):
        p.m.d.sync += fresh.eq(free["release"] & ring)
    p.m.d.sync += count.eq(count + arrived - (step & fresh))
    p.check(~(step & fresh) | (count != 0))
    with p.m.If(step | start | arrived):
        p.m.d.sync += quiet.eq(0)
    with p.m.Elif(quiet != 4):
        p.m.d.sync += quiet.eq(quiet + 1)
    p.check((quiet != 4) | dut.ready | (fresh & (count == 0)))
    return p


_RING = 7

UNREAD = Case(
    name="no word is taken that is not there",
    make=unread,
    cycles=14,
    faults=(
        Fault(
            file="memory/unread.py",
            old="self.ready.eq(~stays | Mux(fresh, two, one))",
            new="self.ready.eq(~stays | one)",
            what="ready although the last word there is being taken",
        ),
        Fault(
            file="memory/unread.py",
            old="some.eq(Mux(gives & ~self.arrived, far[1:].any(), far.any()))",
            new="some.eq(far.any())",
            what="a word too many comes near when the last one has come",
        ),
        Fault(
            file="memory/unread.py",
            old="(near + give < _NEAR)",
            new="(near < _NEAR)",
            what="more words come near than are counted",
        ),
    ),
)
CASES = (CASE, UNREAD)
STREAMS = {("memory/weights.py", "WeightBuffer", "i"): CASE}


LONGER = replace(CASE, name="the largest ring comes round", cycles=24, faults=(), slow=True)
"""In 18 cycles smaller rings come round, in 24 also the one of all words, which takes 16 cycles to fill."""


@needs_solver
@pytest.mark.parametrize("case", holding([*CASES, LONGER]))
def test_no_overflow_and_no_underflow(case):
    case.check()


@needs_solver
@pytest.mark.parametrize(("case", "fault"), refuted(CASES, quick=1))
def test_a_fault_breaks_it(case, fault):
    case.check_fault(fault)

"""The streams between the blocks of a fabric, and its own: the wires keep the contract that the blocks keep.

In the blocks' place are stands, which give whatever keeps to what other proofs have shown of the blocks: the contract on every
stream that they give, that who is always ready is, and that a sequencer is silent while a layer runs, a store while none does.
"""

from dataclasses import replace

import pytest
from amaranth.hdl import Cat, Signal
from amaranth.lib.wiring import In, Out
from formal.cases import Case, holding, needs_solver, refuted
from formal.prover import Proof
from formal.stands import standing, streams_of
from mutation.gateware import Fault

ALWAYS_READY = (("PostProcessor", "channels"), ("DepthwiseUnit", "i"))
"""Shown in `test_ready`."""

TAKEN_BACK = (("WeightBuffer", "i"),)
"""Of the compact fabric, whose memory of weights has one port: when the walker reads, a word for it waits. The buffer's proof
lets words be taken back."""

BLOCKS = [
    *("Loader", "Sequencer", "ActivationMemory", "WeightBuffer", "WindowWalker", "SystolicArray", "VectorUnit"),
    *("PostProcessor", "DepthwiseUnit", "Store", "StreamBuffer", "InTurn"),
]
COMPACT_BLOCKS = [
    *("Loader", "CompactSequencer", "ByteMemory", "WeightBuffer", "SinglePortMemory", "ByteWalker", "Columns"),
    *("SerialRequantizer", "CompactStore"),
]


def _wires(p, dut, made, *, except_for):
    """Stands keep the contract, and so do all streams between them."""
    p.m.submodules.dut = dut
    p.gives_stream(dut.i, "i")
    p.m.d.comb += dut.o.ready.eq(p.free(1, "ready"))
    p.keeps_stream_contract(dut.o)
    for stand in made:
        kind = type(stand).__name__
        for _, given in streams_of(stand, Out):
            p.requires_stream_contract(given)
        for name, taken in streams_of(stand, In):
            if (kind, name) in ALWAYS_READY:
                p.require(taken.ready)
            if (kind, name) not in except_for:
                p.keeps_stream_contract(taken)


def _one_after_the_other(p, sequencer, store, done, *, store_done_latency):
    """The sequencer launches one thing at a time, and gives no word until it is done; a store gives words until its last."""
    running, storing = Signal(), Signal()
    last = p.free(1, "last")
    launches = sequencer.launch | sequencer.launch_store
    with p.m.If(launches):
        p.m.d.sync += [running.eq(1), storing.eq(sequencer.launch_store)]
    with p.m.Else():
        p.m.d.sync += [running.eq(running & ~(done | store.done)), storing.eq(storing & ~last)]
    p.require(~(sequencer.launch & sequencer.launch_store) & ~(launches & running))
    p.require(~(sequencer.o.valid & (launches | running)))
    p.require(store.active == storing)
    p.require(~store.o.valid | storing)
    p.require(~last | (store.o.valid & store.o.ready))
    p.require(store.done == (p.past(last) if store_done_latency else last))
    p.require(~done | (running & ~storing))


def _made(made, kind):
    return next(stand for stand in made if type(stand).__name__ == kind)


def fabric(hw):
    p = Proof()
    module = hw("fabric")
    with standing(p, module, *BLOCKS) as made:
        dut = module.Fabric(hw.config(activation_bytes=64, weight_depth=8, tile_depth=8, program_words=8))
        inside = dut.elaborate(None)
    dut.elaborate = lambda platform: inside
    _wires(p, dut, made, except_for=())
    store, done = _made(made, "Store"), _made(made, "PostProcessor").done
    _one_after_the_other(p, _made(made, "Sequencer"), store, done, store_done_latency=store.DONE_LATENCY)
    loader = _made(made, "Loader")
    load = Cat(loader.activations.address, loader.activations.data.as_value())
    waits = p.past(loader.activations.enable & ~loader.activations_ready)
    p.require(~p.started | ~waits | (loader.activations.enable & (load == p.past(load))))
    return p


def compact_fabric(hw):
    p = Proof()
    module = hw("compact.fabric")
    sizes = {"activation_bytes": 64, "weight_depth": 8, "tile_depth": 8, "program_words": 8}
    with standing(p, module, *COMPACT_BLOCKS) as made:
        dut = module.CompactFabric(replace(hw("presets").preset("up5k"), **sizes))
        inside = dut.elaborate(None)
    dut.elaborate = lambda platform: inside
    _wires(p, dut, made, except_for=TAKEN_BACK)
    sequencer, store = _made(made, "CompactSequencer"), _made(made, "CompactStore")
    _one_after_the_other(p, sequencer, store, sequencer.done & ~store.done, store_done_latency=0)
    return p


CASES = {
    ("fabric.py", "Fabric", "i o"): Case(
        name="a fabric's wires keep the contract",
        make=fabric,
        cycles=10,
        faults=(
            Fault(
                file="fabric.py",
                old="connect(m, store.o, answers.first)",
                new="m.d.comb += answers.first.valid.eq(store.o.valid & store.read.end[0])",
                what="a store's word is taken back",
            ),
        ),
    ),
    ("compact/fabric.py", "CompactFabric", "i o"): Case(
        name="a compact fabric's wires keep the contract",
        make=compact_fabric,
        cycles=4,
        induction=True,
        faults=(
            Fault(
                file="compact/fabric.py",
                old="with m.If(store.active):\n            m.d.comb += [self.o.valid",
                new="with m.If(walker.busy):\n            m.d.comb += [self.o.valid",
                what="the answer's stream changes hands while a word waits",
            ),
        ),
    ),
}


@needs_solver
@pytest.mark.parametrize("case", holding(CASES.values()))
def test_wires_keep_the_contract(case):
    case.check()


@needs_solver
@pytest.mark.parametrize(("case", "fault"), refuted(CASES.values(), quick=1))
def test_a_fault_breaks_it(case, fault):
    case.check_fault(fault)

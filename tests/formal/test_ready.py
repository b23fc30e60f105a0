"""Memories that always take what comes say so: whoever gives to them does not look whether they are ready."""

from dataclasses import replace

import pytest
from formal.cases import Case, holding, needs_solver, refuted
from formal.prover import Proof
from formal.stands import drive
from mutation.gateware import Fault

_READY = "ready.eq(1)"
_SIZES = {"tile_depth": 8, "depthwise_tiles": 2, "line_depth": 16, "activation_bytes": 64, "partial_depth": 4}


def _always(module, kind, stream, *, compact=False):
    def make(hw):
        p = Proof()
        config = hw.config(**_SIZES)
        if compact:
            config = replace(hw("presets").preset("up5k"), tile_depth=8, activation_bytes=64)
        p.m.submodules.dut = dut = getattr(hw(module), kind)(config)
        drive(p, dut)
        p.check(getattr(dut, stream).ready)
        return p

    return make


def _case(file, kind, stream, old, *, compact=False, where=""):
    module = file.removesuffix(".py").replace("/", ".")
    fault = Fault(file=where or file, old=old, new=old.replace("eq(1)", "eq(~self.start)"), what="not ready at a start")
    return Case(
        name=f"{kind} is always ready",
        make=_always(module, kind, stream, compact=compact),
        cycles=2,
        induction=True,
        faults=(fault,),
    )


CASES = {
    (file, kind, stream): _case(file, kind, stream, old, **more)
    for file, kind, stream, old, more in (
        ("post/channels.py", "ChannelParameters", "i", f"self.i.{_READY}", {}),
        ("post/post.py", "PostProcessor", "channels", f"self.i.{_READY}", {"where": "post/channels.py"}),
        ("mac/depthwise.py", "DepthwiseUnit", "i", f"self.i.{_READY}", {}),
        ("compact/requantize.py", "SerialRequantizer", "channels", f"self.channels.{_READY}", {"compact": True}),
    )
}


@needs_solver
@pytest.mark.parametrize("case", holding(CASES.values()))
def test_always_ready(case):
    case.check()


@needs_solver
@pytest.mark.parametrize(("case", "fault"), refuted(CASES.values(), quick=1))
def test_a_fault_breaks_it(case, fault):
    case.check_fault(fault)

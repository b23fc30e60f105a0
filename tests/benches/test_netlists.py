"""Netlists of the vendors' cells: whole fabrics run layers; a wrong parameter of a cell shows."""

import pytest
from celosia.hw.fabric import Fabric
from celosia.sim import bench_runner
from celosia.sim.verilog import verilog_of

from benches.blocks import FABRICS, SYNTHESISED
from benches.launch import best_simulator, run
from benches.netlists import Synthesised, modelled, parameter, synthesise


def other(init):
    """A look-up table that says the opposite."""
    return init.translate(str.maketrans("01", "10"))


FAULTS = {
    "cell_on_ecp5": {
        "memory_register": parameter("DP16KD", "REGMODE_A", "REGMODE_B", value="NOREG"),
        "multiplier_register": parameter("MULT18X18D", "REG_PIPELINE_CLK", value="NONE"),
        "multiplier_input": parameter("MULT18X18D", "REG_INPUTB_CLK", value="NONE"),
        "table": parameter("LUT4", "INIT", value=other),
        "carry_table": parameter("CCU2C", "INIT0", value=other),
    },
    "columns_on_ice40": {
        "sign": parameter("SB_MAC16", "A_SIGNED", value=lambda bits: "0" * len(bits)),
        "operand_register": parameter("SB_MAC16", "B_REG", value=lambda bits: "0" * len(bits)),
        "carry": parameter("SB_MAC16", "TOPADDSUB_CARRYSELECT", value=lambda bits: "0" * len(bits)),
        "table": parameter("SB_LUT4", "LUT_INIT", value=other),
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("block", FAULTS)
def test_a_wrong_parameter_shows(block):
    """The block's bench, which passes on the netlist as it is, fails on every one of these."""
    chip, make = SYNTHESISED[block]
    netlist = synthesise(block, make(), chip)
    faults = {"none": None, **FAULTS[block]}
    tops = verilog_of({f"{fault}_{block}": Synthesised(make(), f"netlist_{fault}", block) for fault in faults})
    modules = [modelled(netlist, chip, change=change, module=f"netlist_{fault}") for fault, change in faults.items()]
    folder = bench_runner.build("\n".join([tops, *modules]), best_simulator())
    for fault in faults:
        ran = run("netlist", best_simulator(), folder=folder, instead=f"{fault}_{block}", only=rf"\.{block}/stalls=none$")
        assert len(ran.outcome.tests) == 1
        assert bool(ran.outcome.failures) == (fault != "none"), f"{fault}: {ran.outcome.failures}"


@pytest.mark.slow
@pytest.mark.parametrize(("block", "chip"), [("compact", "ice40"), ("fabric", "ecp5")])
def test_a_whole_fabric_runs_layers(block, chip):
    """A convolution and a fully-connected layer, and on the large one all others; both streams stall at random."""
    # Not the top itself, all of whose signals the simulator keeps: with a fabric's that is half a gigabyte of C++.
    top = verilog_of({block: Synthesised(Fabric(FABRICS[block]), "netlist", block)})
    netlist = modelled(synthesise(block, Fabric(FABRICS[block]), chip), chip, module="netlist")
    folder = bench_runner.build("\n".join([top, netlist]), best_simulator())
    test = "layers_on_compact" if block == "compact" else "layers"
    ran = run("fabric", best_simulator(), folder=folder, only=rf"\.{test}/.*stalls=random$")
    assert not ran.outcome.failures, ran.complaint()
    assert len(ran.outcome.tests) == {"compact": 3, "fabric": 8}[block]

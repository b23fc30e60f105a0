"""Carry chains lose the ends that nextpnr would add, and nothing else."""

import json

import pytest
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Elaboratable, Fragment, Module, Signal, signed
from celosia.boards.flows.carries import open_carries
from celosia.boards.tools import NEXTPNR_ECP5, YOSYS
from celosia.hw.primitives.products import CarryMultiplier
from celosia.sim import toolchain
from twins import Ecp5


class Design(Elaboratable):
    """A product of our chains, a sum of Yosys's, and a sum whose carry is read."""

    def __init__(self):
        self.x, self.y = Signal(signed(8)), Signal(signed(8))
        self.product, self.total, self.more = Signal(signed(16)), Signal(8), Signal(9)

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier = multiplier = CarryMultiplier(self.x.shape(), self.y.shape())
        m.d.comb += [multiplier.i_x.eq(self.x), multiplier.i_y.eq(self.y), self.product.eq(multiplier.o)]
        m.d.sync += [self.total.eq(self.x + self.y), self.more.eq(self.x[:8] - self.y[:8])]
        return m


def synthesise(folder):
    design = Design()
    fragment = Fragment.get(design, Ecp5())
    fragment.add_domains(clock := ClockDomain("sync", reset_less=True))
    ports = [clock.clk, design.x, design.y, design.product, design.total, design.more]
    (folder / "top.il").write_text(rtlil.convert(fragment, ports=ports, emit_src=False))
    script = "read_rtlil top.il; synth_ecp5 -nowidelut -top top; write_json top.json"
    toolchain.run([*YOSYS.command(), "-q", "-p", script], "yosys", folder)
    return folder / "top.json"


def lut4(folder):
    """What nextpnr packs the netlist into."""
    options = ["--12k", "--package", "CABGA256", "--json", "top.json", "--pack-only", "--write", "packed.json"]
    toolchain.run([*NEXTPNR_ECP5.command(), "-q", *options], "nextpnr-ecp5", folder)
    cells = json.loads((folder / "packed.json").read_text())["modules"]["top"]["cells"]
    return sum(cell["type"] == "TRELLIS_COMB" for cell in cells.values())


def test_nextpnr_packs_as_much_less_as_is_told(tmp_path):
    netlist = synthesise(tmp_path)
    before = lut4(tmp_path)
    saved = open_carries(netlist)
    # Seven rows and sums of the product lose both ends, the two other sums their last carry.
    assert saved == 2 * (2 * 7 + 2)
    assert before - lut4(tmp_path) == saved
    assert open_carries(netlist) == 0


def chain(**changes):
    connections = {f"{pin}{side}": ["1"] for pin in "ABCD" for side in range(2)}
    connections |= {"CIN": ["0"], "S0": [10], "S1": [11], "COUT": [12]} | changes.pop("connections", {})
    directions = {port: "output" if port in ("S0", "S1", "COUT") else "input" for port in connections}
    cell = {"type": "CCU2C", "parameters": {"INIT0": f"{0:016b}"}, "connections": connections, "port_directions": directions}
    return cell | changes


@pytest.mark.parametrize(
    ("init", "inputs", "opened"),
    [
        (0x0000, {}, True),
        (0x000F, {"A0": [2]}, True),  # the LUT4's zeros are where C = D = 1
        (0x000F, {"A0": [2], "C0": ["0"], "D0": ["0"]}, False),
        (0x000A, {"A0": [2], "D0": [3]}, True),
        (0x000A, {"A0": [2], "C0": [3], "D0": [4]}, False),
        (0x96AA, {"A0": [2], "B0": [3], "C0": ["0"], "D0": ["1"]}, False),
    ],
)
def test_a_carry_that_counts_stays(tmp_path, init, inputs, opened):
    cell = chain(parameters={"INIT0": f"{init:016b}"}, connections=inputs)
    top = {"ports": {"o": {"bits": [10, 11, 12]}}, "cells": {"cell": cell}}
    (tmp_path / "top.json").write_text(json.dumps({"modules": {"top": top}}))
    assert open_carries(tmp_path / "top.json") == 2 * opened
    connections = json.loads((tmp_path / "top.json").read_text())["modules"]["top"]["cells"]["cell"]["connections"]
    assert connections["CIN"] == (["x"] if opened else ["0"])
    assert connections["COUT"] == [12]  # a port reads it

"""Components as Verilog: one top, ports by name, and an error where Yosys ends early."""

import re

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from celosia.sim import verilog
from celosia.sim.errors import ToolError


class Counter(wiring.Component):
    """Adds up what comes."""

    i: In(stream.Signature(8))
    total: Out(16)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(1)
        with m.If(self.i.valid):
            m.d.sync += self.total.eq(self.total + self.i.payload)
        return m


def test_components_lie_side_by_side():
    text = verilog.verilog_of({"one": Counter(), "two": Counter()})
    (ports,) = re.findall(r"(?m)^module top\((.*)\);", text)
    members = ("clk", "rst", "i__payload", "i__valid", "i__ready", "total")
    assert sorted(ports.split(", ")) == sorted(f"{name}__{member}" for name in ("one", "two") for member in members)
    for name in ("one", "two"):
        assert re.search(rf"posedge {name}_+clk", text)
        assert re.search(rf"(?m)^  output \[15:0\] {name}__total;", text)


def test_half_a_file_is_an_error(monkeypatch):
    monkeypatch.setattr(verilog.toolchain, "run", lambda *arguments: "")
    with pytest.raises(ToolError, match="without whole Verilog"):
        verilog.verilog_of({"one": Counter()})

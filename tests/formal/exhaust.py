"""Proves a property of gateware by trying every case: a sweep, compiled, that counts through all of them.

What a solver finds hard, as products are, takes a simulator seconds: a case a cycle.
"""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from amaranth.hdl import ClockDomain, Elaboratable, Module, Signal
from celosia.sim import toolchain
from celosia.sim.model import rtlil_of

_MAIN = """
#include "sweep.cc"
#include <cstdio>
int main() {
    cxxrtl_design::p_top top;
    for (unsigned long long cycle = 0; cycle < CYCLESull; cycle++) {
        top.p_clk.set<bool>(false); top.step();
        top.p_clk.set<bool>(true); top.step();
        if (top.p_wrong.get<bool>()) { std::printf("%llu\\n", cycle); return 0; }
    }
    return 0;
}
"""


class Sweep(Elaboratable):
    """A module `m` that drives a component by `case`, which counts, and sets `wrong` where it answers something else.

    Parameters: `bits` of the case number; `latency`, cycles from a case to the answer; more cycles may pass in `settle` before
    the first case counts.
    """

    def __init__(self, bits: int, *, latency: int, settle: int = 0) -> None:
        self.m = Module()
        self.bits, self.latency, self.settle = bits, latency, settle
        self.case = Signal(bits)
        self.wrong = Signal()
        self._waiting = Signal(range(settle + latency + 2), init=settle + latency)
        self.m.d.sync += self.case.eq(self.case + 1)
        with self.m.If(self._waiting != 0):
            self.m.d.sync += self._waiting.eq(self._waiting - 1)

    @property
    def cycles(self) -> int:
        """Until every case has been answered, the first ones once more where the component had not settled."""
        return (1 << self.bits) + 2 * (self.settle + self.latency) + 4

    def late(self, value: Any, cycles: int) -> Any:
        """A value so many cycles later."""
        for _ in range(cycles):
            register = Signal.like(value)
            self.m.d.sync += register.eq(value)
            value = register
        return value

    def expect(self, condition: Any) -> None:
        """What must hold of the answers, `latency` cycles after their case."""
        with self.m.If((self._waiting == 0) & ~condition):
            self.m.d.sync += self.wrong.eq(1)

    def elaborate(self, platform: Any) -> Module:
        return self.m


def first_wrong(sweep: Sweep) -> int | None:
    """The cycle in which an answer is wrong first; None where all are right."""
    clock = ClockDomain("sync", reset_less=True)
    source = rtlil_of(sweep, lambda: {"clk": clock.clk, "wrong": sweep.wrong}, domains=[clock])
    with tempfile.TemporaryDirectory(prefix="celosia-sweep-") as name:
        folder = Path(name)
        (folder / "sweep.il").write_text(source)
        (folder / "main.cc").write_text(_MAIN.replace("CYCLES", str(sweep.cycles)))
        script = "read_rtlil sweep.il; hierarchy -top top; proc; flatten; opt_clean; write_cxxrtl -g0 sweep.cc"
        toolchain.run([*toolchain.yosys(), "-q", "-p", script], "Yosys", folder)
        flags = ["-std=c++14", "-O2", "-DNDEBUG", "-w", f"-I{toolchain.cxxrtl_headers()}"]
        toolchain.run([*toolchain.cxx(), *flags, "main.cc", "-o", "sweep"], "the C++ compiler", folder)
        said = subprocess.run([folder / "sweep"], capture_output=True, text=True, check=True).stdout
    return int(said) if said else None

"""Holds a component as a chip gets it against its portable twin: the same inputs every cycle, the same outputs.

CXXRTL simulates both side by side, with models of the chip's primitives: of the ECP5's those in `ecp5_cells`, of the iCE40's
those that Yosys brings. The inputs come from a shift register with feedback.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Cat, ClockDomain, ClockSignal, Fragment, Instance, Module, Signal, Value
from amaranth.lib.wiring import In
from celosia.sim import toolchain
from ecp5_cells import dp16kd, mult18x18d

_NOISE_BITS = 159  # of a shift register with feedback from its places 159 and 128: more than a component's inputs

_MAIN = """
#include "miter.cc"
#include <cstdio>
int main() {
    cxxrtl_design::p_top top;
    for (long cycle = 0; cycle < CYCLES; cycle++) {
        top.p_clk.set<bool>(false); top.step();
        top.p_clk.set<bool>(true); top.step();
        if (top.p_differs.get<bool>()) { std::printf("%ld\\n", cycle); return 0; }
    }
    return 0;
}
"""


class Ecp5:
    """As much of a platform as the primitives ask for, and the models of its cells."""

    family = "ecp5"
    boxes = "read_verilog -lib +/ecp5/cells_bb.v; read_verilog -overwrite +/ecp5/cells_sim.v"

    @staticmethod
    def cells():
        return mult18x18d() + dp16kd()


class UltraPlus:
    """The same for an iCE40 UltraPlus."""

    device = "iCE40UP5K"
    boxes = "read_verilog -lib +/ice40/cells_sim.v"

    @staticmethod
    def cells():
        """SB_MAC16 and SB_SPRAM256KA of Yosys. Off, the memory resets its output with the clock and keeps its content: Yosys
        makes registers of a memory that is written in a process with an asynchronous reset, or in two processes."""
        library = (toolchain.cxxrtl_headers().parents[3] / "ice40" / "cells_sim.v").read_text()

        def model(name, *changes):
            text = re.search(rf"^module {name} .*?^endmodule$", library, re.MULTILINE | re.DOTALL)[0]
            for pattern, form, expected in changes:
                text, count = re.subn(pattern, form, text, flags=re.DOTALL)
                assert count == expected, f"Yosys models {name} in another way: {pattern}"
            return text + "\n"

        return model("SB_MAC16") + model(
            "SB_SPRAM256KA",
            (r"always @\(negedge POWEROFF\) begin.*?\n\tend\n", "", 1),
            (r"posedge CLOCK, posedge off", "posedge CLOCK", 1),
        )


def _flat(component):
    """(name, signal, whether it is an input) of every port."""
    for path, member, value in component.signature.flatten(component):
        yield "__".join(map(str, path)), Value.cast(value), member.flow == In


def first_difference(make, *, cycles, settle=64, drive=None, platform=Ecp5):
    """Simulates `make()` in both forms; the cycle in which an output differs first after `settle` cycles, or None.

    `drive` is a function of (Module, random bits, component) that drives the inputs; otherwise all of them are random.
    """
    inner = make()
    fragment = Fragment.get(inner, platform())
    fragment.add_domains(clock := ClockDomain("sync", reset_less=True))
    ports = {name: signal for name, signal, _ in _flat(inner)}
    source = rtlil.convert(fragment, name="chip_form", ports=[clock.clk, *ports.values()], emit_src=False)

    m = Module()
    m.submodules.portable = portable = make()
    shifted = Signal(_NOISE_BITS, init=1)
    m.d.sync += shifted.eq(Cat(shifted[158] ^ shifted[127], shifted))
    # A shift register's neighbours are alike: mix what lies far apart.
    noise = Signal(_NOISE_BITS)
    m.d.sync += noise.eq(Cat(noise[71:], noise[:71]) ^ Cat(shifted[29:], shifted[:29]) ^ (shifted & noise))
    taken = 0
    connections = {"i_clk": ClockSignal()}
    differing = []
    if drive is not None:
        drive(m, noise, portable)
    for name, signal, is_input in _flat(portable):
        if is_input:
            if drive is None:
                m.d.comb += signal.eq(noise[taken : taken + len(signal)])
                taken += len(signal)
            connections[f"i_{ports[name].name}"] = signal
        else:
            other = Signal(len(signal), name=f"chip_{name}")
            connections[f"o_{ports[name].name}"] = other
            differing.append(signal.as_unsigned() != other)
    assert taken <= len(noise)
    m.submodules.chip = Instance("chip_form", **connections)
    cycle, differs = Signal(range(settle + 1)), Signal()
    with m.If(cycle != settle):
        m.d.sync += cycle.eq(cycle + 1)
    with m.Else():
        m.d.sync += differs.eq(differs | Cat(differing).any())
    top = Fragment.get(m, None)
    top.add_domains(top_clock := ClockDomain("sync", reset_less=True))
    miter = rtlil.convert(top, ports=[top_clock.clk, differs], emit_src=False)
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        (folder / "form.il").write_text(source)
        (folder / "miter.il").write_text(miter)
        (folder / "cells.v").write_text(platform.cells())
        (folder / "main.cc").write_text(_MAIN.replace("CYCLES", str(cycles)))
        script = (
            f"{platform.boxes}; "
            "read_verilog -sv -overwrite cells.v; read_rtlil form.il; read_rtlil miter.il; "
            "hierarchy -top top -check; proc; flatten; opt_clean; write_cxxrtl -g0 miter.cc"
        )
        toolchain.run([*toolchain.yosys(), "-q", "-p", script], "Yosys", folder)
        # Compilers take longer than what they compile runs, here where every cell of a chip is a few lines.
        command = [*toolchain.cxx(), "-std=c++14", "-O0", f"-I{toolchain.cxxrtl_headers()}", "main.cc", "-o", "twins"]
        toolchain.run(command, "the C++ compiler", folder)
        said = subprocess.run([folder / "twins"], capture_output=True, text=True, check=True).stdout
    return int(said) if said else None

"""The gateware as Verilog: what other simulators than ours read, and what a user can look at.

    components --> one top, a clock and a reset each --> RTLIL --> Yosys --> Verilog

A port of the top is called after the component and the path of its member: `lane__i_channel`, `walker__read__address`.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amaranth.hdl import ClockDomain, DomainRenamer, Module, Value
from amaranth.lib.wiring import Component, Out, connect, flipped

from . import toolchain
from .errors import ToolError
from .model import rtlil_of

# Names of Yosys's own are given anew: Icarus takes those with a dollar for functions of the system.
_PASSES = ("read_rtlil design.il", "proc", "memory_collect", "write_verilog -noattr design.v")


class SideBySide(Component):  # type: ignore[misc]  # Amaranth ships no types
    """Components side by side, none of which knows of the others. Each has its own clock and its own synchronous reset."""

    def __init__(self, components: Mapping[str, Any]):
        self._components = components
        self.domains = {name: ClockDomain(name) for name in components}
        super().__init__({name: Out(component.signature) for name, component in components.items()})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for name, component in self._components.items():
            m.domains += self.domains[name]
            m.submodules[name] = DomainRenamer(name)(component)
            connect(m, flipped(getattr(self, name)), component)
        return m

    def ports(self) -> dict[str, Any]:
        """Every port by its name: `NAME__clk`, `NAME__rst`, and the members."""
        clocks = {f"{name}__clk": domain.clk for name, domain in self.domains.items()}
        resets = {f"{name}__rst": domain.rst for name, domain in self.domains.items()}
        members = {"__".join(map(str, path)): Value.cast(value) for path, _, value in self.signature.flatten(self)}
        return clocks | resets | members


def verilog_of(components: Mapping[str, Any], *, platform: Any = None) -> str:
    """Components of the domain `sync` as Verilog; the module `top` has all of them. Raises ToolError."""
    top = SideBySide(components)
    source = rtlil_of(top, top.ports, platform)
    with tempfile.TemporaryDirectory(prefix="celosia-") as name:
        folder = Path(name)
        (folder / "design.il").write_text(source)
        toolchain.run([*toolchain.yosys(), "-q", "-p", "; ".join(_PASSES)], "Yosys", folder)
        output = folder / "design.v"
        verilog = output.read_text() if output.exists() else ""
    if not verilog.rstrip().endswith("endmodule"):
        raise ToolError("Yosys ended without an error and without whole Verilog: run it again, or install a native yosys")
    return verilog

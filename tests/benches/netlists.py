"""A block as its chip gets it: synthesised, with the vendor's cells in place of its logic, and again Verilog.

    component --> RTLIL, primitives instanced --> synth_ecp5 or synth_ice40 --> cells --> models of the cells --> Verilog

Ports have the names that `celosia.sim.verilog` gives them, so the benches run on it as on the block itself. What is simulated
are the netlist's cells with their parameters, joined by the netlist's wires; flattening replaces each by what its model does.
"""

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from celosia.boards.flows.carries import open_carries
from celosia.boards.flows.flow import HIDE_ELEMENTS
from celosia.sim import toolchain
from celosia.sim.model import rtlil_of
from celosia.sim.verilog import SideBySide
from twins import Ecp5, UltraPlus

CHIPS = {  # platform, synthesis as the boards' flows have it, and the family's other cells
    "ecp5": (Ecp5, "synth_ecp5 -nowidelut -top top", "+/ecp5/cells_sim.v"),
    "ice40": (UltraPlus, "synth_ice40 -device u -top top", "+/ice40/cells_sim.v"),
}

Cells = dict[str, dict[str, Any]]
"""A netlist's cells by name, as Yosys writes JSON: `type`, `parameters`, `connections`."""


class Synthesised(wiring.Component):
    """In a component's place its netlist, the Verilog module `module`; ports begin with `prefix`."""

    def __init__(self, component: Any, module: str, prefix: str):
        component._MustUse__used = True  # Amaranth warns of components that are never elaborated
        self._module, self._prefix = module, prefix
        super().__init__(component.signature)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        ports = {f"i_{self._prefix}__clk": ClockSignal(), f"i_{self._prefix}__rst": ResetSignal()}
        for path, member, value in self.signature.flatten(self):
            direction = "i" if member.flow == In else "o"
            ports["__".join((f"{direction}_{self._prefix}", *map(str, path)))] = Value.cast(value)
        m.submodules.netlist = Instance(self._module, **ports)
        return m


def synthesise(name: str, component: Any, chip: str) -> str:
    """A component's netlist, JSON of Yosys, as place and route would get it; ports begin with `name`."""
    platform, synthesis, _ = CHIPS[chip]
    top = SideBySide({name: component})
    source = rtlil_of(top, top.ports, platform())
    with tempfile.TemporaryDirectory(prefix="celosia-") as folder_name:
        folder = Path(folder_name)
        (folder / "top.il").write_text(source)
        _yosys(folder, "read_rtlil top.il", HIDE_ELEMENTS, synthesis, "write_json top.json")
        if chip == "ecp5":
            open_carries(folder / "top.json")
        return (folder / "top.json").read_text()


def modelled(netlist: str, chip: str, *, change: Callable[[Cells], None] | None = None, module: str = "top") -> str:
    """A netlist as Verilog, its cells replaced by their models; `change` may alter some of them before."""
    platform, _, library = CHIPS[chip]
    with tempfile.TemporaryDirectory(prefix="celosia-") as folder_name:
        folder = Path(folder_name)
        (folder / "cells.v").write_text(platform.cells())
        (folder / "top.json").write_text(_top_alone(netlist, change))
        models = (f"read_verilog -defer -overwrite {library}", "read_verilog -sv -overwrite cells.v")
        # Purged of the names of wires that join cells: most of a fabric's text is those.
        simulated = ("hierarchy -top top -check", "proc", "flatten", "opt_clean -purge", "write_verilog -noattr netlist.v")
        _yosys(folder, "read_json top.json", *models, *simulated)
        text = _SINGLE_PORT.sub(_noisy, (folder / "netlist.v").read_text())
        return re.sub(r"(?m)^module top\(", f"module {module}(", text, count=1)


_SINGLE_PORT = re.compile(r"reg \[15:0\] (\S+) +\[16383:0\];")


def _noisy(found: re.Match[str]) -> str:
    """The iCE40's single-port memory holds anything when power comes on: not unknown values, which nobody could tell from a
    signal that is never driven."""
    place = f"place_{found.start()}"
    loop = f"for ({place} = 0; {place} < 16384; {place} = {place} + 1)"
    return f"{found[0]} integer {place}; initial {loop} {found[1]} [{place}] = 40503 * {place} + 257;"


def parameter(kind: str, *names: str, value: str | Callable[[str], str]) -> Callable[[Cells], None]:
    """A fault: another value of parameters of the first cell of a kind."""

    def change(cells: Cells) -> None:
        cell = next(cell for cell in cells.values() if cell["type"] == kind)
        for name in names:
            before = cell["parameters"][name]
            cell["parameters"][name] = value if isinstance(value, str) else value(before)
            assert cell["parameters"][name] != before, f"{kind}.{name} was {before} before"

    return change


def _top_alone(text: str, change: Callable[[Cells], None] | None) -> str:
    """Without the boxes of its cells; and without the unknown value that `open_carries` joins to outputs which go nowhere:
    Yosys refuses it."""
    netlist = json.loads(text)
    top = netlist["modules"]["top"]
    if change is not None:
        change(top["cells"])
    for name, cell in top["cells"].items():
        if cell["type"] == "DP16KD":
            assert cell["connections"]["RSTA"] == cell["connections"]["RSTB"] == ["0"], f"{name}: its model has no reset"
        directions, connections = cell["port_directions"], cell["connections"]
        for port in [port for port, bits in connections.items() if bits == ["x"] and directions[port] == "output"]:
            del connections[port]
    return json.dumps({**netlist, "modules": {"top": top}})


def _yosys(folder: Path, *passes: str) -> None:
    toolchain.run([*toolchain.yosys(), "-q", "-p", "; ".join(passes)], "Yosys", folder)

"""A design's C++ model: Amaranth -> RTLIL -> CXXRTL.

What makes it fast to compile and to run, and leaves every cycle as it is:

    equal modules       Amaranth writes a module an instance; cells and lanes are the same but for names, and become one each
    hierarchy           those stay modules, so that their code is compiled once; everything else is flattened
    one pass            their outputs are all registers, so one evaluation settles the whole design (a test compares it with
                        the flat model); the only clock rises in every evaluation
    split nets          CXXRTL handles words of up to 32 bits fastest: wide nets fall apart along their drivers
    plain commit        a register's new value is copied, not compared with the old one; a memory without writes is left alone
"""

import re
import tempfile
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Fragment, Value

from ..hw.config import FabricConfig
from ..hw.fabric import Fabric
from . import toolchain
from .errors import ToolError

_PASSES = (
    # Memories begin as zeros anyway; their written-out contents would only slow the compiler.
    "delete t:$meminit_v2",
    "setattr -mod -set keep_hierarchy 1 *cell_* *lane_*",
    "hierarchy -top top",
    "proc",
    "flatten",
    "opt_expr",
    "opt_merge",
    "opt_clean",
    "splitcells",
    "splitnets -driver",
    "opt_expr",
    "opt_clean",
)

# Ports that Amaranth makes where an expression crosses into a module; their numbers differ from instance to instance.
_NAMELESS = re.compile(r"\\port\$\d+\$\d+")
_NAMELESS_PORT = re.compile(r"(?m)^  wire .*(?:input|output) \d+\s+(?:signed )?(\\port\$\d+\$\d+)$")

_OVERRIDES = """
template<size_t Bits>
struct wire : cxxrtl::wire<Bits> {
    using cxxrtl::wire<Bits>::wire;
    template<class Observer> CXXRTL_ALWAYS_INLINE bool commit(Observer &) { this->curr = this->next; return false; }
};

template<size_t Width>
struct memory : cxxrtl::memory<Width> {
    using cxxrtl::memory<Width>::memory;
    CXXRTL_ALWAYS_INLINE void update(size_t index, const value<Width> &data, const value<Width> &mask, int priority = 0) {
        if (!mask.is_zero()) cxxrtl::memory<Width>::update(index, data, mask, priority);
    }
    template<class Observer> CXXRTL_ALWAYS_INLINE bool commit(Observer &observer) {
        if (!this->write_queue.empty()) cxxrtl::memory<Width>::commit(observer);
        return false;
    }
};
"""


def generate(source: str, *, models: str = "", debug: bool = False) -> str:
    """The C++ model of RTLIL, class `cxxrtl_design::p_top`; with `debug` every signal has its name and hierarchy is flat.

    `models` is Verilog of primitives that the design instances. Raises ToolError.
    """
    with tempfile.TemporaryDirectory(prefix="celosia-") as name:
        folder = Path(name)
        # The tools from PyPI see no folder but their own: relative names only.
        (folder / "design.il").write_text(source if debug else merge_modules(source))
        (folder / "models.v").write_text(models)
        passes = _PASSES[:1] if debug else _PASSES
        script = ["read_rtlil design.il", "read_verilog models.v", *passes]
        script += [f"write_cxxrtl {'-g4' if debug else '-g0'} design.cc"]
        toolchain.run([*toolchain.yosys(), "-q", "-p", "; ".join(script)], "Yosys", folder)
        output = folder / "design.cc"
        model = output.read_text() if output.exists() else ""
    if not re.search(r"\} // namespace cxxrtl_design\s", model):
        raise ToolError("Yosys ended without an error and without a whole model: run it again, or install a native yosys")
    model = re.sub(r"(bool posedge_p_\w*clk\(\) const \{\s*return )[^;]*;", r"\1true;", model)
    return model if debug else model.replace("namespace cxxrtl_design {\n", "namespace cxxrtl_design {\n" + _OVERRIDES, 1)


def fabric_rtlil(config: FabricConfig) -> str:
    """The fabric as RTLIL, module `top`, with a clock and without a reset: it begins as its registers say."""
    return component_rtlil(Fabric(config))


def component_rtlil(component: Any) -> str:
    """A component of the domain `sync` as RTLIL, module `top`, without a reset; the clock and its members are the ports."""
    clock = ClockDomain("sync", reset_less=True)
    fragment = Fragment.get(component, None)
    fragment.add_domains(clock)
    ports = [clock.clk, *(Value.cast(value) for _, _, value in component.signature.flatten(component))]
    return rtlil.convert(fragment, ports=ports, emit_src=False)


def merge_modules(source: str) -> str:
    """RTLIL in which modules of equal content are one."""
    head, *parts = re.split(r"(?m)^(?=module )", source)
    bodies = {part.split(maxsplit=2)[1]: part for part in parts}
    ports = {
        module: {name: f"\\port_{index}" for index, name in enumerate(_NAMELESS_PORT.findall(body))}
        for module, body in bodies.items()
    }
    bodies = {module: _name_ports(body, ports[module], ports) for module, body in bodies.items()}
    while True:
        kept: dict[str, str] = {}
        same: dict[str, str] = {}
        for module, body in bodies.items():
            first = kept.setdefault(body.split("\n", 1)[1], module)
            if first != module:
                same[module] = first
        if not same:
            return head + "".join(bodies.values())
        bodies = {module: _use(body, same) for module, body in bodies.items() if module not in same}


def _use(body: str, same: dict[str, str]) -> str:
    """A module's text with its cells of the module that stands for theirs."""
    return re.sub(r"(?m)^  cell (\\\S+) ", lambda cell: f"  cell {same.get(cell[1], cell[1])} ", body)


def _name_ports(body: str, own: dict[str, str], ports: dict[str, dict[str, str]]) -> str:
    """A module's text with the nameless ports of itself and of its cells called by their place."""
    lines = []
    cell: dict[str, str] = {}
    for line in body.split("\n"):
        begins = re.match(r"  cell (\S+) ", line)
        if begins:
            cell = ports.get(begins[1], {})
        if line.startswith("    connect "):
            port, rest = line.split(maxsplit=2)[1:]
            line = f"    connect {cell.get(port, port)} {_NAMELESS.sub(lambda name: own.get(name[0], name[0]), rest)}"
        else:
            line = _NAMELESS.sub(lambda name: own.get(name[0], name[0]), line)
        lines.append(line)
    return "\n".join(lines)

"""A design's C++ model: Amaranth -> RTLIL -> CXXRTL.

What makes it fast to compile and to run, and leaves every cycle as it is:

    equal modules       Amaranth writes a module an instance; cells and lanes are the same but for names, and become one each
    hierarchy           those stay modules, so that their code is compiled once; everything else is flattened
    one pass            their outputs are all registers, so one evaluation settles the whole design (a test compares it with
                        the flat model); the only clock rises in every evaluation
    split nets          CXXRTL handles words of up to 32 bits fastest: wide cells and nets fall apart along their drivers;
                        narrow logic around a core is faster whole
    sleep               a module called `core`, whose outputs are all registers, is left alone while nothing in it changes
    plain commit        registers' new values are copied, not compared with the old ones; a memory without writes is left alone
    one block           all registers of a module are copied at once: see `rewrite`
"""

import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Fragment, Value

from ..hw.config import FabricConfig
from ..hw.fabric import Fabric
from . import toolchain
from .errors import ToolError
from .rewrite import faster

_CELLS = "*cell_* *lane_*"
_CORE = "*.core"
_WORD = 32  # bits up to which CXXRTL works in one piece
_PASSES = (
    f"setattr -mod -set keep_hierarchy 1 {_CELLS} {_CORE}",
    # What a lane is made of belongs to it: passed on through two modules, a register's value would come an evaluation late.
    "setattr -mod -unset keep_hierarchy *lane_*.*",
    "hierarchy -top top",
    "proc",
    "flatten",
    "opt_expr",
    "opt_merge",
    # Under another name of its own a register that is an output would come an evaluation late: ports alone keep names.
    "opt_clean -purge",
    "select -set wide {wide}",
    "splitcells @wide",
    "splitnets -driver {modules}",
    "opt_expr",
    "opt_clean",
)

# Memories begin as zeros anyway; those contents, written out, would only slow the compiler.
_ZEROS = re.compile(r"(?m)^  cell \$meminit_v2 .*\n(?:    .*\n)*?    connect \\DATA \d+'0+\n(?:    .*\n)*?  end\n")

# Ports that Amaranth makes where an expression crosses into a module; their numbers differ from instance to instance.
_NAMELESS = re.compile(r"\\port\$\d+\$\d+")
_NAMELESS_PORT = re.compile(r"(?m)^  wire .*(?:input|output) \d+\s+(?:signed )?(\\port\$\d+\$\d+)$")

_OVERRIDES = """
struct watcher : observer {};  // a commit that is told by it says whether anything changed

template<size_t Bits>
struct wire : cxxrtl::wire<Bits> {
    using cxxrtl::wire<Bits>::wire;
    template<class Observer> CXXRTL_ALWAYS_INLINE bool commit(Observer &) {
        bool changed = std::is_same<Observer, watcher>::value && this->curr != this->next;
        this->curr = this->next;
        return changed;
    }
};

template<size_t Width>
struct memory : cxxrtl::memory<Width> {
    using cxxrtl::memory<Width>::memory;
    CXXRTL_ALWAYS_INLINE void update(size_t index, const value<Width> &data, const value<Width> &mask, int priority = 0) {
        if (!mask.is_zero()) cxxrtl::memory<Width>::update(index, data, mask, priority);
    }
    template<class Observer> CXXRTL_ALWAYS_INLINE bool commit(Observer &observer) {
        return !this->write_queue.empty() && cxxrtl::memory<Width>::commit(observer);
    }
};

// A cell whose outputs are all registers. Once a cycle has changed nothing in it, no cycle will as long as its inputs are the
// same: then it is left alone.
template<class Cell, class Inputs>
struct sleeper : Cell {
    using Cell::Cell;

    bool eval(performer *performer = nullptr) override {
        if (asleep) {
            if (Inputs(*this) == seen) return true;
            asleep = false;
        }
        return Cell::eval(performer);
    }

    template<class Observer> bool commit(Observer &observer) {
        if (asleep) return false;
        if (++awake % 8) return Cell::commit(observer);
        watcher watching;
        asleep = !Cell::commit(watching);
        if (asleep) seen = Inputs(*this);
        return false;
    }

    bool asleep = false;
    unsigned awake = 0;
    Inputs seen{*this};
};
"""


def generate(source: str, *, models: str = "", debug: bool = False) -> str:
    """The C++ model of RTLIL, class `cxxrtl_design::p_top`; with `debug` every signal has its name and hierarchy is flat.

    `models` is Verilog of primitives that the design instances. Raises ToolError.
    """
    source = _ZEROS.sub("", source)
    with tempfile.TemporaryDirectory(prefix="celosia-") as name:
        folder = Path(name)
        # The tools from PyPI see no folder but their own: relative names only.
        (folder / "design.il").write_text(source if debug else merge_modules(source))
        (folder / "models.v").write_text(models)
        modules = [_CORE, *_CELLS.split()] if re.search(r"(?m)^module \S+\.core$", source) else ["*"]
        wide = " ".join(f"{module}/r:WIDTH>{_WORD}" for module in modules)
        passes = [] if debug else [line.format(modules=" ".join(modules), wide=wide) for line in _PASSES]
        script = ["read_rtlil design.il", "read_verilog models.v", *passes]
        script += [f"write_cxxrtl {'-g4' if debug else '-g0'} design.cc"]
        toolchain.run([*toolchain.yosys(), "-q", "-p", "; ".join(script)], "Yosys", folder)
        output = folder / "design.cc"
        model = output.read_text() if output.exists() else ""
    if not re.search(r"\} // namespace cxxrtl_design\s", model):
        raise ToolError("Yosys ended without an error and without a whole model: run it again, or install a native yosys")
    model = re.sub(r"(bool posedge_p_\w*clk\(\) const \{\s*return )[^;]*;", r"\1true;", model)
    if debug:
        return model
    # The top's own outputs are read between evaluations, and may be anything.
    late = re.findall(r"(?m)^bool p_(top_\w+)::eval\(performer \*performer\) \{\n\tbool converged = false;", model)
    if late:
        raise ToolError(f"one evaluation does not settle {', '.join(late)}: an output of a cell or a lane is no register")
    model = model.replace("namespace cxxrtl_design {\n", "namespace cxxrtl_design {\n" + _OVERRIDES, 1)
    return _let_sleep(faster(model))


def _let_sleep(model: str) -> str:
    """Wraps the cells of modules called `core` into `sleeper`."""
    cells = re.findall(r"(?m)^\tp_top\w*_2e_core (cell_\w+)", model)
    for kind, body in re.findall(r"(?ms)^struct (p_top\w*_2e_core) : public module \{(.*?)^\}; // struct", model):
        ports = [port for port in re.findall(r"(?m)^\t/\*input\*/ (value<\d+> \w+);", body) if not port.endswith(" p_clk")]
        names = [port.split()[1] for port in ports]
        inputs = f"inputs_of_{kind}"
        wrapper = (
            f"struct {inputs} {{\n"
            + "".join(f"\t{port};\n" for port in ports)
            + f"\texplicit {inputs}(const {kind} &cell) : "
            + ", ".join(f"{name}(cell.{name})" for name in names)
            + f" {{}}\n\tbool operator==(const {inputs} &other) const {{ return "
            + " && ".join(f"{name} == other.{name}" for name in names)
            + "; }\n};\n\n"
        )
        model = model.replace("struct p_top : public module {", wrapper + "struct p_top : public module {", 1)
        model = re.sub(rf"(?m)^\t{kind} (cell_\w+)", rf"\tsleeper<{kind}, {inputs}> \1", model)
    asleep = " && ".join(f"top.{cell}.asleep" for cell in cells) or "true"
    return f"{model}\n#define CELOSIA_ASLEEP(top) ({asleep})\n"


def fabric_rtlil(config: FabricConfig) -> str:
    """The fabric as RTLIL, module `top`, with a clock and without a reset: it begins as its registers say."""
    return component_rtlil(Fabric(config))


def component_rtlil(component: Any) -> str:
    """A component of the domain `sync` as RTLIL, module `top`, without a reset; the clock and its members are the ports."""
    clock = ClockDomain("sync", reset_less=True)
    members = {"__".join(map(str, path)): Value.cast(value) for path, _, value in component.signature.flatten(component)}
    return rtlil_of(component, lambda: {"clk": clock.clk, **members}, domains=[clock])


def rtlil_of(
    design: Any, ports: Callable[[], dict[str, Any]], platform: Any = None, domains: Iterable[ClockDomain] = ()
) -> str:
    """A design as RTLIL, module `top`; `ports` names its ports once it is elaborated, `clk` among them."""
    fragment = Fragment.get(design, platform)
    fragment.add_domains(*domains)
    return rtlil.convert(fragment, ports={name: (value, None) for name, value in ports().items()}, emit_src=False)


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

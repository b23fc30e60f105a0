"""The placer's report in words of the design: clocks, and the path that limits one."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# What yosys and the placer append to the name of the signal that a cell stands for.
_CELL = re.compile(
    r"_(TRELLIS_\w+?|CCU2C|LUT[1-6]|PFUMX|L6MUX21|MULT\d+X\d+D?|ALU\d*B?|ALU|DP16KD|PDPW16KD|DPX?9B|SDPX?9B|pROM\w*|"
    r"SB_[A-Z]\w*?|DFF[A-Z]*|MUX2_LUT\d|MUX2)(_|\$|$).*"
)
_BLOCK_RAM = ("DP16KD", "PDPW16KD", "SB_RAM40", "DPB", "SDPB", "DPX9B", "SDPX9B", "BSRAM", "memory")
_MULTIPLIER = ("MULT", "ALU54B", "SB_MAC16")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """One clock of a design, in MHz."""

    name: str
    fmax_mhz: float
    wanted_mhz: float

    @property
    def is_met(self) -> bool:
        """True where the design is as fast as wanted."""
        return self.fmax_mhz >= self.wanted_mhz


@dataclass(frozen=True, kw_only=True)
class Step:
    """A piece of a path: what the signal goes through, and how long it takes; `place` is a name of the design."""

    what: str
    place: str
    ns: float


@dataclass(frozen=True, kw_only=True)
class Path:
    """The slowest path between two registers. `steps` lie between `begin` and `end`; wires are among them."""

    begin: str
    end: str
    logic_ns: float
    routing_ns: float
    steps: tuple[Step, ...]

    @property
    def total_ns(self) -> float:
        """The whole of it: one period of the fastest clock."""
        return self.logic_ns + self.routing_ns

    def sentence(self) -> str:
        """From where through what to where, longest pieces named."""
        through = [step for step in self.steps if step.what != "wire"]
        names: list[str] = []
        for step in through:
            words = f"{step.what} in {step.place}" if step.place else step.what
            if not names or names[-1] != words:
                names.append(words)
        middle = f" through {', '.join(names)}" if names else ""
        return (
            f"from {self.begin}{middle} to {self.end}: {self.total_ns:.2f} ns, {self.logic_ns:.2f} logic and "
            f"{self.routing_ns:.2f} wires"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rounded = [{**asdict(step), "ns": round(step.ns, 3)} for step in self.steps]
        return {
            "from": self.begin,
            "to": self.end,
            "ns": round(self.total_ns, 3),
            "logic_ns": round(self.logic_ns, 3),
            "routing_ns": round(self.routing_ns, 3),
            "steps": rounded,
        }


def clocks(report: Mapping[str, Any]) -> tuple[Clock, ...]:
    """Every clock of a nextpnr report."""
    return tuple(
        Clock(name=name, fmax_mhz=entry["achieved"], wanted_mhz=entry["constraint"]) for name, entry in report["fmax"].items()
    )


def slowest(found: tuple[Clock, ...]) -> Clock:
    """The clock that falls shortest of what is wanted."""
    return min(found, key=lambda clock: clock.fmax_mhz / clock.wanted_mhz)


def critical_path(report: Mapping[str, Any], clock: str) -> Path | None:
    """The slowest path of a clock; None where the report has none."""
    edges = {f"posedge {clock}", f"negedge {clock}"}
    paths = [item["path"] for item in report["critical_paths"] if {item["from"], item["to"]} <= edges]
    if not paths:
        return None
    path = max(paths, key=lambda pieces: sum(piece["delay"] for piece in pieces))
    logic = sum(piece["delay"] for piece in path if piece["type"] != "routing")
    routing = sum(piece["delay"] for piece in path if piece["type"] == "routing")
    first_net = next((piece["net"] for piece in path if "net" in piece), path[0]["from"]["cell"])
    steps: list[Step] = []
    for piece in path:
        if piece["type"] == "routing":
            if (piece["delay"] and piece["to"]["port"] not in ("FCI", "CIN", "I3")) or not steps:
                steps.append(Step(what="wire", place="", ns=piece["delay"]))
        elif piece["type"] == "logic":
            step = Step(what=_kind(piece), place=signal_name(piece["from"]["cell"]), ns=piece["delay"])
            if steps and steps[-1].what == step.what == "carry chain":
                step = Step(what=step.what, place=steps[-1].place, ns=steps[-1].ns + step.ns)
                steps.pop()
            steps.append(step)
    return Path(
        begin=_named(path[0]["from"], first_net),
        end=_named(path[-1]["to"], ""),
        logic_ns=logic,
        routing_ns=routing,
        steps=tuple(steps),
    )


def signal_name(name: str) -> str:
    """The signal of the design that a cell or net of the netlist belongs to."""
    name = re.sub(r"\$(CCU2|PACKED|nextpnr|sb|slice).*", "", name)
    name = _CELL.sub("", name)
    return re.sub(r"^device\.(linked\.)?(fabric\.)?", "", name) or "the top"


def _named(pin: Mapping[str, Any], net: str) -> str:
    """A path's end: the net if it has a name of the design, else the cell."""
    cell = str(pin["cell"])
    for kinds, word in ((_BLOCK_RAM, "block RAM"), (_MULTIPLIER, "multiplier")):
        if any(kind in cell.rpartition(".")[2] for kind in kinds):
            return f"{word} {signal_name(cell)}"
    if net and not _CELL.search(net) and "$" not in net:
        return signal_name(net)
    return signal_name(cell)


def _kind(piece: Mapping[str, Any]) -> str:
    ports = {piece["from"]["port"], piece["to"]["port"]}
    cell = str(piece["from"]["cell"])
    if ports & {"CLEAR", "PRESET"}:
        return "reset"
    if ports & {"FCI", "FCO", "CIN", "COUT"}:
        return "carry chain"
    last = cell.rpartition(".")[2]
    if any(kind in last for kind in _MULTIPLIER) and not ports & {"F", "OFX", "O", "LO"}:
        return "multiplier"
    if any(kind in last for kind in _BLOCK_RAM[:-1]):
        return "block RAM"
    return "LUT"

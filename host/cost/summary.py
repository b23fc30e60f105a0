"""An estimate for people and programs: what `celosia estimate` prints and writes."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ...hw.config import FabricConfig
from ..report import Number, percent, short
from ..schedule import Schedule
from .bounds import bounds_of, measure_of
from .model import Estimate, estimate
from .walk import Cycles

if TYPE_CHECKING:
    from rich.table import Table

_TRANSFER = "sending results"


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A clock in MHz, and where the figure comes from."""

    mhz: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Need:
    """A resource of a chip: what the fabric takes of it."""

    name: str
    used: int
    available: int


@dataclass(frozen=True, kw_only=True)
class Target:
    """What an estimate is for: a fabric, and as far as they are known its board, clock, serial link and place on the chip.

    `note` is a sentence that belongs to the estimate: why the fabric does not fit the board.
    """

    fabric: FabricConfig
    board: str | None = None
    clock: Clock | None = None
    baud: int | None = None
    resources: tuple[Need, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """One node: cycles are 0 of a node that does not run on the fabric; `parts` add up to them, `bound` is the largest."""

    name: str
    op: str
    engine: str
    macs: int
    cycles: int
    utilization: float
    parts: Mapping[str, float]
    bound: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """The estimate of a network on a target."""

    model: str
    target: Target
    macs: int
    cost: Estimate
    layers: tuple[LayerCost, ...]

    @property
    def utilization(self) -> float:
        """Cycles that the multiply-accumulates done on the fabric take at full rate / cycles."""
        ideal = sum(layer.utilization * layer.cycles for layer in self.layers)
        return ideal / self.cost.cycles if self.cost.cycles else 0.0

    @property
    def milliseconds(self) -> float | None:
        """Of one inference's cycles at the target's clock."""
        return None if self.target.clock is None else self.cost.cycles / self.target.clock.mhz / 1000

    @property
    def link_milliseconds(self) -> float | None:
        """Least time in which the serial link carries one inference's words, at ten bits a byte."""
        words = max(self.cost.words_in, self.cost.words_out)
        return None if self.target.baud is None else words * 40 / self.target.baud * 1000

    @property
    def parts(self) -> dict[str, float]:
        """All layers' parts together, largest first, and the sending of results."""
        parts = {_TRANSFER: float(self.cost.layers.get("", Cycles()).cycles)}
        for layer in self.layers:
            for part, cycles in layer.parts.items():
                parts[part] = parts.get(part, 0.0) + cycles
        return dict(sorted(parts.items(), key=lambda item: -item[1]))

    def to_json(self) -> str:
        """The text of `F.json`."""
        cost, target = self.cost, self.target
        content: dict[str, Any] = {
            "model": self.model,
            "fabric": {"name": target.fabric.name, "macs_per_cycle": target.fabric.macs_per_cycle},
            "board": target.board,
            "clock_mhz": None if target.clock is None else target.clock.mhz,
            "cycles": cost.cycles,
            "ms": self.milliseconds,
            "cycles_io": cost.cycles_io,
            "link_ms": self.link_milliseconds,
            "macs": self.macs,
            "utilization": self.utilization,
            "bytes_in": cost.counters.bytes_in,
            "bytes_out": cost.counters.bytes_out,
            "memory": [asdict(item) for item in cost.memory],
            "resources": [asdict(item) for item in target.resources],
            "note": target.note,
            "parts": self.parts,
            "layers": [asdict(layer) for layer in self.layers],
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def table(self) -> "Table":
        """A line a layer, and the totals."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        fabric = self.target.fabric
        where = f"fabric {fabric.name} ({fabric.macs_per_cycle} MAC/cycle)"
        where += f" on {self.target.board}" if self.target.board else ""
        table = Table(
            title=Text(f"{self.model}: estimate for {where}"), box=SIMPLE_HEAD, padding=(0, 0, 0, 1), show_footer=True
        )
        has_ops = not all(layer.name.startswith(layer.op) for layer in self.layers)
        table.add_column("layer", footer="total", overflow="fold")
        if has_ops:
            table.add_column("op", overflow="fold")
        table.add_column("engine")
        for heading, total in {
            "MAC": _count(self.macs),
            "cycles": _count(self.cost.cycles),
            "util.": percent(self.utilization),
        }.items():
            table.add_column(heading, footer=Text(total), justify="right", no_wrap=True)
        table.add_column("bound by", no_wrap=True)
        for layer in self.layers:
            names = [short(layer.name), *([layer.op] if has_ops else []), layer.engine]
            figures = [_count(layer.macs) if layer.macs else ""]
            if layer.cycles:
                share = f" {layer.parts[layer.bound] / layer.cycles:.0%}"
                figures += [_count(layer.cycles), percent(layer.utilization) if layer.macs else "", layer.bound + share]
            table.add_row(*map(Text, names + figures))
        return table

    def lines(self) -> Iterator[str]:
        """What the table has no column for, a line each."""
        total = self.cost.cycles or 1
        shares = [f"{part} {cycles / total:.1%}" for part, cycles in self.parts.items() if cycles]
        yield f"cycles: {', '.join(shares)}"
        if self.target.clock is None:
            yield "time: name a clock with --clock MHZ, or a board with --board"
        else:
            yield f"time: {self.milliseconds:.4f} ms at {self.target.clock.mhz:g} MHz ({self.target.clock.source})"
        transfer = f"transfer: {4 * self.cost.words_in:,} bytes in and {4 * self.cost.words_out:,} out per inference"
        if self.target.baud:
            transfer += f", {self.link_milliseconds:,.1f} ms or more at {self.target.baud:,} baud"
        yield f"{transfer}; {4 * self.cost.setup_words:,} bytes once"
        yield f"memory: {', '.join(_use(item.name, item.used, item.available, item.unit) for item in self.cost.memory)}"
        if self.target.resources:
            yield f"chip: {', '.join(_use(item.name, item.used, item.available) for item in self.target.resources)}"
        if self.target.note:
            yield f"note: {self.target.note}"
        on_cpu = [layer.name for layer in self.layers if layer.engine == "cpu"]
        if on_cpu:
            yield f"not in it: {len(on_cpu)} node{'' if len(on_cpu) == 1 else 's'} on the CPU ({', '.join(map(short, on_cpu))})"


def summarize(plan: Schedule, target: Target) -> Summary:
    """The estimate of a schedule. Raises CapacityError where the fabric cannot hold it."""
    graph, config = plan.graph, plan.config
    cost = estimate(plan)
    by_name = cost.layers
    layers = []
    for place in plan.placements:
        cycles = by_name.get(place.node.name)
        macs = place.node.macs(graph)
        bounds = bounds_of(place.engine, macs, cycles, config, products=place.products) if cycles else None
        rate = measure_of(place.engine, config, products=place.products)
        layers.append(
            LayerCost(
                name=place.node.name,
                op=place.node.op,
                engine=place.engine,
                macs=macs,
                cycles=cycles.cycles if cycles else 0,
                utilization=macs / rate / cycles.cycles if cycles else 0.0,
                parts=dict(bounds.parts) if bounds else {},
                bound=bounds.bound if bounds else "",
            )
        )
    return Summary(model=graph.name, target=target, macs=graph.macs, cost=cost, layers=tuple(layers))


def _count(value: Number) -> str:
    return f"{value:,.0f}"


def _use(name: str, used: int, available: int, unit: str = "") -> str:
    share = f" ({used / available:.0%})" if available else ""
    return f"{name} {used:,} of {available:,}{' ' + unit if unit else ''}{share}"

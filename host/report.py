"""Where the cycles of a run went: the content of `R.json` as objects, as a table, and as a picture.

All figures are means per inference. The golden models have no cycles: theirs are None.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..hw.config import FabricConfig
from .cost.bounds import measure_of
from .device import Counters, LayerCounters
from .files import write_whole
from .ir import Graph
from .placement import Placement

STALLS = ("weights", "activations", "output")
"""What a layer can wait for: the keys of `LayerReport.stalls`, and fields of `LayerCounters`."""

_NAME_WIDTH = 32
_FABRIC_ENGINES = ("mac", "depthwise", "vector", "xnor")

Number = int | float


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """One node of the network.

    engine          "mac", "depthwise", "vector", "xnor", "cpu", or "none" of a node that costs nothing
    macs            useful multiply-accumulates
    cycles          on the fabric: 0 of a node that does not run there
    utilization     macs / (cycles * macs_per_cycle of the fabric), of a layer on the XNOR engine of that engine
    stalls          cycles in which the engine waited, by what it waited for: "weights", "activations", "output"
    """

    name: str
    op: str
    engine: str
    macs: int
    cycles: Number | None
    utilization: float | None
    stalls: Mapping[str, Number | None]

    @property
    def on_fabric(self) -> bool:
        """Whether it took cycles of the fabric."""
        return self.engine in _FABRIC_ENGINES and self.cycles is not None


@dataclass(frozen=True, kw_only=True)
class FabricReport:
    """The fabric that the run was for."""

    name: str
    macs_per_cycle: int


@dataclass(frozen=True, kw_only=True)
class DeviceReport:
    """What one of the run's devices did.

    samples         that it answered
    cycles          of the fabric for one of them
    lost            what happened to it; None where it works still
    """

    name: str
    samples: int
    cycles: Number | None
    lost: str | None

    @classmethod
    def of(cls, name: str, samples: int, counters: Counters | None, lost: Exception | None) -> "DeviceReport":
        """From what was counted."""
        cycles = None if counters is None or not samples else _mean(counters.cycles, samples)
        return cls(name=name, samples=samples, cycles=cycles, lost=None if lost is None else str(lost))

    def __str__(self) -> str:
        each = f", {_count(self.cycles)} cycles each" if self.cycles is not None else ""
        lost = f"; lost: {self.lost}" if self.lost else ""
        return f"{self.name}: {_plural(self.samples, 'inference')}{each}{lost}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run of a session.

    cycles          from an inference's start command, its input on the chip, to its last output word
    cycles_io       transfer in and out at one stream word a cycle, as far as compute did not hide it
    macs            useful multiply-accumulates of the whole network
    utilization     cycles that those done on the fabric take at full rate, the array's or the XNOR engine's / cycles
    bytes_in        to the device for one inference
    bytes_out       from it
    seconds         of the whole run, on the clock on the wall
    layers          every node, in the order in which they run
    devices         what each device did
    accuracy        share of the answers that are right, where labels said what is
    """

    model: str
    fabric: FabricReport
    device: str
    samples: int
    cycles: Number | None
    cycles_io: Number | None
    macs: int
    utilization: float | None
    bytes_in: Number
    bytes_out: Number
    seconds: float
    layers: tuple[LayerReport, ...]
    devices: tuple[DeviceReport, ...] = ()
    accuracy: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The content of `R.json`: dictionaries, lists, strings, numbers, None."""
        return {
            **asdict(self),
            "layers": [{**asdict(layer), "stalls": dict(layer.stalls)} for layer in self.layers],
            "devices": [asdict(device) for device in self.devices],
        }

    def to_json(self) -> str:
        """The text of `R.json`."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def table(self) -> Table:
        """A line for each layer, and the totals; the total of cycles counts what lies between the layers too.

        Fits a terminal of 80 columns: operations have a column only where the layers' names do not begin with them.
        """
        table = Table(
            title=Text(
                f"{self.model}: {_plural(self.samples, 'inference')} on {self.device}, fabric {self.fabric.name} "
                f"({self.fabric.macs_per_cycle} MAC/cycle)"
            ),
            caption=Text(
                "cycles per inference; the last three columns: cycles of them waiting for weights, for"
                " activations, for room for the output"
            ),
            box=SIMPLE_HEAD,
            padding=(0, 0, 0, 1),
            show_footer=True,
        )
        has_ops = not all(layer.name.startswith(layer.op) for layer in self.layers)
        table.add_column("layer", footer="total", overflow="fold")
        if has_ops:
            table.add_column("op", overflow="fold")
        table.add_column("engine")
        totals = {
            "MAC": _count(self.macs),
            "cycles": _count(self.cycles),
            "util.": percent(self.utilization),
            "weights": _count(_total(layer.stalls["weights"] for layer in self.layers)),
            "activ.": _count(_total(layer.stalls["activations"] for layer in self.layers)),
            "output": _count(_total(layer.stalls["output"] for layer in self.layers)),
        }
        for heading, total in totals.items():
            table.add_column(heading, footer=Text(total), justify="right", no_wrap=True)
        for layer in self.layers:
            names = [short(layer.name), *([layer.op] if has_ops else []), layer.engine]
            figures = [_count(layer.macs) if layer.macs else ""]
            if layer.on_fabric:
                figures += [_count(layer.cycles), percent(layer.utilization) if layer.macs else ""]
                figures += [_count(layer.stalls[stall]) for stall in STALLS]
            table.add_row(*map(Text, names + figures))
        return table

    def summary(self) -> str:
        """The totals that the table has no column for, in one line."""
        parts = [f"{self.accuracy:.2%} of {self.samples:,} right"] if self.accuracy is not None else []
        parts += [f"{self.seconds:.2f} s", f"{self.samples / self.seconds:,.1f} inferences/s" if self.seconds else ""]
        if self.cycles_io is not None:
            parts.append(f"{_count(self.cycles_io)} cycles of transfer not hidden")
            parts.append(f"{_count(self.bytes_in)} bytes in and {_count(self.bytes_out)} out per inference")
        return "; ".join(part for part in parts if part)

    def picture(self, path: str | os.PathLike[str]) -> None:
        """Draws each layer's cycles as a bar, busy ones and stalls apart; the ending of `path` says the format.

        Raises DeviceError where the run counted no cycles, ToolError where the file cannot be written.
        """
        from .picture import draw, picture_format

        write_whole(path, draw(self, picture_format(path)))


def make_report(
    *,
    graph: Graph,
    fabric: FabricConfig,
    device: str,
    placements: tuple[Placement, ...],
    counters: Counters | None,
    samples: int,
    seconds: float,
    devices: tuple[DeviceReport, ...] = (),
) -> Report:
    """The report of a run of `samples` inferences; `counters` are its sums, None of a device that counts nothing."""
    layers = tuple(_layer(place, graph, fabric, counters) for place in placements)
    ideal = sum(_ideal(place, graph, fabric) for place in placements)
    cycles = None if counters is None else _mean(counters.cycles, samples)
    return Report(
        model=graph.name,
        fabric=FabricReport(name=fabric.name, macs_per_cycle=fabric.macs_per_cycle),
        device=device,
        samples=samples,
        cycles=cycles,
        cycles_io=None if counters is None else _mean(counters.cycles_io, samples),
        macs=graph.macs,
        utilization=_utilization(ideal, cycles),
        bytes_in=0 if counters is None else _mean(counters.bytes_in, samples),
        bytes_out=0 if counters is None else _mean(counters.bytes_out, samples),
        seconds=seconds,
        layers=layers,
        devices=devices,
    )


def _layer(place: Placement, graph: Graph, fabric: FabricConfig, counters: Counters | None) -> LayerReport:
    macs = place.node.macs(graph)
    stalls: dict[str, Number | None] = dict.fromkeys(STALLS)
    cycles: Number | None = None
    if counters is not None:
        counted = counters.layers.get(place.node.name, LayerCounters())
        cycles = _mean(counted.cycles, counters.samples)
        stalls = {stall: _mean(getattr(counted, stall), counters.samples) for stall in STALLS}
    return LayerReport(
        name=place.node.name,
        op=place.node.op,
        engine=place.engine,
        macs=macs,
        cycles=cycles,
        utilization=_utilization(_ideal(place, graph, fabric), cycles),
        stalls=stalls,
    )


def _ideal(place: Placement, graph: Graph, fabric: FabricConfig) -> float:
    """Cycles that a node's multiply-accumulates take at full rate; none on the CPU."""
    if place.engine not in _FABRIC_ENGINES:
        return 0
    return place.node.macs(graph) / measure_of(place.engine, fabric, products=place.products)


def _utilization(ideal: float, cycles: Number | None) -> float | None:
    if cycles is None:
        return None
    return ideal / cycles if cycles else 0.0


def _mean(total: int, samples: int) -> Number:
    return total // samples if samples and total % samples == 0 else total / max(samples, 1)


def _total(values: Iterable[Number | None]) -> Number | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _count(value: Number | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """As text; none where there is none."""
    return "" if value is None else f"{value:.1%}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def short(name: str) -> str:
    """The telling end of a name: TensorFlow Lite joins the names of what it fused, and prefixes scopes."""
    name = name.split(";")[0]
    return name if len(name) <= _NAME_WIDTH else "\N{HORIZONTAL ELLIPSIS}" + name[1 - _NAME_WIDTH :]

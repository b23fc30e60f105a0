"""What a session runs on, whatever it is: the simulated fabric, a board at the end of a link, the golden models.

A device gets the graph once, when it is opened, and then tensors. It runs every node of the graph, on the fabric or on
the CPU, and says in `placements` which.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from ..hw.config import FabricConfig
from ..sim.errors import DeviceError
from .ir import Graph
from .placement import Placement

Array = npt.NDArray[Any]

_log = logging.getLogger("celosia")  # what takes long is said there


@dataclass(frozen=True, kw_only=True)
class LayerCounters:
    """Cycles that one node took on the fabric: `cycles = busy + weights + activations + output`.

    busy            the engine took a step
    weights         starved for weights
    activations     starved for activations
    output          stalled on output
    """

    cycles: int = 0
    busy: int = 0
    weights: int = 0
    activations: int = 0
    output: int = 0

    def __add__(self, other: "LayerCounters") -> "LayerCounters":
        return LayerCounters(
            cycles=self.cycles + other.cycles,
            busy=self.busy + other.busy,
            weights=self.weights + other.weights,
            activations=self.activations + other.activations,
            output=self.output + other.output,
        )

    def __sub__(self, earlier: "LayerCounters") -> "LayerCounters":
        return LayerCounters(
            cycles=self.cycles - earlier.cycles,
            busy=self.busy - earlier.busy,
            weights=self.weights - earlier.weights,
            activations=self.activations - earlier.activations,
            output=self.output - earlier.output,
        )


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Sums over the inferences since the device was opened. Two of them subtract to what happened in between.

    cycles          from an inference's start command, its input on the chip, to its last output word
    cycles_io       transfer in and out at one stream word a cycle, as far as compute did not hide it
    bytes_in        to the device, weights streamed during the inferences included
    bytes_out       from the device
    layers          by node name; a node that does not run on the fabric has no entry
    descriptors     in the order in which an inference runs them, one by one; empty of a device that does not tell
    """

    samples: int = 0
    cycles: int = 0
    cycles_io: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    layers: Mapping[str, LayerCounters] = field(default_factory=dict)
    descriptors: tuple[LayerCounters, ...] = ()

    def __add__(self, other: "Counters") -> "Counters":
        names = dict.fromkeys((*self.layers, *other.layers))
        none = LayerCounters()
        return Counters(
            samples=self.samples + other.samples,
            cycles=self.cycles + other.cycles,
            cycles_io=self.cycles_io + other.cycles_io,
            bytes_in=self.bytes_in + other.bytes_in,
            bytes_out=self.bytes_out + other.bytes_out,
            layers={name: self.layers.get(name, none) + other.layers.get(name, none) for name in names},
            descriptors=tuple(one + two for one, two in zip_longest(self.descriptors, other.descriptors, fillvalue=none)),
        )

    def __sub__(self, earlier: "Counters") -> "Counters":
        return Counters(
            samples=self.samples - earlier.samples,
            cycles=self.cycles - earlier.cycles,
            cycles_io=self.cycles_io - earlier.cycles_io,
            bytes_in=self.bytes_in - earlier.bytes_in,
            bytes_out=self.bytes_out - earlier.bytes_out,
            layers={name: layer - earlier.layers.get(name, LayerCounters()) for name, layer in self.layers.items()},
            descriptors=tuple(
                late - early for late, early in zip_longest(self.descriptors, earlier.descriptors, fillvalue=LayerCounters())
            ),
        )


class Device(Protocol):
    """An opened device that holds one graph."""

    @property
    def batch(self) -> int:
        """Samples that one call of `infer` takes best: one, unless more go faster together."""

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Where each node runs, in the graph's order."""

    def infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Runs one to `batch` samples: the first axis of every input and every output counts them.

        Raises DeviceError where the device does not answer or answers something else.
        """

    def counters(self) -> Counters | None:
        """What was counted since the device was opened; None of a device that has no cycles to count."""

    def close(self) -> None:
        """Lets the device go, and completes the trace. May be called twice."""


class GoldenDevice:
    """The golden models alone: the answers that every other device must give, and no cycles."""

    batch = 16  # enough to spread NumPy's cost of a call; little enough to show progress

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.placements = tuple(
            Placement(node=node, engine="cpu", reason="device golden has no fabric", advice="run it with device sim")
            for node in graph.nodes
        )

    def infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Runs the samples through `host.reference`."""
        from .reference import run

        return run(self._graph, inputs)

    def counters(self) -> None:
        """No cycles."""

    def close(self) -> None:
        """Nothing to let go."""


def _open_golden(address: str, graph: Graph, fabric: FabricConfig, trace: Path | None) -> Device:
    if trace is not None:
        raise DeviceError("device golden has no waveforms to trace: leave the trace out, or take device sim")
    return GoldenDevice(graph)


def _open_simulator(address: str, graph: Graph, fabric: FabricConfig, trace: Path | None) -> Device:
    from ..sim.engine import Simulator
    from .driver import FabricDevice

    return FabricDevice(graph, fabric, Simulator(fabric, trace=trace, notify=_log.info))


def _open_serial(address: str, graph: Graph, fabric: FabricConfig, trace: Path | None) -> Device:
    from .driver import FabricDevice
    from .transport.serial import open_serial

    if trace is not None:
        raise DeviceError("a board has no waveforms to trace: leave the trace out, or take device sim")
    link = open_serial(address, fabric)
    try:
        return FabricDevice(graph, fabric, link)
    except BaseException:
        link.close()
        raise


_OPENERS: dict[str, Callable[[str, Graph, FabricConfig, Path | None], Device]] = {
    "sim": _open_simulator,
    "golden": _open_golden,
    "serial": _open_serial,
}


def open_device(name: str, graph: Graph, fabric: FabricConfig, trace: Path | None = None) -> Device:
    """Opens the device of that name for `graph` on `fabric`, and has it write its waveforms to `trace`.

    A name is a kind of device, then, where the kind needs one, an address: `sim`, `golden`, `serial:///dev/ttyUSB0`.

    Raises DeviceError where the name is unknown or the device does not open, CapacityError where the fabric is too
    small.
    """
    kind, _, address = name.partition("://")
    if kind not in _OPENERS:
        raise DeviceError(f"unknown device {name!r}: choose one of {', '.join(_OPENERS)}")
    return _OPENERS[kind](address, graph, fabric, trace)

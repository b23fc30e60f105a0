"""A network on a device: load once, run batches, read where the cycles went."""

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from ..hw.config import FabricConfig, preset
from ..sim.errors import DeviceError, ModelError
from .device import Array, Counters, open_device
from .ir import Graph, Tensor
from .passes import simplify
from .report import Report, make_report
from .samples import prepare

if TYPE_CHECKING:
    from .roofline import Roofline
    from .timeline import Timeline

Model = str | os.PathLike[str] | Graph


def load_model(model: Model) -> Graph:
    """The graph of a model file, simplified.

    Raises ModelError where the file is missing or is no model that Celosia can run.
    """
    if isinstance(model, Graph):
        return simplify(model)
    from .frontends import load

    return simplify(load(model))


def input_of(graph: Graph) -> Tensor:
    """The model's input. Raises ModelError where there is not exactly one."""
    if len(graph.inputs) != 1:
        names = ", ".join(map(repr, graph.inputs)) or "none"
        raise ModelError(f"{graph.name} has {len(graph.inputs)} inputs ({names}): a session feeds a network of one")
    return graph.tensors[graph.inputs[0]]


class Session:
    """Runs a network.

        with Session("model.tflite", device="sim", fabric="ecp5-85") as session:
            y = session.run(x)
            print(session.report.cycles)

    Parameters
    ----------
    model: path of a model file, or a graph.
    device: "sim", the simulated fabric; "golden", the golden models.
    fabric: name of a preset, or a configuration of your own. ValueError where there is no such preset.
    trace: file for the waveforms of the fabric.

    Raises ModelError where the model is not one that Celosia can run, CapacityError where it is too large for the
    fabric, DeviceError where the device is unknown or does not open, ToolError where the machine lacks a tool.
    """

    def __init__(
        self,
        model: Model,
        device: str = "sim",
        fabric: str | FabricConfig = "ecp5-85",
        trace: str | os.PathLike[str] | None = None,
    ) -> None:
        self._graph = load_model(model)
        self._input = input_of(self._graph)
        self._fabric = preset(fabric) if isinstance(fabric, str) else fabric
        self._name = device
        self._device = open_device(device, self._graph, self._fabric, None if trace is None else Path(trace))
        self._report: Report | None = None
        self._counted: Counters | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Lets the device go, and completes the trace."""
        self._device.close()

    @property
    def graph(self) -> Graph:
        """The network."""
        return self._graph

    @property
    def fabric(self) -> FabricConfig:
        """The fabric's configuration."""
        return self._fabric

    @property
    def report(self) -> Report:
        """The report of the last run. RuntimeError before the first."""
        if self._report is None:
            raise RuntimeError("nothing has run yet: call run(x), then read the report")
        return self._report

    def run(self, x: npt.ArrayLike, progress: Callable[[int, int], None] | None = None) -> Array | tuple[Array, ...]:
        """The network's output for every sample of `x`, bit for bit that of TensorFlow Lite's reference kernels.

        Parameters
        ----------
        x: (N, ...), N samples of the model's input shape; int8 as it is, real values by the input's scale.
        progress: called with the samples done and the samples in all, first with none done.

        Returns the output, (N, ...); of a network with several outputs a tuple of them, in the model's order.

        Raises ModelError where x does not fit, DeviceError where the device fails.
        """
        samples = prepare(x, self._input)
        total = len(samples)
        outputs = [self._empty(name, total) for name in self._graph.outputs]
        before = self._device.counters()
        start = perf_counter()
        if progress is not None:
            progress(0, total)
        for first in range(0, total, self._device.batch):
            part = samples[first : first + self._device.batch]
            answers = self._device.infer({self._input.name: part})
            for output, name in zip(outputs, self._graph.outputs, strict=True):
                output[first : first + len(part)] = answers[name].reshape(len(part), *output.shape[1:])
            if progress is not None:
                progress(first + len(part), total)
        seconds = perf_counter() - start
        after = self._device.counters()
        self._counted = None if after is None or before is None else after - before
        self._report = make_report(
            graph=self._graph,
            fabric=self._fabric,
            device=self._name,
            placements=self._device.placements,
            counters=self._counted,
            samples=total,
            seconds=seconds,
        )
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def timeline(self) -> "Timeline":
        """Which unit was busy when, in the last run. DeviceError where the device tells no single descriptors."""
        from .schedule import schedule
        from .timeline import timeline

        counted = self._last_counts()
        plan = schedule(self._graph, self._fabric)
        return timeline(plan, counted.descriptors, device=self._name, samples=counted.samples)

    def roofline(self) -> "Roofline":
        """What each layer of the last run reached of what its traffic allows. DeviceError where nothing was counted."""
        from .roofline import roofline
        from .schedule import schedule

        return roofline(schedule(self._graph, self._fabric), self._last_counts(), device=self._name)

    def _last_counts(self) -> Counters:
        if self._report is None:
            raise RuntimeError("nothing has run yet: call run(x) first")
        if self._counted is None:
            raise DeviceError(f"device {self._name} counts no cycles: take device sim")
        return self._counted

    def _empty(self, name: str, samples: int) -> Array:
        tensor = self._graph.tensors[name]
        sample = tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
        return np.empty((samples, *sample), tensor.dtype)

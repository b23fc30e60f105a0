"""A network on a device: load once, run batches, read where the cycles went."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from ..hw.config import FabricConfig
from ..hw.presets import preset
from ..sim.errors import DeviceError, ModelError
from .device import Array, Counters, open_device
from .ir import Graph, Tensor
from .passes import simplify
from .report import DeviceReport, Report, make_report
from .samples import prepare
from .spread import Worker, spread

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
    device: "sim", the simulated fabric; "golden", the golden models; "serial:///dev/ttyUSB0?baud=3000000", a board. A list of
        them spreads the samples; if one is lost on the way, the others do its share.
    fabric: name of a preset, or a configuration of your own. ValueError where there is no such preset.
    trace: file for the waveforms of the fabric.

    Raises ModelError where the model is not one that Celosia can run, CapacityError where it is too large for the
    fabric, DeviceError where the device is unknown or does not open, ToolError where the machine lacks a tool.
    """

    def __init__(
        self,
        model: Model,
        device: str | Sequence[str] = "sim",
        fabric: str | FabricConfig = "ecp5-85",
        trace: str | os.PathLike[str] | None = None,
    ) -> None:
        self._graph = load_model(model)
        self._input = input_of(self._graph)
        self._fabric = preset(fabric) if isinstance(fabric, str) else fabric
        names = (device,) if isinstance(device, str) else tuple(device)
        if not names:
            raise DeviceError("a session needs a device: sim, golden, or a board's serial port")
        if trace is not None and len(names) > 1:
            raise DeviceError(f"{len(names)} devices cannot write one trace: leave the trace out, or take one device")
        self._name = ", ".join(names)
        self._workers: list[Worker] = []
        try:
            for name in names:
                opened = open_device(name, self._graph, self._fabric, None if trace is None else Path(trace))
                self._workers.append(Worker(name, opened))
        except BaseException:
            self.close()
            raise
        self._report: Report | None = None
        self._counted: Counters | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Lets the devices go, and completes the trace."""
        for worker in self._workers:
            worker.device.close()

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
        """The network's output for every sample of `x`, bit for bit that of the format's own reference.

        TensorFlow Lite's reference kernels answer so for .tflite files, QONNX' executor for .onnx files.

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
        before = [worker.device.counters() for worker in self._workers]
        shares = dict.fromkeys(map(id, self._workers), 0)
        start = perf_counter()
        if progress is not None:
            progress(0, total)
        done = 0
        for part in spread(self._workers, self._input.name, samples):
            for output, name in zip(outputs, self._graph.outputs, strict=True):
                output[part.first : part.first + part.count] = part.answers[name].reshape(part.count, *output.shape[1:])
            done += part.count
            shares[id(part.worker)] += part.count
            if progress is not None:
                progress(done, total)
        seconds = perf_counter() - start
        counted = [
            None if earlier is None or later is None else later - earlier
            for earlier, later in zip(before, (worker.device.counters() for worker in self._workers), strict=True)
        ]
        self._counted = _sum(counted)
        self._report = make_report(
            graph=self._graph,
            fabric=self._fabric,
            device=self._name,
            placements=self._workers[0].device.placements,
            counters=self._counted,
            devices=tuple(
                DeviceReport.of(worker.name, shares[id(worker)], counters, worker.lost)
                for worker, counters in zip(self._workers, counted, strict=True)
            ),
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


def _sum(counted: Sequence[Counters | None]) -> Counters | None:
    """What several devices counted; None where one of them counts nothing."""
    total = Counters()
    for counters in counted:
        if counters is None:
            return None
        total += counters
    return total

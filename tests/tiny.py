"""A network of one layer, as a graph and as a file, and a device that counts but computes on the CPU."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from celosia.host.device import Array, Counters, LayerCounters
from celosia.host.frontends.tflite_writer import ModelWriter
from celosia.host.ir import FullyConnected, Graph, Requant, Tensor
from celosia.host.placement import Placement
from celosia.host.reference import run

SCALE, ZERO_POINT = 0.5, -3
WEIGHTS = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2, 1]], np.int8)


def graph(**input_changes: Any) -> Graph:
    """(1, 2, 2) int8 to (1, 3): y = (x - zero point) @ weights.T, saturated."""
    source = {"name": "x", "shape": (1, 2, 2), "scale": SCALE, "zero_point": ZERO_POINT, **input_changes}
    layer = FullyConnected(
        name="dense",
        inputs=("x",),
        output="y",
        weights=WEIGHTS,
        bias=np.zeros(3, np.int32),
        input_zero_point=ZERO_POINT,
        requant=Requant(multiplier=np.full(3, 1 << 30, np.int32), shift=np.ones(3, np.int32), zero_point=0),
    )
    tensors = {"x": Tensor(**source), "y": Tensor(name="y", shape=(1, 3))}
    return Graph(name="tiny", tensors=tensors, nodes=(layer,), inputs=("x",), outputs=("y",))


def model_file() -> bytes:
    """The same, as a .tflite file with an input of (1, 4)."""
    writer = ModelWriter()
    x = writer.tensor("x", (1, 4), scale=SCALE, zero_point=ZERO_POINT)
    weights = writer.tensor("w", WEIGHTS.shape, scale=1.0, data=WEIGHTS)
    bias = writer.tensor("b", (3,), "int32", scale=SCALE, data=np.zeros(3, np.int32))
    y = writer.tensor("y", (1, 3), scale=SCALE)
    writer.op("FULLY_CONNECTED", [x, weights, bias], [y])
    return writer.finish([x], [y])


def answers(x: np.ndarray) -> np.ndarray:
    """What both compute, for any number of samples."""
    sums = (x.reshape(len(x), 4).astype(np.int32) - ZERO_POINT) @ WEIGHTS.T.astype(np.int32)
    return np.clip(sums, -128, 127).astype(np.int8)


class CountingDevice:
    """Answers as the golden models do, one sample at a time, and counts 10 cycles for a layer of 6 busy ones.

    Parameters
    ----------
    pause: seconds that a sample takes.
    fail_at: raises `error` for the sample of that number.
    """

    batch = 1

    def __init__(
        self, graph: Graph, *, pause: float = 0.0, fail_at: int | None = None, error: BaseException | None = None
    ) -> None:
        self._graph = graph
        self._pause = pause
        self._fail_at, self._error = fail_at, error
        self._samples = 0
        self.closed = False
        self.placements = tuple(Placement(node=node, engine="mac") for node in graph.nodes)

    def infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        if self._samples == self._fail_at and self._error is not None:
            raise self._error
        time.sleep(self._pause)
        self._samples += 1
        return run(self._graph, inputs)

    def counters(self) -> Counters:
        done = self._samples
        layer = LayerCounters(cycles=10 * done, busy=6 * done, weights=3 * done, activations=done)
        layers = {node.name: layer for node in self._graph.nodes}
        return Counters(
            samples=done, cycles=16 * done, cycles_io=2 * done, bytes_in=4 * done, bytes_out=3 * done, layers=layers
        )

    def close(self) -> None:
        self.closed = True

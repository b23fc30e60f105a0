"""Binary networks: the CNV's cycles on the fabric with both engines, and how often the trained ones are right on MNIST."""

import sys

import numpy as np
from celosia.host import labels, reference
from celosia.host.frontends import qonnx
from celosia.host.ir import Graph
from celosia.host.session import Session, load_model
from rich.table import Table

from .workloads import ROOT, SHARED, Figures

sys.path.insert(0, str(ROOT / "tests"))  # the helper modules, as for pytest

from cnv import cnv

BOTH = "ecp5-85-xnor"
BUILT = "ecp5-85-xnor2"  # the smaller one, of which there is a bitstream
NETWORKS = ("mlp1", "cnn1", "a1", "w1")
FINN = 661  # images/s of the CNV with 1 bit on a Pynq-Z2, by the project's README


def frames(clock: float | None, figures: Figures) -> Table:
    """The CNV, layer by layer; random weights, its answers compared with the golden models'."""
    graph = load_model(qonnx.parse(cnv()))
    x = np.random.default_rng(2).random((2, 3, 32, 32), np.float32)
    with Session(graph, "sim", BUILT) as session:
        np.testing.assert_array_equal(session.run(x), reference.run(graph, {graph.inputs[0]: x})[graph.outputs[0]])
        report = session.report
    cycles = float(report.cycles or 0)
    figures["cnv.cycles"] = cycles
    rows = report.table()
    said = f"{1e6 / cycles:,.0f} frames/s a MHz"
    if clock:
        figures["cnv.frames_per_second"] = clock * 1e6 / cycles
        said = f"{clock * 1e6 / cycles:,.0f} frames/s at {clock:g} MHz"
    rows.title = f"CNV on {BUILT}: {cycles:,.0f} cycles, {said} (FINN on a Pynq-Z2: {FINN})"
    return rows


def accuracies(figures: Figures) -> Table:
    """Of the networks in tests/training/models on all test images, by the golden models; without ../shared, none."""
    rows = Table(title="trained networks on MNIST's test images")
    for column in ("network", "images", "right"):
        rows.add_column(column, justify="left" if column == "network" else "right")
    images = mnist()
    for name in NETWORKS if images else ():
        figures[f"mnist.{name}.accuracy"] = right = accuracy(trained(name), *images)
        rows.add_row(name, f"{len(images[1]):,}", f"{right:.2%}")
    return rows


def trained(name: str) -> Graph:
    """One of the networks in tests/training/models."""
    return load_model(ROOT / "tests" / "training" / "models" / f"mnist-{name}.onnx")


def mnist() -> tuple[np.ndarray, np.ndarray] | tuple[()]:
    """The test images, float32 (N, 1, 28, 28), 0..1, and what they show; nothing without ../shared."""
    stored = SHARED / "data" / "mnist_test.npz"
    if not stored.exists():
        return ()
    with np.load(stored) as arrays:
        return arrays["images"][:, np.newaxis].astype(np.float32) / np.float32(255), arrays["labels"].astype(np.int64)


def accuracy(graph: Graph, x: np.ndarray, known: np.ndarray) -> float:
    """Share of the images that the golden models get right."""
    return labels.accuracy(reference.run(graph, {graph.inputs[0]: x})[graph.outputs[0]], known)

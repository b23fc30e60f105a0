"""Every input of a set on the simulated fabric, every output exact; and a fabric through which nearly all weights stream."""

import sys

import numpy as np
from celosia.host.report import Report
from celosia.host.session import Session
from celosia.hw.config import STREAM_BYTES
from celosia.hw.presets import preset
from rich.table import Table

from .workloads import FABRIC, STARVED, Figures, Workload

STARVED_SAMPLES = 20


def table() -> Table:
    """An empty table for `measure`."""
    empty = Table(title=f"One inference on {FABRIC} ({preset(FABRIC).macs_per_cycle} MAC a cycle), every output exact")
    for column in ("model", "samples", "cycles", "I/O", "util.", "conv", "MAC/cycle", "MAC/s simulated", "set"):
        empty.add_column(column, justify="left" if column == "model" else "right")
    return empty


def measure(workload: Workload, figures: Figures, rows: Table) -> Report:
    """Runs a whole set on the fabric, fills in the figures, and adds a row."""
    name = workload.name
    with Session(workload.model, fabric=FABRIC) as session:
        outputs = session.run(workload.data["inputs"])
        report = session.report
    wrong = int((outputs != workload.data["outputs"]).any(axis=1).sum())
    if wrong:
        sys.exit(f"{name}: {wrong} of {len(outputs)} outputs differ from the reference")
    convolutions = [layer for layer in report.layers if layer.op == "conv_2d"]
    busy = sum(layer.cycles or 0 for layer in convolutions) * report.fabric.macs_per_cycle
    convolution = sum(layer.macs for layer in convolutions) / busy if busy else 0.0
    rate = report.macs * report.samples / report.seconds
    figures[f"{name}.cycles"] = report.cycles
    figures[f"{name}.utilization"] = report.utilization
    figures[f"{name}.conv_utilization"] = convolution
    figures[f"{name}.macs_per_cycle"] = report.macs / report.cycles
    figures[f"{name}.macs_per_second"] = rate
    figures[f"{name}.set_seconds"] = report.seconds
    rows.add_row(
        name,
        f"{report.samples}",
        f"{report.cycles:,.0f}",
        f"{report.cycles_io:,.0f}",
        f"{report.utilization:.1%}",
        f"{convolution:.1%}" if busy else "-",
        f"{report.macs / report.cycles:.1f}",
        f"{rate / 1e6:.1f} M",
        f"{report.seconds:.1f} s",
    )
    return report


def starved(workload: Workload, figures: Figures) -> str:
    """ic01 with a weight buffer of 8 KiB: the outputs, and how much of the weights' transfer the array's work hid."""
    count = STARVED_SAMPLES
    inputs, expected = workload.data["inputs"], workload.data["outputs"]
    with Session(workload.model, fabric=STARVED) as session:
        outputs = session.run(inputs[:count])
        report = session.report
    if not np.array_equal(outputs, expected[:count]):
        sys.exit(f"ic01 on {STARVED}: outputs differ from the reference")
    streamed = report.bytes_in / STREAM_BYTES - inputs[0].size / STREAM_BYTES
    waited = sum(layer.stalls["weights"] or 0 for layer in report.layers)
    figures["ic01.w8k.cycles"] = report.cycles
    figures["ic01.w8k.overlap"] = 1 - waited / streamed
    return (
        f"ic01 on {STARVED}: {count} outputs equal; {report.cycles:,.0f} cycles; of {streamed:,.0f} cycles of streaming "
        f"weights {1 - waited / streamed:.1%} behind the array's work, {waited:,.0f} waited for"
    )

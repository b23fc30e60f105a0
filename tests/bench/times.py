"""Milliseconds: the fabric at the clock that the last build confirmed, beside the host's own int8 inference on this CPU."""

import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from celosia.boards.measured import measured
from celosia.host.report import Report
from rich.table import Table

from .workloads import BOARD, FABRIC, Figures, Workload

_SECONDS = 1.0  # of repetition
_BOARD_FIGURES = ("fmax_mhz", "clock_mhz", "lut4", "ff", "dsp", "bram")


def build_of(fabric: str) -> dict[str, Any] | None:
    """What the board's last build of this fabric reported, None where there was none.

    `boards/measured.json` holds the build of the board's own fabric, `builds` those of others: `celosia build --board ulx3s-85f
    --fabric F --json R.json`, without paths.
    """
    result = measured().get(BOARD)
    if result is None or result["fabric"] != fabric:
        stored = Path(__file__).parent / "builds" / f"{fabric}.json"
        return json.loads(stored.read_text()) if stored.exists() else None
    return result


def clock_of(fabric: str) -> float | None:
    """MHz at which the board's last build of this fabric runs, None where there was none."""
    result = build_of(fabric)
    return None if result is None else min(float(result["clock_mhz"]), float(result["fmax_mhz"]))


def confirmed_clock(figures: Figures) -> float | None:
    """`clock_of` the fabric that is measured; fills in that build's figures."""
    clock = clock_of(FABRIC)
    if clock is None:
        return None
    result = measured()[BOARD]
    for name in _BOARD_FIGURES:
        figures[f"{BOARD}.{name}"] = float(result[name])
    figures[f"{BOARD}.date"] = result["date"]
    figures[f"{BOARD}.tools"] = ", ".join(f"{tool} {version}" for tool, version in result.get("tools", {}).items())
    return clock


def table(clock: float | None) -> Table:
    """An empty table for `compare`."""
    fabric = f"{FABRIC} at {clock:g} MHz, confirmed for {BOARD}" if clock else f"{FABRIC}, no clock confirmed for {BOARD}"
    rows = Table(title=f"One inference in ms: {fabric}; this CPU ({_cpu()}), LiteRT with XNNPACK, one thread")
    for column in ("model", "cycles", "fabric", "host", "host / fabric"):
        rows.add_column(column, justify="left" if column == "model" else "right")
    return rows


def compare(workload: Workload, report: Report, clock: float | None, figures: Figures, rows: Table) -> None:
    """Adds a row: the fabric's time without transfer, the host's measured here and now."""
    host = host_milliseconds(workload)
    figures[f"{workload.name}.host_ms"] = host
    ours, ratio = "-", "-"
    if clock:
        milliseconds = report.cycles / clock / 1000
        figures[f"{workload.name}.ms"] = milliseconds
        ours, ratio = f"{milliseconds:.4f}", f"{host / milliseconds:.1f}"
    rows.add_row(workload.name, f"{report.cycles:,.0f}", ours, f"{host:.4f}", ratio)


def host_milliseconds(workload: Workload) -> float:
    """Median of one inference, input and output copied as a user would."""
    interpreter = Interpreter(model_path=str(workload.model), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    inputs = workload.data["inputs"]
    times = []
    begin = time.perf_counter()
    while time.perf_counter() < begin + _SECONDS or len(times) < 20:
        sample = inputs[len(times) % len(inputs)].reshape(source["shape"])
        start = time.perf_counter()
        interpreter.set_tensor(source["index"], sample)
        interpreter.invoke()
        interpreter.get_tensor(sink["index"])
        times.append(time.perf_counter() - start)
    return float(np.median(times[len(times) // 10 :])) * 1000


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())

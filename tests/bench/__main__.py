"""Prints and writes everything."""

import json

from rich.console import Console

from . import binary, few_bits, modes, predicted, simulators, times, verification, whole_sets, xnor
from .workloads import ROOT, Figures, workloads

_WIDTH = 140  # of the widest table


def main() -> None:
    """Runs all measurements, one after the other: nothing else should run on the machine meanwhile."""
    console = Console()
    console.width = max(console.width, _WIDTH)
    figures: Figures = {}
    jobs = list(workloads())
    clock = times.confirmed_clock(figures)
    rows, rows_ms = whole_sets.table(), times.table(clock)
    reports = [whole_sets.measure(job, figures, rows) for job in jobs]
    console.print(rows)
    for job, report in zip(jobs, reports, strict=True):
        console.print(predicted.compare(job, report, figures))
        times.compare(job, report, clock, figures, rows_ms)
    console.print(rows_ms)
    figures["sim.macs_per_second"] = max(value for key, value in figures.items() if key.endswith(".macs_per_second"))
    for job in jobs:
        if job.name == "ic01":
            console.print(whole_sets.starved(job, figures))
    console.print(simulators.compare(figures))
    console.print(binary.frames(times.clock_of(binary.BUILT), figures))
    console.print(modes.table(figures))
    console.print(binary.accuracies(figures))
    console.print(few_bits.table(times.clock_of(few_bits.BOTH), figures))
    console.print(xnor.last(figures))
    console.print(verification.table(figures))
    path = ROOT / "bench.json"
    values = {name: value if isinstance(value, str) else round(float(value), 4) for name, value in figures.items()}
    path.write_text(json.dumps(values, indent=2) + "\n")
    console.print(f"wrote {path}")


if __name__ == "__main__":
    main()

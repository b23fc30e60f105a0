"""What the long runs of verification last gave: read from where they keep their results, not run again."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from .workloads import ROOT, Figures

_RUNS = {  # by figure: the file that keeps it, where it stands there, and what command makes it
    "mutation.planted": ("mutation/results.json", ("planted",), "make mutation"),
    "mutation.killed": ("mutation/results.json", ("killed",), "make mutation"),
    "coverage.percent": ("benches/results.json", ("coverage.percent",), "python -m tests.benches"),
    "fuzz.networks": ("fuzz/results.json", ("networks", "networks"), "python -m tests.fuzz networks"),
    "fuzz.model_bytes": ("fuzz/results.json", ("models", "fuzzed_bytes"), "python -m tests.fuzz models"),
}


def table(figures: Figures, tests: Path = ROOT / "tests") -> Table:
    """A line a figure; what was never run is left out of the figures."""
    rows = Table(title="verification, as last run")
    rows.add_column("figure")
    rows.add_column("last", justify="right")
    rows.add_column("command")
    for name, (file, place, command) in _RUNS.items():
        found: Any = json.loads((tests / file).read_text()) if (tests / file).exists() else {}
        for key in place:
            found = found.get(key, {})
        if found != {}:
            figures[name] = found
        rows.add_row(name, "never run" if found == {} else f"{found:,}", command)
    return rows

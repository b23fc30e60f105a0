"""What fewer bits buy: multiply-accumulates a cycle by widths, on the fabric with both engines, one convolution each."""

import sys
from dataclasses import dataclass

import numpy as np
from celosia.host import reference
from celosia.host.placement import place
from celosia.host.session import Session
from celosia.hw.config import preset
from rich.table import Table

from .binary import BOTH
from .workloads import ROOT, Figures

sys.path.insert(0, str(ROOT / "tests"))  # the helper modules, as for pytest

from binary_networks import samples
from few_bit_networks import Few


@dataclass(frozen=True, kw_only=True)
class Mode:
    """Widths of activations and weights, and how `bench.json` calls them, if it does."""

    activations: int
    weights: int
    figure: str = ""
    ternary: bool = False


MODES = (
    Mode(activations=8, weights=8, figure="8"),
    Mode(activations=8, weights=2),
    Mode(activations=4, weights=8),
    Mode(activations=4, weights=4, figure="4"),
    Mode(activations=4, weights=2),
    Mode(activations=2, weights=4),
    Mode(activations=2, weights=2, figure="2"),
    Mode(activations=2, weights=2, figure="ternary", ternary=True),
)
_MAP, _CHANNELS, _OUTPUTS = (8, 8), 128, 64


def table(clock: float | None, figures: Figures) -> Table:
    """A row a mode; every output compared with the golden models'."""
    config = preset(BOTH)
    at = f" at {clock:g} MHz" if clock else ""
    rows = Table(title=f"one convolution 3x3, {_CHANNELS} to {_OUTPUTS} channels, on {BOTH}{at}")
    for column in ("activations", "weights", "engine", "MAC/cycle, busy", "MAC/cycle, layer", "weights, bytes", "GOPS, busy"):
        rows.add_column(column, justify="right")
    for mode in MODES:
        network = Few(1, (*_MAP, 16)).first(_CHANNELS, (1, 1), bits=mode.activations)
        graph = network.conv(_OUTPUTS, weights=mode.weights, bits=8, padding=1, ternary=mode.ternary).graph()
        x = samples(graph, 1)
        with Session(graph, "sim", BOTH) as session:
            found = session.run(x)
            layer = session.report.layers[-1]
        np.testing.assert_array_equal(found, reference.run(graph, {"x": x})[graph.outputs[0]])
        cycles = layer.cycles or 0
        busy = layer.macs / (cycles - sum(stall or 0 for stall in layer.stalls.values()))
        if mode.figure:
            figures[f"modes.{mode.figure}.macs_per_cycle"] = busy
        kept = place(graph, config)[-1].layer
        words = 0 if kept is None else kept.words
        rows.add_row(
            str(mode.activations),
            "ternary" if mode.ternary else str(mode.weights),
            layer.engine,
            f"{busy:,.0f}",
            f"{layer.macs / cycles:,.0f}",
            f"{words * config.word_bytes:,}",
            f"{2 * busy * clock / 1000:.1f}" if clock else "-",
        )
    return rows

"""What fewer bits buy: multiply-accumulates a cycle by widths, one convolution each; 8 bits and fewer on the fabrics with both
engines, more on the one that takes them."""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from celosia.host import reference
from celosia.host.ir import Graph
from celosia.host.placement import place
from celosia.host.session import Session
from celosia.hw.presets import preset
from rich.table import Table

from .binary import BOTH, BUILT
from .times import build_of, clock_of
from .workloads import ROOT, Figures

sys.path.insert(0, str(ROOT / "tests"))  # the helper modules, as for pytest

from binary_networks import samples
from few_bit_networks import Few
from wide_networks import Wide
from wide_networks import samples as wide_samples


@dataclass(frozen=True, kw_only=True)
class Mode:
    """Widths of activations and weights, and how `bench.json` calls them, if it does."""

    activations: int
    weights: int
    figure: str = ""
    ternary: bool = False
    small: bool = False  # on the fabric with the smaller XNOR engine

    @property
    def fabric(self) -> str:
        """The preset that it runs on."""
        if max(self.activations, self.weights) > 8:
            return WIDE
        return BUILT if self.small else BOTH

    def network(self) -> Graph:
        """One convolution, behind another where planes of bits must be made first."""
        if self.fabric == WIDE:
            network = Wide(1, (*_MAP, _WIDE_CHANNELS), bits=self.activations)
            return network.conv(_OUTPUTS, weights=self.weights, bits=self.activations, padding=1).graph()
        few = Few(1, (*_MAP, 16)).first(_CHANNELS, (1, 1), bits=self.activations)
        return few.conv(_OUTPUTS, weights=self.weights, bits=8, padding=1, ternary=self.ternary).graph()


WIDE = "ecp5-85-16"

MODES = (
    Mode(activations=16, weights=16, figure="16"),
    Mode(activations=16, weights=8),
    Mode(activations=10, weights=10),
    Mode(activations=8, weights=16),
    Mode(activations=8, weights=8, figure="8"),
    Mode(activations=8, weights=2),
    Mode(activations=4, weights=8),
    Mode(activations=4, weights=4, figure="4"),
    Mode(activations=4, weights=2),
    Mode(activations=2, weights=4),
    Mode(activations=2, weights=2, figure="2"),
    Mode(activations=2, weights=2, figure="ternary", ternary=True),
    Mode(activations=8, weights=8, small=True),
    Mode(activations=2, weights=4, small=True),
    Mode(activations=2, weights=2, small=True),
    Mode(activations=2, weights=2, ternary=True, small=True),
)
_MAP, _CHANNELS, _WIDE_CHANNELS, _OUTPUTS = (8, 8), 128, 32, 64


def table(figures: Figures) -> Table:
    """A row a mode; every output compared with the golden models'. Resources and clock are those of the fabric's last build."""
    rows = Table(title=f"one convolution 3x3, {_CHANNELS} (of more than 8 bits {_WIDE_CHANNELS}) to {_OUTPUTS} channels")
    for column in (
        *("activations", "weights", "fabric", "engine", "MAC/cycle, busy", "MAC/cycle, layer"),
        *("weights, bytes", "LUT4", "DSP", "MHz", "GOPS, busy", "GOPS/DSP"),
    ):
        rows.add_column(column, justify="right")
    for mode in MODES:
        graph, config, build, clock = mode.network(), preset(mode.fabric), build_of(mode.fabric), clock_of(mode.fabric)
        x = (wide_samples if mode.fabric == WIDE else samples)(graph, 1)
        with Session(graph, "sim", mode.fabric) as session:
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
            mode.fabric,
            layer.engine,
            f"{busy:,.0f}",
            f"{layer.macs / cycles:,.0f}",
            f"{words * config.word_bytes:,}",
            *_built(build, clock, busy),
        )
    return rows


def _built(build: dict[str, Any] | None, clock: float | None, busy: float) -> tuple[str, ...]:
    """LUT4, multipliers, MHz and GOPS of a build, and the last of each multiplier; nothing of a fabric that was not built."""
    if build is None or clock is None:
        return ("-",) * 5
    gops = 2 * busy * clock / 1000
    return (f"{build['lut4']:,}", f"{build['dsp']}", f"{clock:g}", f"{gops:.1f}", f"{gops / build['dsp']:.2f}")

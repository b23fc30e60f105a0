"""What a quantization came to, for people and for programs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..frontends.qonnx import exactness
from ..report import short
from .calibrated import EDGE_BITS
from .trial import Bench, Trial, front_of

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """A chosen trial of a bench; what is known once it is judged.

    data: the QONNX file. score: the golden models' on all samples. thresholds, unproven: of the requantizations, those that
    rounding errors of the executor's own sums could move. searched: whether widths were, and `activations` whether theirs were.
    """

    bench: Bench
    chosen: Trial
    searched: bool = False
    activations: bool = False
    data: bytes = b""
    score: float = 0.0
    thresholds: int = 0
    unproven: int = 0

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials that none dominates."""
        return front_of(self.bench.trials)

    def tables(self) -> "Iterator[Table]":
        """The front of a search, and the layers of the chosen network."""
        if self.searched:
            yield self._front_table()
        yield self._layer_table()

    def _front_table(self) -> "Table":
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        judge = self.bench.judge
        title = f"{len(self.front)} of {len(self.bench.trials)} mixes that none other beats in every respect"
        table = Table(title=Text(title), box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
        for heading in ("bits of weights", *(("of activations",) if self.activations else ())):
            table.add_column(heading, overflow="fold")
        for heading in (judge.measure, "lost", "packed bytes", "loaded bytes", "cycles", ""):
            table.add_column(heading, justify="right", no_wrap=True)
        for trial in self.front:
            widths = [_digits(trial.widths.weights), *([_digits(trial.widths.activations)] if self.activations else [])]
            figures = [f"{trial.score:.2%}", f"{trial.loss:.2%}", *_numbers(trial.packed, trial.loaded, trial.cycles)]
            table.add_row(*map(Text, [*widths, *figures, "chosen" if trial == self.chosen else ""]))
        return table

    def _layer_table(self) -> "Table":
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        network = self.bench.calibrated.network
        table = Table(title=Text(f"{network.name} as it is written"), box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
        table.add_column("layer", overflow="fold")
        for heading in ("weights", "bits of weights", "of its output", "packed bytes"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, shape, bits, behind, size in self._layers():
            table.add_row(*map(Text, (short(name), "x".join(map(str, shape)), str(bits), str(behind), f"{size:,}")))
        return table

    def _layers(self) -> Iterator[tuple[str, tuple[int, ...], int, int, int]]:
        calibrated, widths = self.bench.calibrated, self.chosen.widths
        inner = {point.maker: bits for point, bits in zip(calibrated.inner, widths.activations, strict=True)}
        for layer, bits in zip(calibrated.network.layers, widths.weights, strict=True):
            size = -(-layer.kernel.size * bits // 8) + 4 * layer.offsets.size
            yield layer.name, layer.kernel.shape, bits, inner.get(layer, EDGE_BITS), size

    def lines(self) -> Iterator[str]:
        """What the tables have no column for, a line each."""
        bench, chosen = self.bench, self.chosen
        judge, network = bench.judge, bench.calibrated.network
        yield from (f"note: {note}" for note in network.notes)
        count = len(judge.labels)
        whose = "" if judge.measure == "accuracy" else " with the float network"
        yield (
            f"{judge.measure}{whose}: {self.score:.2%} of {count:,} samples on the golden models; the float network has"
            f" {judge.float_score:.2%}"
        )
        floats = 4 * sum(layer.kernel.size + layer.offsets.size for layer in network.layers)
        yield f"weights and biases: {chosen.packed:,} bytes packed, {floats:,} in float32"
        costs = f"{chosen.loaded:,} bytes loaded once, {chosen.cycles:,} cycles an inference"
        wide = bench.cost(bench.calibrated.uniform(EDGE_BITS, EDGE_BITS))
        if {*chosen.widths.weights, *chosen.widths.activations} != {EDGE_BITS}:
            held = ", for it holds narrower weights in bytes" if wide.loaded == chosen.loaded else ""
            costs += f"; with 8 bits {wide.loaded:,} bytes and {wide.cycles:,} cycles{held}"
        yield f"fabric {bench.fabric.name}: {costs}"
        if self.searched and not self.activations:
            yield "activations: 8 bits, for narrower ones save neither cycles nor loaded bytes on this fabric"
        yield exactness(self.unproven, self.thresholds)

    def to_json(self) -> str:
        """The text of `R.json`."""
        judge = self.bench.judge
        content = {
            "model": self.bench.calibrated.network.name,
            "fabric": self.bench.fabric.name,
            "samples": len(judge.labels),
            "measure": judge.measure,
            "float": judge.float_score,
            "score": self.score,
            "thresholds": self.thresholds,
            "unproven": self.unproven,
            "chosen": _record(self.chosen),
            "layers": [
                {"name": name, "shape": shape, "bits": bits, "output_bits": behind, "packed_bytes": size}
                for name, shape, bits, behind, size in self._layers()
            ],
            "front": [_record(trial) for trial in self.front] if self.searched else [],
            "trials": [_record(trial) for trial in self.bench.trials] if self.searched else [],
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def picture(self, file_format: str) -> bytes:
        """The front, drawn."""
        from .front_picture import draw

        judge = self.bench.judge
        title = f"{self.bench.calibrated.network.name} on fabric {self.bench.fabric.name}, {len(judge.labels):,} samples"
        return draw(self.bench.trials, self.chosen, judge.float_score, judge.measure, title, file_format)


def _record(trial: Trial) -> dict[str, object]:
    return {
        "weights": list(trial.widths.weights),
        "activations": list(trial.widths.activations),
        "score": trial.score,
        "loss": trial.loss,
        "cycles": trial.cycles,
        "loaded_bytes": trial.loaded,
        "packed_bytes": trial.packed,
    }


def _digits(widths: tuple[int, ...]) -> str:
    return " ".join(map(str, widths))


def _numbers(*values: int) -> list[str]:
    return [f"{value:,}" for value in values]

"""One choice of widths, tried: how good it is, and what it costs on a fabric."""

from dataclasses import dataclass

import numpy as np

from ...hw.config import FabricConfig
from ..cost.summary import Target, summarize
from ..ir import Graph
from ..passes import simplify
from ..schedule import schedule
from .calibrated import WIDTHS, Calibrated, Widths
from .network import Float32Array
from .quality import Judge
from .runtime import Runner


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the cost model says of an inference: cycles, and bytes of program and weights that are loaded for it once."""

    cycles: int
    loaded: int


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Widths with what they gave. packed: bytes of weights and biases, the weights packed to their widths."""

    widths: Widths
    score: float
    loss: float
    cycles: int
    loaded: int
    packed: int

    @property
    def costs(self) -> tuple[float, int, int, int]:
        """All that should be small."""
        return self.loss, self.cycles, self.loaded, self.packed

    def dominates(self, other: "Trial") -> bool:
        """Whether it is nowhere worse and somewhere better."""
        pairs = list(zip(self.costs, other.costs, strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def cost_of(graph: Graph, fabric: FabricConfig) -> Cost:
    """The cost model's answer. Raises CapacityError where the fabric cannot hold the network."""
    cost = summarize(schedule(graph, fabric), Target(fabric=fabric)).cost
    return Cost(cycles=cost.cycles, loaded=4 * cost.setup_words)


class Bench:
    """Tries widths on samples and a fabric; the same widths once."""

    def __init__(
        self, calibrated: Calibrated, judge: Judge, x: Float32Array, samples_at_once: int, fabric: FabricConfig
    ) -> None:
        self.calibrated = calibrated
        self.judge = judge
        self._x = x
        self._at_once = samples_at_once
        self.fabric = fabric
        self._tried: dict[Widths, Trial] = {}

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All that were tried, in order."""
        return tuple(self._tried.values())

    @property
    def wide(self) -> Trial:
        """Of 8 bits throughout."""
        return self.trial(self.calibrated.uniform(max(WIDTHS), max(WIDTHS)))

    def cost(self, widths: Widths) -> Cost:
        """Of the network with these widths."""
        from ..frontends import qonnx

        return cost_of(simplify(qonnx.parse(self.calibrated.qonnx(widths))), self.fabric)

    def trial(self, widths: Widths) -> Trial:
        """Quantizes, judges, and asks the cost model."""
        if widths not in self._tried:
            output = self.calibrated.network.output
            answers = Runner(self.calibrated.simulated(widths), [output], self._at_once).run(self._x)
            score = self.judge.score(answers)
            cost = self.cost(widths)
            self._tried[widths] = Trial(
                widths=widths,
                score=score,
                loss=self.judge.float_score - score,
                cycles=cost.cycles,
                loaded=cost.loaded,
                packed=self.calibrated.packed_bytes(widths),
            )
        return self._tried[widths]


def price_of(trial: Trial, wide: Trial) -> float:
    """One number for all that it costs: cycles, bytes loaded and packed bytes, each in units of 8 bits' (`wide`)."""
    pairs = ((trial.cycles, wide.cycles), (trial.loaded, wide.loaded), (trial.packed, wide.packed))
    return sum(here / there for here, there in pairs if there)


def front_of(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    """Those that none dominates, the cheapest first; of equal ones the first."""
    kept: dict[tuple[float, int, int, int], Trial] = {}
    for trial in trials:
        if not any(other.dominates(trial) for other in trials):
            kept.setdefault(trial.costs, trial)
    return tuple(sorted(kept.values(), key=lambda trial: (trial.cycles, trial.loaded, trial.packed, trial.loss)))


def chosen_of(trials: tuple[Trial, ...], wide: Trial, max_loss: float) -> Trial | None:
    """The cheapest that loses no more; of equally cheap ones that which loses least."""
    fine = [trial for trial in trials if trial.loss <= max_loss + np.finfo(float).eps]
    return min(fine, key=lambda trial: (price_of(trial, wide), trial.loss), default=None)

"""The work of `celosia quantize`, step by step: read, calibrate, choose widths, judge what came out."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from ...hw.config import FabricConfig
from ...sim.errors import ModelError
from .. import samples
from ..frontends import qonnx
from ..ir import Tensor
from ..session import Session, load_model
from .calibrated import Calibrated
from .network import Float32Array, FloatNetwork
from .observe import observe
from .points import points_of
from .quality import Judge, judge_of
from .reader import parse
from .result import Result
from .runtime import Runner, at_once
from .search import search
from .trial import Bench, chosen_of
from .writer import float_model

Tell = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A float network, the samples x (N, ...), and who judges answers to them."""

    network: FloatNetwork
    x: Float32Array
    judge: Judge

    @staticmethod
    def read(model: str | os.PathLike[str], data: str | os.PathLike[str], labels: str | os.PathLike[str] | None) -> "Task":
        """From files. Raises ModelError where one of them does not fit; ToolError without the extra `quantize`."""
        path = Path(model)
        try:
            content = path.read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ModelError(f"Model {str(path)!r} cannot be read: {reason}") from error
        network = parse(content, path.name)
        tensor = Tensor(name=network.input, shape=network.shape, dtype="float32")
        x = samples.prepare(samples.read(data), tensor)
        known = None if labels is None else samples.read(labels, "labels")
        runner = Runner(float_model(network, [network.output]), [network.output], _at_once(network))
        return Task(network=network, x=x, judge=judge_of(network, runner.run(x), known))

    def bench(self, fabric: FabricConfig, calibrate: int, method: str, seed: int, tell: Tell) -> Bench:
        """Calibrates on so many samples, spread evenly over all."""
        chosen = np.unique(np.linspace(0, len(self.x) - 1, min(calibrate, len(self.x))).round().astype(np.int64))
        points = points_of(self.network)
        observed = observe(self.network, points, self.x[chosen], seed, lambda done: tell(done, len(chosen)))
        calibrated = Calibrated(self.network, points, observed, method)
        return Bench(calibrated, self.judge, self.x, _at_once(self.network), fabric)

    def uniform(self, bench: Bench, weights: int, activations: int) -> Result:
        """The same width everywhere."""
        return Result(bench=bench, chosen=bench.trial(bench.calibrated.uniform(weights, activations)))

    def search(
        self, bench: Bench, *, sampler: str, trials: int, seed: int, max_loss: float, tell: Tell | None = None
    ) -> Result:
        """The cheapest mix of widths that loses no more than `max_loss`. Raises ModelError where none of the tried does."""
        searched = search(bench, sampler=sampler, trials=trials, seed=seed, max_loss=max_loss, tell=tell)
        chosen = chosen_of(bench.trials, bench.wide, max_loss)
        if chosen is None:
            best = min(trial.loss for trial in bench.trials)
            raise ModelError(
                f"none of {len(bench.trials)} mixes of widths loses {max_loss:.3%} or less of {self.judge.measure}; the best"
                f" loses {best:.3%}: allow more with --max-loss, or try more with --trials"
            )
        return Result(bench=bench, chosen=chosen, searched=True, activations=searched)

    def judged(self, result: Result, tell: Tell | None = None) -> Result:
        """The result as a file, its answers computed by the golden models from that very file."""
        data = result.bench.calibrated.qonnx(result.chosen.widths)
        graph = load_model(qonnx.parse(data, self.network.name))
        with Session(graph, "golden", result.bench.fabric) as session:
            answers = session.run(self.x, tell)
        assert isinstance(answers, np.ndarray)
        return replace(
            result,
            data=data,
            score=self.judge.score(answers),
            thresholds=int(graph.metadata["thresholds"]),
            unproven=int(graph.metadata["unproven"]),
        )


def _at_once(network: FloatNetwork) -> int:
    return at_once([prod(network.shape), *(prod(step.shape) for step in network.steps)])

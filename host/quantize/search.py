"""The search for widths: Optuna's samplers ask, a bench answers.

    tpe      tree-structured Parzen estimators, of several objectives: loss, cycles, bytes
    nsga2    an evolutionary algorithm, of the same objectives
    cmaes    evolution of a covariance matrix; it knows one objective: the price, and a penalty for loss beyond what is allowed

Widths of activations are searched where the cost model says that narrow ones save a hundredth of cycles or bytes; else 8 bits
are free.
"""

import warnings
from collections.abc import Callable
from typing import Any

from . import extras
from .calibrated import WIDTHS, Widths
from .trial import Bench, Trial, price_of

SAMPLERS = ("tpe", "nsga2", "cmaes")
_WIDEST, _NARROWEST = max(WIDTHS), min(WIDTHS)
_WORTH = 0.01  # what narrow activations must save
_PENALTY = 4.0  # of a loss of twice the allowed one, in units of a price


def search(
    bench: Bench, *, sampler: str, trials: int, seed: int, max_loss: float, tell: Callable[[int, int], None] | None = None
) -> bool:
    """Tries `trials` choices of widths on the bench, the uniform ones first. Returns whether activations' widths counted.

    Raises ToolError where Optuna is missing.
    """
    optuna = extras.load("optuna")
    if sampler == "cmaes":
        extras.load("cmaes")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    calibrated = bench.calibrated
    wide = bench.wide
    activations = bool(calibrated.inner) and any(_narrow_ones_save(bench, weights) for weights in (_WIDEST, _NARROWEST))
    single = sampler == "cmaes"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(sampler=_sampler(optuna, sampler, seed), directions=["minimize"] * (1 if single else 4))
        names = _names(bench, activations)
        for width in sorted(WIDTHS, reverse=True)[: max(1, trials // 2)]:
            study.enqueue_trial(dict.fromkeys(names, width))

        def objective(asked: Any) -> float | tuple[float, ...]:
            found = bench.trial(_asked(asked, bench, activations))
            return _single(found, wide, max_loss) if single else found.costs

        def after(study: Any, trial: Any) -> None:
            if tell:
                tell(trial.number + 1, trials)

        study.optimize(objective, n_trials=trials, callbacks=[after])
    return activations


def _narrow_ones_save(bench: Bench, weights: int) -> bool:
    """Whether the narrowest activations take less than the widest, beside weights of so many bits."""
    wide, narrow = (bench.cost(bench.calibrated.uniform(weights, width)) for width in (_WIDEST, _NARROWEST))
    least = 1 - _WORTH
    return narrow.cycles < least * wide.cycles or narrow.loaded < least * wide.loaded


def _sampler(optuna: Any, name: str, seed: int) -> Any:
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
    if name == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return optuna.samplers.TPESampler(seed=seed, multivariate=True)


def _names(bench: Bench, activations: bool) -> list[str]:
    layers, inner = len(bench.calibrated.network.layers), len(bench.calibrated.inner)
    return [f"w{index}" for index in range(layers)] + [f"a{index}" for index in range(inner if activations else 0)]


def _asked(asked: Any, bench: Bench, activations: bool) -> Widths:
    found = {name: int(asked.suggest_int(name, _NARROWEST, _WIDEST)) for name in _names(bench, activations)}
    inner = len(bench.calibrated.inner)
    return Widths(
        weights=tuple(width for name, width in found.items() if name[0] == "w"),
        activations=tuple(found.get(f"a{index}", _WIDEST) for index in range(inner)),
    )


def _single(found: Trial, wide: Trial, max_loss: float) -> float:
    """One number for a sampler that knows one objective."""
    return price_of(found, wide) + _PENALTY * max(0.0, found.loss - max_loss) / max(max_loss, 1e-3)

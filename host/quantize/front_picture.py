"""The picture of a search: what each trial scores against what it costs, the front as a line, the chosen one marked."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from ..picture import saved
from .trial import Trial, front_of

_COLOURS = {"trials": "#b8c4c9", "front": "#2a9d8f", "chosen": "#e76f51", "float": "#264653"}
_COSTS = {"packed": "bytes of weights and biases, packed", "loaded": "bytes loaded once", "cycles": "cycles an inference"}


def draw(trials: Sequence[Trial], chosen: Trial, float_score: float, measure: str, title: str, file_format: str) -> bytes:
    """The picture as the content of a file: a panel for each cost that the widths change, the packed bytes' always."""
    shown = [cost for cost in _COSTS if cost == "packed" or _spread([getattr(trial, cost) for trial in trials])]
    figure = Figure(figsize=(1.5 + 5.5 * len(shown), 5), layout="constrained")
    front = front_of(tuple(trials))
    for axes, cost in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        places = sorted((getattr(trial, cost), trial.score) for trial in front)
        axes.plot(*_places(trials, cost), "o", color=_COLOURS["trials"], markersize=4, label=f"{len(trials)} tried")
        axes.plot(*zip(*places, strict=True), "o-", color=_COLOURS["front"], markersize=5, label=f"front, {len(front)}")
        uniform: dict[tuple[float, float], int] = {
            (getattr(trial, cost), trial.score): trial.widths.weights[0] for trial in trials if _uniform(trial)
        }
        for place, width in uniform.items():
            axes.annotate(f"{width} bits", place, textcoords="offset points", xytext=(4, -10), fontsize=7)
        axes.plot(
            getattr(chosen, cost), chosen.score, "o", markersize=11, markerfacecolor="none", markeredgewidth=2,
            color=_COLOURS["chosen"], label="chosen: " + " ".join(map(str, chosen.widths.weights)),
        )  # fmt: skip
        axes.axhline(float_score, color=_COLOURS["float"], linewidth=0.8, linestyle=":", label="float")
        low = min(trial.score for trial in front)
        axes.set_ylim(low - 0.15 * (float_score - low) - 0.005, max(float_score, *(score for _, score in places)) + 0.01)
        axes.set_xlabel(_COSTS[cost])
        axes.set_ylabel(measure)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        axes.legend(loc="lower right", fontsize=8)
    figure.suptitle(title, parse_math=False)
    return saved(figure, file_format)


def _spread(costs: Sequence[int]) -> bool:
    """Whether they differ by a hundredth and more."""
    return min(costs) < 0.99 * max(costs)


def _places(trials: Sequence[Trial], cost: str) -> tuple[list[float], list[float]]:
    return [getattr(trial, cost) for trial in trials], [trial.score for trial in trials]


def _uniform(trial: Trial) -> bool:
    return len({*trial.widths.weights}) == 1

"""Functional coverage: what a bench must have seen is written down in `plan.toml`, what it saw is counted here.

A goal of the plan is a set of axes, each with its bins: `{ rounding = ["twice", "once"], stalls = ["none", "random"] }`. Its
points are all combinations. A bench says what it sees as `hit(rounding="once", stalls="none", ...)`: that counts for the
point of every goal whose axes it names.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

PLAN = Path(__file__).with_name("plan.toml")

Goal = Mapping[str, tuple[str, ...]]


def read_plan(path: Path = PLAN) -> dict[str, tuple[Goal, ...]]:
    """The goals of every bench."""
    text = tomllib.loads(path.read_text())
    return {
        bench: tuple({axis: tuple(map(str, bins)) for axis, bins in goal.items()} for goal in entry["goals"])
        for bench, entry in text.items()
    }


class Coverage:
    """Counts the points of a bench's goals."""

    def __init__(self, goals: tuple[Goal, ...]):
        self._goals = goals
        self._axes = {axis for goal in goals for axis in goal}
        self._counts: Counter[str] = Counter()

    def hit(self, **bins: object) -> None:
        """Something was seen. A bin that the plan has not counts for nothing; an axis that it has not is an error."""
        unknown = set(bins) - self._axes
        if unknown:
            raise ValueError(f"the plan has no axis {', '.join(sorted(unknown))}")
        for goal in self._goals:
            if goal.keys() <= bins.keys():
                self._counts[_name({axis: str(bins[axis]) for axis in goal})] += 1

    def merge(self, path: Path) -> None:
        """Adds what `write` wrote."""
        self._counts.update(json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self._counts))

    def points(self) -> Iterator[tuple[str, int]]:
        """Every point of the plan, and how often it was hit."""
        for goal in self._goals:
            for bins in product(*goal.values()):
                name = _name(dict(zip(goal, bins, strict=True)))
                yield name, self._counts[name]

    def missed(self) -> list[str]:
        """Points of the plan that were never hit."""
        return [name for name, count in self.points() if not count]

    def percent(self) -> float:
        """Share of the plan's points that were hit."""
        counts = [count for _, count in self.points()]
        return 100 * sum(count > 0 for count in counts) / len(counts)


def _name(bins: Mapping[str, str]) -> str:
    return ", ".join(f"{axis} {bins[axis]}" for axis in sorted(bins))

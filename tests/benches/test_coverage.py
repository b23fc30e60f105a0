"""The plan holds: what was never seen is missed, and whoever names what the plan has not is told."""

import pytest

from benches.blocks import BENCHES
from benches.coverage import Coverage, read_plan

GOALS = ({"size": ("1", "2"), "stalls": ("none", "some")}, {"reset": ("yes",)})


def test_a_point_that_was_never_hit_is_missed():
    coverage = Coverage(GOALS)
    assert coverage.percent() == 0
    for size, stalls in ((1, "none"), (2, "none"), (2, "some")):
        coverage.hit(size=size, stalls=stalls)
    coverage.hit(reset="yes", size=1)  # says nothing of stalls
    assert coverage.missed() == ["size 1, stalls some"]
    assert coverage.percent() == 80
    coverage.hit(size=1, stalls="some", reset="yes")
    assert coverage.missed() == []
    assert coverage.percent() == 100


def test_what_the_plan_does_not_have():
    coverage = Coverage(GOALS)
    coverage.hit(size=3, stalls="none")
    assert sum(count for _, count in coverage.points()) == 0
    with pytest.raises(ValueError, match="no axis stall"):
        coverage.hit(size=1, stall="none")


def test_runs_add_up(tmp_path):
    coverage, other = Coverage(GOALS), Coverage(GOALS)
    for one in (coverage, other):
        one.hit(size=1, stalls="none")
    other.hit(reset="yes")
    other.write(tmp_path / "coverage.json")
    coverage.merge(tmp_path / "coverage.json")
    assert [count for _, count in coverage.points()] == [2, 0, 0, 0, 1]


def test_every_bench_has_its_plan():
    plan = read_plan()
    assert plan.keys() == BENCHES.keys()
    for goals in plan.values():
        assert all(len(set(bins)) == len(bins) > 0 for goal in goals for bins in goal.values())
        assert any(goal.get("reset") for goal in goals), "no bench without a reset in mid-stream"

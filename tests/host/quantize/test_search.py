"""The search for widths: each sampler, the front, the choice; the cost model decides whether activations are searched."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from celosia.host.quantize.calibrated import Widths
from celosia.host.quantize.search import SAMPLERS, search
from celosia.host.quantize.task import Task
from celosia.host.quantize.trial import Bench, Cost, Trial, chosen_of, front_of
from celosia.hw.presets import preset
from celosia.sim.errors import ModelError
from float_networks import write_digits


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder)
    return Task.read(folder / "digits.onnx", folder / "x.npy", folder / "y.npy")


def bench_of(task: Task) -> Bench:
    return task.bench(preset("ecp5-85"), 200, "mse", 0, lambda done, total: None)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_finds_a_cheap_network(task: Task, sampler: str) -> None:
    """The chosen one loses no more than it may, is cheaper than 8 bits by half, and the same seed finds it again."""
    results = [task.search(bench_of(task), sampler=sampler, trials=14, seed=3, max_loss=0.02) for _ in range(2)]
    first, second = results
    assert first.chosen == second.chosen
    assert first.bench.trials == second.bench.trials
    assert first.chosen.loss <= 0.02
    assert first.chosen.packed < 0.6 * first.bench.wide.packed
    assert not first.activations  # today's array holds a byte, however narrow
    assert len({trial.loaded for trial in first.bench.trials}) == 1
    assert {widths.activations for widths in (trial.widths for trial in first.bench.trials)} == {(8, 8)}


def test_what_the_search_scored_is_what_the_golden_models_answer(task: Task) -> None:
    result = task.judged(task.search(bench_of(task), sampler="tpe", trials=8, seed=0, max_loss=0.05))
    assert result.score == result.chosen.score
    assert result.unproven == 0


def test_a_fabric_with_narrow_modes_is_a_matter_of_the_cost_model(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cost model that rewards narrow activations: they are searched, and its cycles and bytes count."""
    bench = bench_of(task)

    def cost(widths: Widths) -> Cost:
        return Cost(cycles=100 * sum(widths.activations), loaded=10 * sum(widths.weights))

    monkeypatch.setattr(bench, "cost", cost)
    assert search(bench, sampler="nsga2", trials=12, seed=0, max_loss=0.02)
    assert len({trial.widths.activations for trial in bench.trials}) > 4
    assert all(trial.cycles == 100 * sum(trial.widths.activations) for trial in bench.trials)


def test_nothing_good_enough_is_one_sentence(task: Task) -> None:
    right = np.eye(10, dtype=np.float32)[task.judge.labels]
    strict = replace(task, judge=replace(task.judge, answers=right))  # as if the float network were never wrong
    bench = bench_of(strict)
    with pytest.raises(ModelError, match=r"none of \d+ mixes .* 0\.000% or less of accuracy; the best loses .*--max-loss"):
        strict.search(bench, sampler="tpe", trials=2, seed=0, max_loss=0.0)


def made(loss: float, cycles: int, packed: int) -> Trial:
    widths = Widths(weights=(packed,), activations=())
    return Trial(widths=widths, score=1 - loss, loss=loss, cycles=cycles, loaded=10, packed=packed)


def test_the_front_and_the_choice() -> None:
    a, b, c, d = made(0.0, 100, 80), made(0.01, 100, 40), made(0.01, 100, 60), made(0.2, 50, 20)
    assert front_of((a, b, c, d)) == (d, b, a)
    assert front_of((a, a)) == (a,)
    assert chosen_of((a, b, c, d), a, 0.01) == b
    assert chosen_of((a, b, c, d), a, 1.0) == d
    assert chosen_of((a, b, c, d), a, 0.005) == a
    assert chosen_of((b, d), a, 0.0) is None
    # Four cycles more do not outweigh half the bytes.
    assert chosen_of((made(0.0, 100, 80), made(0.0, 104, 40)), a, 0.0) == made(0.0, 104, 40)


def test_the_cost_is_that_of_estimate(task: Task, tmp_path: Path) -> None:
    from celosia.host.cost.summary import Target, summarize
    from celosia.host.schedule import schedule
    from celosia.host.session import load_model

    bench = bench_of(task)
    widths = bench.calibrated.uniform(4, 4)
    (tmp_path / "q.onnx").write_bytes(bench.calibrated.qonnx(widths))
    fabric = preset("ecp5-85")
    summary = summarize(schedule(load_model(tmp_path / "q.onnx"), fabric), Target(fabric=fabric))
    assert bench.cost(widths) == Cost(cycles=summary.cost.cycles, loaded=4 * summary.cost.setup_words)

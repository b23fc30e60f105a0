"""Builds the benches' simulator and runs one of them."""

import os
import tempfile
import zlib
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from functools import cache
from pathlib import Path

from celosia.sim import bench_runner
from celosia.sim.bench_runner import Outcome

from .blocks import BENCHES, verilog_of_benches
from .coverage import Coverage, read_plan

FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Run:
    """What became of a bench."""

    bench: str
    simulator: str
    seed: int
    outcome: Outcome
    coverage: Coverage

    def complaint(self) -> str:
        """What is wrong, or nothing."""
        again = f"seed {self.seed}; CELOSIA_SEED={_moved()} repeats it"
        said = [f"{name}: {failure}" for name, failure in self.outcome.failures.items()]
        if not self.outcome.tests:
            said.append("it has no tests")
        missed = self.coverage.missed()
        if not said and missed:
            said.append(f"{len(missed)} points of the plan were never hit: {'; '.join(missed[:20])}")
        return "\n".join([f"{self.bench} on {self.simulator}, {again}", *said]) if said else ""


def _moved() -> int:
    return int(os.environ.get("CELOSIA_SEED", "0"))


def best_simulator() -> str:
    """For a run of its own: Icarus takes Verilog in seconds, on which Verilator and a compiler work for minutes."""
    return "icarus" if bench_runner.has_simulator("icarus") else "verilator"


@cache
def simulator_of(simulator: str, bench: str | None = None) -> Path:
    """The simulator of all benches, or of one bench alone: built by one process while the others wait."""
    with open(Path(tempfile.gettempdir(), f"celosia-benches-{simulator}.lock"), "w") as lock:
        flock(lock, LOCK_EX)
        return bench_runner.build(verilog_of_benches(*(BENCHES if bench is None else [bench])), simulator)


def run(
    bench: str,
    simulator: str = "verilator",
    *,
    long: bool = False,
    folder: Path | None = None,
    instead: str = "",
    only: str | None = None,
) -> Run:
    """Runs a bench: with much more of everything where it is to be `long`. Icarus gets the bench's own blocks alone.

    `folder` is that of another simulator than the benches' own, `instead` a block of it that the bench takes for its own;
    `only` a regular expression of the tests that are to run.
    """
    seed = zlib.crc32(bench.encode()) + _moved()
    folder = folder or simulator_of(simulator, bench if simulator == "icarus" else None)
    coverage = Coverage(read_plan()[bench])
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "coverage.json")
        outcome = bench_runner.run(
            folder,
            f"benches.bench_{bench}",
            simulator=simulator,
            seed=seed,
            path=FOLDER.parent,
            environment={"CELOSIA_COVERAGE": str(path), "CELOSIA_LONG": str(int(long)), "CELOSIA_INSTEAD": instead},
            only=only,
        )
        if path.exists():
            coverage.merge(path)
    return Run(bench=bench, simulator=simulator, seed=seed, outcome=outcome, coverage=coverage)

"""Plants every fault of the plan and writes the report: `python -m tests.mutation [--workers 2] [--only FILE] [--resume]`.

With `--sample` it plants a few, and none, and writes nothing.
"""

import argparse
import json
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as pytest has it

from mutation import report
from mutation.plan import LAST, SAMPLE, declared, drawn, explanations, none
from mutation.run import plant


def _sample(workers: int) -> int:
    """Whether anything is not as it should be."""
    faults = [item for item in declared() if item.number in SAMPLE]
    wrong = 0
    for outcome in plant([none(faults[0].file), *faults], workers=workers):
        print(f"{outcome.planting.number}: {outcome.by or 'not found'}, {outcome.seconds:.1f} s", flush=True)
        wrong += outcome.killed == (outcome.planting.number == "none")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("--only", action="append", help="a file below hw/, or a fault's number; again for more")
    parser.add_argument("--resume", action="store_true", help="keep what the last run has found out about the same faults")
    parser.add_argument("--sample", action="store_true", help="a few faults, and none: no report")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # its processes end with it
    if arguments.sample:
        return _sample(arguments.workers)
    plantings = sorted([*declared(), *drawn()], key=lambda item: LAST.index(item.file) if item.file in LAST else -1)
    known = json.loads(report.RESULTS.read_text())["faults"] if report.RESULTS.exists() else {}
    numbers = {item.number for item in plantings}
    records = {number: item for number, item in known.items() if number in numbers}
    todo = [item for item in plantings if not arguments.only or {item.file, item.number} & set(arguments.only)]
    if arguments.resume:
        todo = [item for item in todo if item.number not in records]
    elif not arguments.only:
        records = {}
    explained = explanations()
    for count, outcome in enumerate(plant(todo, workers=arguments.workers), 1):
        planting = outcome.planting
        said = f"found by {outcome.by}" if outcome.killed else "NOT FOUND"
        print(f"{count}/{len(todo)} {planting.number} {planting.file} {planting.kind}: {planting.what}", flush=True)
        print(f"    {said}, {outcome.seconds:.1f} s", flush=True)
        records[planting.number] = report.record(outcome)
        report.write(records, explained)
    report.write(records, explained)
    count = report.totals(records, explained)
    print(f"planted {count['planted']}, killed {count['killed']}, {count['equivalent']} equivalent")
    left = report.unexplained(records.values(), explained)
    for key in left:
        print(f"not found and not explained: {key}")
    return bool(left)


if __name__ == "__main__":
    sys.exit(main())

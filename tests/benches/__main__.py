"""Runs benches and reports their coverage: `python -m tests.benches [NAME]`; of all of them, results.json keeps it."""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the helper modules, as for pytest

from celosia.sim.bench_runner import SIMULATORS

from benches.blocks import BENCHES
from benches.launch import run

RESULTS = Path(__file__).parent / "results.json"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benches", description="Runs all benches; CELOSIA_SEED moves their seeds."
    )
    parser.add_argument("benches", nargs="*", default=list(BENCHES), help="which of them")
    parser.add_argument("--simulator", choices=SIMULATORS, default="verilator")
    parser.add_argument("--long", action="store_true", help="ten times as much of everything")
    parser.add_argument("--json", type=Path, help="where to write every point of the plan, with its count")
    options = parser.parse_args()

    rows, points, good = {}, {}, True
    for bench in options.benches:
        begin = time.monotonic()
        ran = run(bench, options.simulator, long=options.long)
        complaint = ran.complaint()
        good &= not complaint
        points[bench] = {"seed": ran.seed, "tests": len(ran.outcome.tests), "points": dict(ran.coverage.points())}
        counts = list(points[bench]["points"].values())
        rows[bench] = {
            "tests": len(ran.outcome.tests),
            "failed": len(ran.outcome.failures),
            "points": len(counts),
            "hit": sum(count > 0 for count in counts),
            "seed": ran.seed,
            "seconds": round(time.monotonic() - begin),
        }
        print(bench, *(f"{name} {value}" for name, value in rows[bench].items()), sep=", ", flush=True)
        if complaint:
            print(complaint, flush=True)
    all_counts = [count for bench in points.values() for count in bench["points"].values()]
    percent = 100 * sum(count > 0 for count in all_counts) / len(all_counts)
    print(f"coverage.percent {percent:.2f}: {sum(count > 0 for count in all_counts)} of {len(all_counts)} points")
    if options.benches == list(BENCHES):
        kept = {"coverage.percent": percent, "benches": rows}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    if options.json:
        options.json.write_text(json.dumps({"coverage.percent": percent, "benches": points}, indent=2) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

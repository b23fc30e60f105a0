"""The long runs of the fuzzers, and what they have found: `python -m tests.fuzz [networks|models|commands] [--first SEED]`."""

import argparse
import json
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as pytest has it

RESULTS = Path(__file__).parent / "results.json"


def _networks(first: int) -> dict[str, object]:
    from fuzz import graphs

    refused, failed = 0, []
    for seed in range(first, first + graphs.COUNT):
        try:
            refused += not graphs.Draw(seed).check()
        except AssertionError as error:
            failed.append(f"{error}: {error.__cause__}")
            print(failed[-1], flush=True)
        if (seed - first + 1) % 100 == 0:
            print(f"{seed - first + 1} networks, {refused} too large for their fabric, {len(failed)} failed", flush=True)
    return {"networks": graphs.COUNT, "first_seed": first, "too_large": refused, "failed": failed}


def _models(first: int) -> dict[str, object]:
    from fuzz import models

    total = models.Tally()
    for seed in range(first, first + models.RUNS):
        tally = models.fuzz(seed, models.BYTES // models.RUNS)
        total.files += tally.files
        total.fuzzed_bytes += tally.fuzzed_bytes
        total.read += tally.read
        total.refused += tally.refused
        total.crashes += tally.crashes
        print(f"seed {seed}: {total}", flush=True)
    return {"first_seed": first, **vars(total)}


def _commands(first: int) -> dict[str, object]:
    from fuzz import streams

    for seed in range(first, first + streams.COUNT):
        streams.check_commands(seed)
        if (seed - first + 1) % 50 == 0:
            print(f"{seed - first + 1} command streams", flush=True)
    return {"streams": streams.COUNT, "first_seed": first}


RUNS = {"networks": _networks, "models": _models, "commands": _commands}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", nargs="*", default=list(RUNS), help=", ".join(RUNS))
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for what in arguments.what:
        found = RUNS[what](arguments.first)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps({**results, what: found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

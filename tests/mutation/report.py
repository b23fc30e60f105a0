"""The mutation report: as data, and as a table for people."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mutation.plan import Planting
from mutation.run import Outcome

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
REPORT = FOLDER / "REPORT.md"


def key_of(planting: Planting) -> str:
    """What a fault is called in `explained.json`."""
    return getattr(planting.fault, "key", planting.number)


def record(outcome: Outcome) -> dict[str, Any]:
    """One outcome as data."""
    planting = outcome.planting
    return {
        "file": planting.file,
        "kind": planting.kind,
        "what": planting.what,
        "key": key_of(planting),
        "killed": outcome.killed,
        "by": outcome.by,
        "seconds": round(outcome.seconds, 1),
    }


def write(records: dict[str, dict[str, Any]], explained: dict[str, str]) -> None:
    """Both files anew. Faults that are none, by their explanation, count neither as planted nor as killed."""
    RESULTS.write_text(json.dumps({**totals(records, explained), "faults": records}, indent=1, sort_keys=True) + "\n")
    REPORT.write_text(markdown(records, explained))


def totals(records: dict[str, dict[str, Any]], explained: dict[str, str]) -> dict[str, Any]:
    """Planted, killed, and how many of the others are the same circuit."""
    same = [item for item in records.values() if not item["killed"] and _is_same(explained.get(item["key"], ""))]
    killed = sum(item["killed"] for item in records.values())
    return {"planted": len(records) - len(same), "killed": killed, "equivalent": len(same)}


def _is_same(explanation: str) -> bool:
    return explanation.startswith("same:")


def markdown(records: dict[str, dict[str, Any]], explained: dict[str, str]) -> str:
    """A table by file, and every survivor with its explanation."""
    count = totals(records, explained)
    share = 100 * count["killed"] / max(count["planted"], 1)
    lines = [
        "# Mutation report",
        "",
        "Made by `make mutation`: faults planted in the gateware one by one, each followed by the tests of its file.",
        "",
        f"{count['killed']} of {count['planted']} faults were found ({share:.1f} %); {count['equivalent']} more are none: "
        "the circuit, or all that can be seen of it, stays the same.",
        "",
        "| file | planted | found | the same |",
        "|---|---:|---:|---:|",
    ]
    for file in sorted({item["file"] for item in records.values()}):
        part = {number: item for number, item in records.items() if item["file"] == file}
        of_file = totals(part, explained)
        lines.append(f"| `{file}` | {of_file['planted']} | {of_file['killed']} | {of_file['equivalent']} |")
    lines += ["", "## Not found", ""]
    for number, item in sorted(records.items(), key=lambda pair: (pair[1]["file"], pair[0])):
        if not item["killed"]:
            why = explained.get(item["key"], "no explanation yet")
            lines.append(f"- `{number}` `{item['file']}`, {item['kind']}: `{item['what']}`. {why}")
    return "\n".join(lines) + "\n"


def unexplained(records: Iterable[dict[str, Any]], explained: dict[str, str]) -> list[str]:
    """Faults that no test found and nobody has explained."""
    return [item["key"] for item in records if not item["killed"] and item["key"] not in explained]

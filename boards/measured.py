"""The last measured result of every board: data in `measured.json`, written by `celosia boards --measure` alone."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

from ..host.files import write_whole
from .result import BuildResult

_FILE = "measured.json"


def measured() -> dict[str, dict[str, Any]]:
    """Results by board, as `BuildResult.as_dict` has them; a board that was never built has none."""
    file = resources.files(__package__).joinpath(_FILE)
    found: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.is_file() else {}
    return found


def keep(result: BuildResult) -> Path:
    """Puts a result in the place of the board's last one. Raises ToolError where the installation cannot be written."""
    results = measured()
    entry = result.as_dict()
    for volatile in ("bitstream", "critical_path"):
        entry.pop(volatile)
    entry["limit"] = result.path.sentence() if result.path else ""
    results[result.board] = entry
    path = Path(str(resources.files(__package__).joinpath(_FILE)))
    write_whole(path, (json.dumps(dict(sorted(results.items())), indent=2) + "\n").encode())
    return path

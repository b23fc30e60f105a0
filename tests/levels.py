"""Which block is checked at which level: `python -m tests.levels` prints the table, `--write` puts it in `tests/LEVELS.md`."""

import argparse
import ast
import json
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from amaranth.hdl import Fragment
from amaranth.lib import wiring

sys.path.insert(0, str(Path(__file__).parent))  # the helper modules, as for pytest

from benches.blocks import BENCHES, SYNTHESISED
from formal import test_products, test_progress, test_requantize, test_weights
from formal.test_every_stream import CASES as STREAMS
from mutation.gateware import HW
from mutation.plan import TESTS, explanations
from mutation.report import RESULTS, totals

LEVELS = Path(__file__).parent / "LEVELS.md"
PROOFS = {"products": test_products, "progress": test_progress, "requantize": test_requantize, "weights": test_weights}
_APART = {"fabric", "netlist"}
_HEAD = """# What is checked where

Made by `python -m tests.levels --write`, which `make mutation` runs.

- unit: its own tests, which are those that are to find a fault planted in it
- cocotb: benches, on the emitted Verilog, of blocks that it is a part of; the bench `fabric`, which runs all, is left out
- formal: proofs that a fault in it breaks, or of the streams that it has
- netlist: benches of blocks that it is a part of, as cells of an ECP5 or an iCE40 after Yosys; slow tests run whole fabrics so
- mutation: faults found of those planted; `mutation/REPORT.md` tells the rest

| block | unit | cocotb | formal | netlist | mutation |
|---|---|---|---|---|---:|"""


@cache
def _imports(file: str) -> frozenset[str]:
    """Files without a component that one imports, and those that they import; itself."""
    found = {file}
    for node in ast.walk(ast.parse((HW / file).read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            path = (HW / file).parents[node.level - 1].joinpath(*(node.module or "").split("."))
            path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            if path.is_relative_to(HW) and "wiring.Component)" not in path.read_text():
                found |= _imports(str(path.relative_to(HW)))
    return frozenset(found)


def _files_in(makers: Iterable[Callable[[], Any]]) -> set[str]:
    """Of the components that are made when these blocks are."""
    kinds: set[type] = set()
    make = wiring.Component.__init__

    def noted(self: Any, *arguments: Any, **options: Any) -> None:
        kinds.add(type(self))
        make(self, *arguments, **options)

    with mock.patch.object(wiring.Component, "__init__", noted):
        for maker in makers:
            Fragment.get(maker(), None).prepare()
    own = [kind.__module__.split(".hw.", 1)[1] for kind in kinds if ".hw." in kind.__module__]
    return {file for name in own for file in _imports(name.replace(".", "/") + ".py")}


def _proof_files(module: Any) -> set[str]:
    faults = [*getattr(module, "FAULTS", ()), *(fault for case in getattr(module, "CASES", ()) for fault in case.faults)]
    return {fault.file for fault in faults}


def table() -> str:
    """The table as Markdown."""
    levels = [
        {name: _files_in(blocks.values()) for name, blocks in BENCHES.items() if name not in _APART},
        {**{name: _proof_files(module) for name, module in PROOFS.items()}, "streams": {file for file, *_ in STREAMS}},
        {chip: _files_in(make for it, make in SYNTHESISED.values() if it == chip) for chip, _ in SYNTHESISED.values()},
    ]
    faults = list(json.loads(RESULTS.read_text())["faults"].values())
    lines = [_HEAD]
    for file, tests in TESTS.items():
        cells = [
            " ".join(dict.fromkeys(Path(test.split("::")[0]).stem for test in tests.split())),
            *(" ".join(name for name, files in level.items() if file in files) for level in levels),
            _found(item for item in faults if item["file"] == file),
        ]
        lines.append(f"| `{file}` | {' | '.join(cells)} |")
    lines.append(f"| all | | | | | {_found(faults)} |")
    return "\n".join(lines) + "\n"


def _found(faults: Iterable[dict[str, Any]]) -> str:
    count = totals({str(index): item for index, item in enumerate(faults)}, explanations())
    return f"{count['killed']} of {count['planted']}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.levels", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="writes it down")
    if parser.parse_args().write:
        LEVELS.write_text(table())
    else:
        print(table(), end="")


if __name__ == "__main__":
    main()

"""`celosia boards`: what there is to build for, and what was measured."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..board import Board

if TYPE_CHECKING:
    from rich.table import Table

SUMMARY = "list the boards, with what was last measured on each"

_BEGIN, _END = "<!-- boards: made by `make boards` -->", "<!-- end of boards -->"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("--board", metavar="B", action="append", help="this board alone; may be given several times")
    parser.add_argument("--measure", action="store_true", help="build them now, and keep the results as the measured ones")
    parser.add_argument("--out", metavar="DIR", default="build", help="where --measure builds (default: %(default)s)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--readme", metavar="FILE", help=f"write the table into FILE, between {_BEGIN} and {_END}")


def execute(arguments: argparse.Namespace) -> int:
    """Prints the table, after measuring where that is wanted."""
    from ..catalogue import boards, find

    chosen = tuple(find(name) for name in arguments.board) if arguments.board else boards()

    from ...host.commands.terminal import output
    from ..measured import measured

    failed = _measure(chosen, Path(arguments.out)) if arguments.measure else 0
    results = measured()
    if arguments.readme:
        _write_readme(Path(arguments.readme), markdown(chosen, results))
    if arguments.markdown:
        print(markdown(chosen, results), end="")
    elif not arguments.readme:
        output().print(table(chosen, results))
    return 1 if failed else 0


def table(chosen: tuple[Board, ...], results: dict[str, dict[str, Any]]) -> "Table":
    """The boards for a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    for title, justify in zip(_TITLES, _JUSTIFY, strict=True):
        drawn.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for board in chosen:
        drawn.add_row(*map(Text, _row(board, results.get(board.name))))
    return drawn


def markdown(chosen: tuple[Board, ...], results: dict[str, dict[str, Any]]) -> str:
    """The boards for a README."""
    lines = [_TITLES, tuple("---:" if side == "right" else "---" for side in _JUSTIFY)]
    lines += [_row(board, results.get(board.name)) for board in chosen]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


_TITLES = ("board", "chip", "fabric", "MAC/cycle", "MHz", "Fmax", "LUT4", "FF", "DSP", "block RAM", "GOPS", "built")
_JUSTIFY = ("left", "left", "left", *8 * ("right",), "left")


def _row(board: Board, result: dict[str, Any] | None) -> tuple[str, ...]:
    there = board.chip.resources
    if result is None:
        lut4, dsp, bram = (f"-/{getattr(there, name):,}" for name in ("lut4", "dsp", "bram"))
        return (board.name, board.chip.name, board.preset, str(board.config.macs_per_cycle),
                f"{board.clock_hz / 1e6:g}", "-", lut4, "-", dsp, bram, "-", "never")  # fmt: skip
    lut4, dsp, bram = (f"{result[name]:,}/{getattr(there, name):,}" for name in ("lut4", "dsp", "bram"))
    missed = "" if result["met"] else " (missed)"
    return (board.name, board.chip.name, result["fabric"], str(result["macs_per_cycle"]),
            f"{result['clock_mhz']:g}", f"{result['fmax_mhz']:.1f}{missed}", lut4, f"{result['ff']:,}", dsp, bram,
            f"{result['peak_gops']:.1f}", result["date"][:10])  # fmt: skip


def _measure(chosen: tuple[Board, ...], out: Path) -> int:
    """Builds every board; gives how many failed. A board that fails keeps its last result, and the others are built."""
    import sys

    from ...sim.errors import CelosiaError
    from ..build import build
    from ..measured import keep
    from .build import progress

    failed = 0
    for board in chosen:
        try:
            with progress() as notify:
                notify(board.name, "")
                result = build(board, board.config, out=out / board.name, notify=notify)
            keep(result)
            sentence = f"{board.name}: {result.fmax_mhz:.2f} MHz{' MISSED' if result.missed else ''}, {result.seconds:.0f} s"
            failed += bool(result.missed)
        except CelosiaError as error:
            failed += 1
            sentence = f"{board.name}: {error}"
        print(f"celosia: {sentence}", file=sys.stderr)
    return failed


def _write_readme(path: Path, text: str) -> None:
    from ...host.files import write_whole
    from ...sim.errors import ToolError

    try:
        before, found, rest = path.read_text().partition(_BEGIN)
    except OSError as error:
        raise ToolError(f"cannot read {path}: {error.strerror}") from error
    _, closed, after = rest.partition(_END)
    if not found or not closed:
        raise ToolError(f"{path} has no place for the table: put the lines {_BEGIN} and {_END} where it belongs")
    write_whole(path, f"{before}{_BEGIN}\n{text}{_END}{after}".encode())

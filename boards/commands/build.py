"""`celosia build`: a bitstream for a board, and what it takes of the chip."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...host.commands.arguments import fabric_of, positive
from ...sim.errors import CelosiaError
from ..build import Notify
from ..result import BuildResult
from .arguments import add_board

SUMMARY = "make a bitstream for a board"


class ClockMissed(CelosiaError):
    """The bitstream is there, and too slow for its own clock."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_board(parser)
    parser.add_argument("--fabric", metavar="P", help="the fabric's preset (default: the one that fits the board)")
    parser.add_argument("--out", metavar="DIR", help="where the bitstream and the tools' logs go (default: build/BOARD)")
    parser.add_argument("--seed", metavar="N", type=positive, help="of the placer (default: the board's)")
    parser.add_argument("--clock", metavar="MHZ", type=_megahertz, help="the fabric's clock (default: the board's)")
    parser.add_argument("--json", metavar="R.json", help="the report, for programs")
    parser.add_argument("--allow-slow", action="store_true", help="exit with 0 even where the design misses its clock")
    parser.add_argument("--keep", action="store_true", help="keep the files between the tools, in DIR/work")


def execute(arguments: argparse.Namespace) -> int:
    """Builds, writes the report, prints it. Raises ClockMissed at the end of a build that is too slow."""
    from ..catalogue import find

    board = find(arguments.board)
    config = fabric_of(arguments.fabric or board.preset)

    from ...host.commands.terminal import output
    from ...host.files import OutputFiles
    from ..build import build

    out = Path(arguments.out or Path("build", board.name))
    with OutputFiles() as files:
        if arguments.json:
            files.claim(arguments.json)
        with progress() as notify:
            result = build(
                board,
                config,
                out=out,
                seed=arguments.seed,
                clock_hz=arguments.clock and round(arguments.clock * 1e6),
                keep=arguments.keep,
                notify=notify,
            )
        if arguments.json:
            files.write(arguments.json, result.to_json().encode())
        files.commit()
    console = output()
    for line in summary(result, board.chip.dsp, board.chip.bram):
        console.print(line, soft_wrap=True)
    check_clock(result, arguments.allow_slow)
    return 0


def summary(result: BuildResult, dsp: str, bram: str) -> Iterator[str]:
    """The report in lines."""
    used, there = result.used, result.there
    yield f"{result.board}, fabric {result.fabric}, seed {result.seed}"
    rows = (("LUT4", "lut4"), ("flip-flops", "ff"), (dsp, "dsp"), (bram, "bram"))
    for label, name in rows:
        have, total = getattr(used, name), getattr(there, name)
        yield f"  {label:<14}{have:>7,} of {total:>7,}  {have / total:>4.0%}"
    yield f"  {'clock':<14}{result.clock_mhz:>7.2f} MHz, confirmed up to {result.fmax_mhz:.2f} MHz"
    yield f"  {'peak':<14}{result.peak_gops:>7.2f} GOPS at {result.fmax_mhz:.2f} MHz, {result.macs_per_cycle} MAC/cycle"
    if result.path:
        yield f"  critical path {result.path.sentence()}"
    times = ", ".join(f"{name} {seconds:.0f}" for name, seconds in result.stages.items())
    yield f"  {'seconds':<14}{result.seconds:>7.0f}: {times}"
    yield f"  {'bitstream':<14}{result.bitstream}"


def check_clock(result: BuildResult, allow_slow: bool) -> None:
    """Raises ClockMissed where a clock is missed and that is not allowed."""
    for clock in result.missed:
        sentence = (
            f"{result.bitstream} misses its clock: {clock.fmax_mhz:.2f} MHz of {clock.wanted_mhz:.2f} MHz wanted; take "
            f"--clock {int(clock.fmax_mhz)}, another --seed, or --allow-slow"
        )
        if not allow_slow:
            raise ClockMissed(sentence)


@contextmanager
def progress() -> Iterator[Notify]:
    """Shows on standard error what runs: a spinner with the tool's last words on a terminal, a line a stage elsewhere."""
    import logging
    import sys

    if not sys.stderr.isatty():
        log = logging.getLogger("celosia")
        shown: list[str] = []

        def say(stage: str, said: str) -> None:
            if stage not in shown:
                shown.append(stage)
                log.info(stage)

        yield say
        return

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(finished_text="done"),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[said]}", markup=False, style="dim"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, int] = {}

        def draw(stage: str, said: str) -> None:
            if stage not in tasks:
                for earlier in tasks.values():
                    bars.update(earlier, total=1, completed=1, said="")  # type: ignore[arg-type]
                tasks[stage] = bars.add_task(stage, total=None, said="")
            bars.update(tasks[stage], said=said[:60])  # type: ignore[arg-type]

        yield draw
        for task in tasks.values():
            bars.update(task, total=1, completed=1, said="")  # type: ignore[arg-type]


def _megahertz(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"must be a frequency between 1 and 1000 MHz, not {text!r}")
    return value

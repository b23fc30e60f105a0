"""What commands print on: tables on standard output, progress on standard error."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_WIDTH_OF_A_FILE = 140  # where there is no terminal to be as wide as


def output() -> Console:
    """Standard output, without markup: names of a model's layers are printed as they are."""
    fixed = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_A_FILE
    return Console(width=fixed, markup=False, emoji=False, highlight=False)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A function of (done, total) that draws a bar on standard error, if that is a terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def status(label: str) -> Iterator[None]:
    """Shows on standard error, if that is a terminal, what takes its time."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True, markup=False).status(label):
        yield

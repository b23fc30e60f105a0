"""The command `celosia`.

Whatever goes wrong is one sentence on standard error, `celosia: error: ...`, and the exit code: 1 where the model, the
input, the device or the machine is at fault, 2 where the command line is. A traceback comes with `--verbose` alone.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import NoReturn

from .. import __version__
from ..sim.errors import CelosiaError
from .commands import check, devices, estimate, quantize, run
from .commands.arguments import UsageError
from .commands.run import Interrupted

COMMANDS: Mapping[str, ModuleType] = {
    "run": run,
    "check": check,
    "devices": devices,
    "estimate": estimate,
    "quantize": quantize,
}
"""The commands of this room. Each has SUMMARY, `configure` (adds arguments) and `execute` (runs, gives the exit code)."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.prog} --help tells more)")


def main(argv: Sequence[str] | None = None, commands: Mapping[str, ModuleType] = COMMANDS) -> int:
    """Runs one of `commands` and returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    verbose = "--verbose" in argv
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a layer's name must not end the run
    logging.basicConfig(format="celosia: %(message)s", level=logging.WARNING)
    logging.getLogger("celosia").setLevel(logging.INFO)
    try:
        with _termination_as_interrupt():
            arguments = _parser(commands).parse_args(argv)
            code: int = commands[arguments.command].execute(arguments)
            sys.stdout.flush()
            return code
    except UsageError as error:
        return _fail(str(error), 2, verbose)
    except (CelosiaError, Interrupted) as error:
        return _fail(str(error), getattr(error, "exit_code", 1), verbose)
    except KeyboardInterrupt:
        return _fail("interrupted", 1, verbose)
    except BrokenPipeError:  # the reader of our output has left: nobody to tell
        _abandon_output()
        return 1
    except MemoryError:
        return _fail("this machine has too little memory for that: give fewer samples at a time, --limit", 1, verbose)
    except OSError as error:
        _abandon_output()
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1, verbose)
    except Exception as error:
        return _fail(
            f"this is a bug of Celosia, please report it with what --verbose prints: {type(error).__name__}: {error}",
            1,
            verbose,
        )


def _parser(table: Mapping[str, ModuleType]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="celosia",
        description="Runs quantized neural networks on an open FPGA accelerator, simulated cycle by cycle.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"celosia {__version__}")
    parser.add_argument("--verbose", action="store_true", help="print a traceback with an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in table.items():
        child = commands.add_parser(name, help=command.SUMMARY, description=command.SUMMARY, allow_abbrev=False)
        child.add_argument("--verbose", action="store_true", help="print a traceback with an error")
        command.configure(child)
    return parser


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM, as of `timeout` or a batch system, cleans up as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _abandon_output() -> None:
    """Standard output that takes nothing more would be tried again, and complain, when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _fail(sentence: str, code: int, verbose: bool) -> int:
    if verbose:
        traceback.print_exc()
    print("celosia: error:", " ".join(sentence.split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

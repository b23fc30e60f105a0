"""One step of a build: a tool that runs in a process of its own, its log, and the outputs that must be whole.

A tool's exit code is not believed: those from PyPI can end without a message and leave half an output file.
"""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..sim.errors import ToolError
from .tools import Tool

Show = Callable[[str], None]
"""Hears what a tool says last."""

_LOOK = 0.2  # seconds between looks at a running tool
_TELLING = ("error", "fatal", "assertion", "exception", "trap", "cannot", "unable", "invalid", "not found")
_SAID_AT_MOST = 300


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Another way to run a tool, after one that would not have come to its end.

    what        how it differs, for the log
    arguments, prepare, then
                as those of a stage, in their place
    """

    what: str
    arguments: tuple[str, ...]
    prepare: Callable[[Path], object] | None = None
    then: Callable[[Path], object] | None = None


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a tool may try what it may never reach, and how it is run when that was too long.

    watch       makes, for one attempt, what is told the log's last line again and again, and says whether it was too long
    others      the attempts that follow, one after the other; with the last one there is no end to our patience
    """

    watch: Callable[[], Callable[[str], bool]]
    others: tuple[Attempt, ...]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One tool's run.

    title       what it does, for the user
    arguments   of its command line, with paths relative to the folder of the build
    outputs     the files that it makes, each with what says from its content that the file is whole
    prepare     what is done before, given the folder
    own_log     a log that the tool writes itself, and which is kept before what it prints; None where it writes none
    then        what is done to the outputs afterwards, given the folder
    patience    None where the tool ends by itself
    """

    title: str
    tool: Tool
    arguments: tuple[str, ...]
    outputs: dict[str, Callable[[bytes], bool]]
    prepare: Callable[[Path], object] | None = None
    own_log: str | None = None
    then: Callable[[Path], object] | None = None
    patience: Patience | None = None

    @property
    def log(self) -> str:
        """Name of the file that keeps what the tool says."""
        return f"{self.tool.name}.log"

    def run(self, folder: Path, logs: Path, show: Show | None = None) -> float:
        """Runs the tool in `folder`, logging into `logs`, and gives the seconds it took.

        A tool of PyPI that dies silently is run a second time: it often succeeds. One that lasts beyond our patience
        is run in the other ways that this has.
        Raises ToolError.
        """
        began = time.monotonic()
        log = logs / self.log
        log.unlink(missing_ok=True)
        died = False
        attempt = Attempt(what="", arguments=self.arguments, prepare=self.prepare, then=self.then)
        others = list(self.patience.others) if self.patience else []
        while True:
            if attempt.prepare is not None:
                attempt.prepare(folder)
            for name in (*self.outputs, *([self.own_log] if self.own_log else [])):
                (folder / name).unlink(missing_ok=True)
            is_over = self.patience.watch() if self.patience and others else None
            try:
                code = self._attempt(attempt.arguments, is_over, folder, log, show)
            except _TooLong:
                attempt = others.pop(0)
                self._note(log, f"does not reach what is asked: another attempt, {attempt.what}")
                continue
            broken = [name for name, is_whole in self.outputs.items() if not _holds(folder / name, is_whole)]
            if code == 0 and not broken:
                break
            said = _telling(log)
            silent = said is None and code not in (-signal.SIGKILL, -signal.SIGTERM)
            if not died and silent and self.tool.is_webassembly:
                self._note(log, f"ended with exit code {code} and no message: a second attempt")
                died = True
                continue
            raise ToolError(self._failure(code, broken, said, log))
        if attempt.then is not None:
            attempt.then(folder)
        return time.monotonic() - began

    def _note(self, log: Path, what: str) -> None:
        with log.open("a") as file:
            file.write(f"celosia: {self.tool.name} {what}\n")

    def _keep_own_log(self, folder: Path, log: Path, start: int) -> None:
        """Puts what the tool has logged before what it has printed since `start`."""
        if self.own_log is not None and (folder / self.own_log).is_file():
            content = log.read_bytes()
            log.write_bytes(content[:start] + (folder / self.own_log).read_bytes() + content[start:])

    def _attempt(
        self,
        arguments: tuple[str, ...],
        is_over: Callable[[str], bool] | None,
        folder: Path,
        log: Path,
        show: Show | None,
    ) -> int:
        """The tool's exit code. Raises _TooLong where our patience with it came to its end first."""
        with log.open("ab") as file:
            start = file.tell()
            try:
                process = subprocess.Popen(
                    [*self.tool.command(), *arguments],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            except OSError as error:
                raise ToolError(
                    f"cannot run {self.tool.name}: {error.filename}: {error.strerror}; install it, or correct the variable "
                    f"{self.tool.variable}"
                ) from error
            try:
                while True:
                    try:
                        return process.wait(_LOOK)
                    except subprocess.TimeoutExpired:
                        own = folder / self.own_log if self.own_log else None
                        said = _last_line(own, 0) if own is not None and own.is_file() else _last_line(log, start)
                        if show is not None:
                            show(said)
                        if is_over is not None and is_over(said):
                            raise _TooLong from None
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                self._keep_own_log(folder, log, start)

    def _failure(self, code: int, broken: list[str], said: str | None, log: Path) -> str:
        name = self.tool.name
        if code < 0:
            try:
                what = f"was ended by signal {-code} ({signal.Signals(-code).name})"
            except ValueError:
                what = f"was ended by signal {-code}"
            if code == -signal.SIGKILL:
                what += ", as the system does where memory runs out: a large design needs 2 GB"
        elif code:
            what = f"failed with exit code {code}"
        else:
            what = "ended without an error"
        if said:
            return f"{name} {what}: {said} (all of it is in {log})"
        if broken:
            what += f" and without a whole {broken[0]}"
        if code < 0:
            return f"{name} {what} (its log is {log})"
        advice = (
            f"twice, as it does when it runs out of stack or memory: install a native {name}, or take a smaller fabric"
            if self.tool.is_webassembly
            else "run it again, or install another version"
        )
        return f"{name} {what}, and said nothing of why; {advice} (its log is {log})"


class _TooLong(Exception):
    """A tool was ended that would have tried for ever."""


def ends_like_json(content: bytes) -> bool:
    """True of a JSON object that reaches its end."""
    return content[:1] == b"{" and content.rstrip()[-1:] == b"}"


def is_not_empty(content: bytes) -> bool:
    """True of a file that holds something."""
    return bool(content)


def _holds(path: Path, is_whole: Callable[[bytes], bool]) -> bool:
    return path.is_file() and is_whole(path.read_bytes())


def _telling(log: Path) -> str | None:
    """The line of a log that says what went wrong, if any does."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    errors = [line for line in lines if line.startswith(("ERROR", "FATAL", "error:", "fatal:"))]
    if errors:
        return errors[0][:_SAID_AT_MOST]
    tail = [line for line in lines[-12:] if any(word in line.lower() for word in _TELLING) and not line.startswith("Warning")]
    return tail[-1][:_SAID_AT_MOST] if tail else None


def _last_line(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(start, file.tell() - 4096))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("Info:").strip() if lines else ""

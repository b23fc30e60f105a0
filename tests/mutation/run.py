"""Plants faults and runs the tests that are to find them, each in a process of its own.

A process begins as a copy of this one, which has all libraries loaded and no gateware: it puts a faulty tree in the place of
`celosia.hw`, and runs pytest up to the first failure.
"""

import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mutation.gateware import HW, put_in_place, write_copy
from mutation.plan import Planting

ROOT = HW.parent

CPU_SECONDS = 100
"""Of a process: a test that has not ended by then hangs, and so has found the fault."""

_WALL_SECONDS = 1200
_NOTHING_FAILED, _FAILED, _INTERRUPTED = 0, 1, 2  # pytest's exit codes


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a fault.

    killed      a test failed
    by          the test, or what else happened: "refused" where the gateware does not elaborate, "time" where it hangs
    """

    planting: Planting
    killed: bool
    by: str
    seconds: float


def warm() -> None:
    """Loads the libraries that every process needs, and none of the project's modules that know the gateware."""
    import amaranth.back.rtlil
    import amaranth.lib.fifo
    import amaranth.lib.memory
    import amaranth.sim
    import hypothesis
    import numpy
    import pytest

    assert all((amaranth, hypothesis, numpy, pytest))
    assert "celosia.hw" not in sys.modules, "the gateware is loaded already: run the mutations in a process of their own"


def plant(plantings: Iterable[Planting], *, workers: int = 1, cpu_seconds: int = CPU_SECONDS) -> Iterator[Outcome]:
    """Tries each fault; outcomes come as they are ready."""
    warm()
    waiting = list(plantings)
    running: dict[int, tuple[Planting, float, Path]] = {}
    with tempfile.TemporaryDirectory(prefix="celosia-mutation-") as name:
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    planting = waiting.pop(0)
                    folder = Path(name, planting.number)
                    folder.mkdir()
                    running[_start(planting, folder, cpu_seconds)] = planting, time.monotonic(), folder
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid in running:
                    planting, begun, folder = running.pop(pid)
                    yield _judge(planting, status, time.monotonic() - begun, folder)
                    shutil.rmtree(folder, ignore_errors=True)
                    continue
                for pid, (_, begun, _) in running.items():
                    if time.monotonic() - begun > _WALL_SECONDS:
                        os.killpg(pid, signal.SIGKILL)
                time.sleep(0.05)
        finally:
            for pid in running:
                os.killpg(pid, signal.SIGKILL)


def _start(planting: Planting, folder: Path, cpu_seconds: int) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
        os.chdir(ROOT)
        code = _test(planting, folder)
        sys.stdout.flush()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        code = _INTERRUPTED
    os._exit(code)


def _test(planting: Planting, folder: Path) -> int:
    """In the new process."""
    import pytest

    write_copy(folder / "hw", planting.file, planting.source())
    put_in_place(folder / "hw")
    os.environ["CELOSIA_CACHE"] = str(folder / "cache")  # simulators with the fault are nobody else's
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = str(folder)
    from celosia.sim import design

    design._FLAGS = (*(flag for flag in design._FLAGS if flag not in ("-O2", "-march=native")), "-O1")
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", "--tb=no", "-rfE", "--no-header"]
    return int(pytest.main([*options, *planting.tests]))


def _judge(planting: Planting, status: int, seconds: float, folder: Path) -> Outcome:
    output = (folder / "output").read_text(errors="replace") if (folder / "output").exists() else ""
    if os.WIFSIGNALED(status):
        return Outcome(planting=planting, killed=True, by=f"time ({signal.Signals(os.WTERMSIG(status)).name})", seconds=seconds)
    code = os.WEXITSTATUS(status)
    if code == _NOTHING_FAILED:
        return Outcome(planting=planting, killed=False, by="", seconds=seconds)
    failed = re.search(r"(?m)^(?:FAILED|ERROR) (\S+)", output)
    if code == _FAILED and failed:
        return Outcome(planting=planting, killed=True, by=failed[1], seconds=seconds)
    if code == _INTERRUPTED:
        return Outcome(planting=planting, killed=True, by="refused", seconds=seconds)
    raise AssertionError(f"{planting.number}: pytest ended with exit code {code}:\n{output[-2000:]}")

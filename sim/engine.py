"""The fabric as a compiled simulator, cached by content, and driven through its two streams.

`Simulator` offers the streams word by word, as a board's link does. Every cycle is simulated; the clock runs only as long as
somebody waits for an answer.
"""

import ctypes
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..hw.config import FabricConfig
from .design import Design, Notify, build_design, load
from .errors import DeviceError, ToolError
from .model import fabric_rtlil

Words = npt.NDArray[np.uint32]

IDLE_LIMIT = 200_000_000
"""Cycles after which a fabric that neither takes nor gives a word counts as hung: beyond any one layer's work."""

_SLICE = 100_000  # cycles between looks at the keyboard


def design_of(config: FabricConfig) -> Design:
    """The fabric as a design to simulate."""
    return Design(name=config.name.split(",")[0], key=config, make=partial(fabric_rtlil, config), harness="harness.cc")


def build(config: FabricConfig, *, trace: bool = False, notify: Notify | None = None) -> Path:
    """The compiled simulator of a fabric, from the cache or new. Raises ToolError."""
    return build_design(design_of(config), trace=trace, notify=notify)


class Simulator:
    """A fabric that runs in this process: words in, words out, as over a board's link.

    With `trace` every signal of every cycle goes to that file (VCD), and the clock runs a hundred times slower. Raises
    ToolError where it cannot be built or the trace not be written.
    """

    def __init__(self, config: FabricConfig, *, trace: Path | None = None, notify: Notify | None = None):
        self._library = load(build(config, trace=trace is not None, notify=notify))
        self._library.celosia_create.restype = ctypes.c_void_p
        self._library.celosia_cycles.restype = ctypes.c_uint64
        self._trace = trace
        self._pending: list[Words] = []
        self._cycles = 0  # at the end
        self._simulation = ctypes.c_void_p(self._library.celosia_create(os.fsencode(trace) if trace else b""))
        if not self._simulation:
            raise ToolError(f"cannot write the trace {trace}: check that its folder exists and can be written")

    @property
    def cycles(self) -> int:
        """Clock cycles since the start, also of a simulation that has ended."""
        return int(self._library.celosia_cycles(self._simulation)) if self._simulation else self._cycles

    def write(self, words: Words) -> None:
        """Queues words for the input stream."""
        self._pending.append(np.ascontiguousarray(words, dtype=np.uint32))

    def read(self, count: int) -> Words:
        """Runs the clock until `count` words came out. Raises DeviceError where the fabric stops answering."""
        out = np.zeros(count, dtype=np.uint32)
        self._run(out, lambda done, _: done < count)
        return out

    def flush(self) -> None:
        """Runs the clock until every queued word is taken. Raises DeviceError where the fabric stops taking them."""
        self._run(np.zeros(0, dtype=np.uint32), lambda _, left: left > 0)

    def close(self) -> None:
        """Ends the simulation and completes its trace. May be called twice."""
        if self._simulation:
            self._cycles = self.cycles
            good = self._library.celosia_finish(self._simulation)
            self._library.celosia_destroy(self._simulation)
            self._simulation = ctypes.c_void_p()
            self._check_trace(good)

    def _run(self, out: Words, more: Callable[[int, int], bool]) -> None:
        """Runs while `more(words given, words left to take)`."""
        if not self._simulation:
            raise DeviceError("the simulation has ended: open another device")
        words = np.concatenate([np.zeros(0, np.uint32), *self._pending])
        taken, given = ctypes.c_size_t(), ctypes.c_size_t()
        done = quiet = 0
        while more(done, len(words)):
            rest = out[done:]
            self._library.celosia_run(
                self._simulation,
                words.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_size_t(len(words)),
                rest.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_size_t(len(rest)),
                ctypes.c_uint64(_SLICE),
                ctypes.byref(taken),
                ctypes.byref(given),
            )
            words = words[taken.value :]
            done += given.value
            self._pending = [words] if len(words) else []
            quiet = 0 if taken.value or given.value else quiet + _SLICE
            if quiet >= IDLE_LIMIT:
                raise DeviceError(
                    f"the simulated fabric gave no answer for {quiet} cycles: a fault of the gateware or of the commands; "
                    "run one sample with --trace and look at the waveform"
                )
            self._check_trace(self._library.celosia_trace_good(self._simulation))

    def _check_trace(self, good: int) -> None:
        if not good:
            raise ToolError(f"cannot write the trace {self._trace}: the disk is full, or the file was taken away")

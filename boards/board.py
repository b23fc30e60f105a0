"""One board, as data: its chip, its oscillator, its link, and the fabric that fits it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..hw.config import FabricConfig
from ..hw.presets import preset
from ..sim.errors import ToolError
from .chips import Chip

if TYPE_CHECKING:
    from .clock import PllSettings


@dataclass(frozen=True, kw_only=True)
class Link:
    """The serial port of a board.

    resource        the platform's resource with the members `rx` and `tx`; of USB, `d_p`, `d_n` and `pullup`
    baud            bits a second; of USB those of the bus, whatever rate the port is opened with
    via             what the computer sees: a chip on the board, an adapter on pins, the board itself
    usb             the fabric is a USB device itself
    """

    resource: tuple[str, int] = ("uart", 0)
    baud: int
    via: str
    usb: bool = False

    @property
    def address(self) -> str:
        """What stands behind a port's name in `serial://`: the rate, where it means something."""
        return "" if self.usb else f"?baud={self.baud}"


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
    preset          the fabric that fits: a name for `hw.presets.preset`
    led             the platform's resource of a lamp that blinks while the fabric runs; None where there is none to spare
    floorplan       gives the cells of a fabric their places on the chip; raises ValueError for a fabric that it has none for
    loader          options of openFPGALoader that name the board
    loads_chip      False where openFPGALoader can write the board's flash alone
    wake            how the board is made ready to be programmed, where it takes more than power
    seed            of the placer, unless `--seed` gives another
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
    floorplan: Callable[[FabricConfig], Mapping[str, str]] | None = None
    loader: tuple[str, ...]
    loads_chip: bool = True
    wake: str = ""
    seed: int = 1
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def make_platform(self, config: FabricConfig) -> Any:
        """A fresh Amaranth platform, whose attribute `floorplan` is that of `config`, or None.

        Raises ToolError where amaranth-boards is missing.
        """
        module, name = self.platform
        try:
            platform = getattr(import_module(module, __package__), name)()
            platform.floorplan = self._places(config)
            return platform
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "amaranth_boards":
                raise
            raise ToolError(f"board {self.name} needs amaranth-boards: `pip install amaranth-boards`") from error

    @property
    def config(self) -> FabricConfig:
        """The fabric of the board's preset."""
        return preset(self.preset)

    def pll(self, clock_hz: int | None = None) -> "PllSettings":
        """The PLL for `clock_hz`, or for the board's own clock. Raises CapacityError where it makes no such clock."""
        from .clock import solve  # loads Amaranth

        return solve(self.chip.family, self.oscillator[1], clock_hz or self.clock_hz)

    def _places(self, config: FabricConfig) -> Mapping[str, str] | None:
        if self.floorplan is None:
            return None
        try:
            return self.floorplan(config)
        except ValueError:
            return None  # the placer finds places itself

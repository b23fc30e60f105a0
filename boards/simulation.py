"""A board's whole design for the simulator: what its bitstream holds, but for the PLL, with the serial port's pins as ports."""

from importlib import metadata
from pathlib import Path
from typing import Any

from amaranth.build import Pins, Subsignal
from amaranth.hdl import Signal
from amaranth.lib import io

from ..hw.config import FabricConfig
from ..sim.design import Design, Notify
from ..sim.model import rtlil_of
from ..sim.pins import PinSimulator
from ..sim.usb import UsbSimulator
from ..sim.usb_host import CYCLES_PER_BIT
from .board import Board
from .clock import PllSettings
from .top import Top


class SimulatedPlatform:
    """Stands in for a board's Amaranth platform: the same resources, their pins without pads.

    It has no `family`, so whatever stands behind a vendor's primitive is its portable twin.
    """

    device = "simulated"  # luna asks

    def __init__(self, platform: Any):
        self._platform = platform
        self.simulated_clock = Signal(name="clk")
        self.ports: dict[str, Any] = {}

    def lookup(self, name: str, number: int = 0) -> Any:
        """The resource of that name."""
        return self._platform.lookup(name, number)

    def request(self, name: str, number: int = 0, **_: Any) -> Any:
        """The pins of a resource: ports of the simulation."""
        resource = self.lookup(name, number)
        members = [item for item in resource.ios if isinstance(item, Subsignal)]
        if not members:
            return self._port(f"{name}_{number}", resource)
        return _Members({item.name: self._port(item.name, item) for item in members})

    def _port(self, name: str, resource: Any) -> io.SimulationPort:
        (pins,) = (item for item in resource.ios if isinstance(item, Pins))
        direction = {"i": io.Direction.Input, "o": io.Direction.Output}.get(pins.dir, io.Direction.Bidir)
        port = io.SimulationPort(direction, len(pins.names), invert=pins.invert, name=name)
        if direction is io.Direction.Bidir:
            self.ports |= {f"{name}_i": port.i, f"{name}_o": port.o, f"{name}_oe": port.oe}
        else:
            self.ports[name] = port.i if direction is io.Direction.Input else port.o
        return port


class _Members:
    def __init__(self, ports: dict[str, io.SimulationPort]):
        self.__dict__.update(ports)


def board_design(board: Board, config: FabricConfig, settings: PllSettings) -> Design:
    """The design of a board with that fabric and clock. Raises ToolError where amaranth-boards is missing."""

    def make() -> str:
        platform = SimulatedPlatform(board.make_platform(config))
        top = Top(board, config, settings)
        return rtlil_of(top, lambda: {"clk": platform.simulated_clock, **platform.ports}, platform)

    return Design(
        name=board.name,
        key=(board.name, board.link, config, settings, metadata.version("luna-usb") if board.link.usb else ""),
        make=make,
        harness="usb.cc" if board.link.usb else "pins.cc",
        sources=(Path(__file__).parent,),
    )


def simulate(
    board: Board, config: FabricConfig, *, trace: Path | None = None, notify: Notify | None = None
) -> tuple[PinSimulator, float]:
    """A board that runs in this process, with that fabric at the board's own clock, and the cycles of a bit of its link.

    Raises ToolError where it cannot be built.
    """
    settings = board.pll()
    design = board_design(board, config, settings)
    if board.link.usb:
        return UsbSimulator(design, trace=trace, notify=notify), CYCLES_PER_BIT
    cycles_per_bit = settings.clock_hz / board.link.baud
    return PinSimulator(design, cycles_per_bit=cycles_per_bit, trace=trace, notify=notify), cycles_per_bit

"""A simulated USB device at the end of simulated wires: the link's gateware with an echo in the fabric's place."""

from pathlib import Path
from typing import Any

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect
from celosia.boards import usb
from celosia.hw.config import preset
from celosia.hw.link.endpoint import Endpoint
from celosia.sim.design import Design
from celosia.sim.model import rtlil_of
from celosia.sim.usb import UsbSimulator
from wires import EchoCore


class UsbEcho(wiring.Component):
    """`wires.Echo` at the end of a USB cable."""

    def __init__(self) -> None:
        self._link = usb.UsbLink()
        self.pads = self._link.pads
        super().__init__({name: self._link.signature.members[name] for name in self.pads})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.usb = link = self._link
        m.submodules.endpoint = endpoint = Endpoint(preset("mini"))
        m.submodules.echo = echo = EchoCore()
        connect(m, link.o, endpoint.i)
        connect(m, endpoint.o, link.i)
        connect(m, endpoint.o_words, echo.i)
        connect(m, echo.o, endpoint.i_words)
        m.d.comb += echo.reset.eq(endpoint.reset)
        for name, member in self.signature.members.items():
            ours, theirs = getattr(self, name), getattr(link, name)
            m.d.comb += theirs.eq(ours) if member.flow is In else ours.eq(theirs)
        return m


class _Platform:
    device = ""


def _rtlil() -> str:
    echo = UsbEcho()
    clock = ClockDomain("sync", reset_less=True)
    pads = {name: getattr(echo, name) for name in echo.pads}
    return rtlil_of(usb.one_clock(echo), lambda: {"clk": clock.clk, **pads}, _Platform(), [clock])


def echo(trace: Path | None = None) -> UsbSimulator:
    """A simulated echo."""
    design = Design(name="usb-echo", key=None, make=_rtlil, harness="usb.cc", sources=(Path(usb.__file__).parent,))
    return UsbSimulator(design, trace=trace)

"""Simulated USB devices at the end of simulated wires: the board's own link, with something simple in the fabric's place."""

from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect
from celosia.boards import usb
from celosia.hw.config import preset
from celosia.hw.link.endpoint import Endpoint
from celosia.sim.design import Design
from celosia.sim.model import rtlil_of
from celosia.sim.usb import UsbSimulator
from celosia.sim.usb_packets import J, K
from wires import EchoCore


class Loop(wiring.Component):
    """What the host sends comes back, byte for byte."""

    def __init__(self) -> None:
        self._link = usb.UsbLink()
        self.pads = self._link.pads
        super().__init__({name: self._link.signature.members[name] for name in self.pads})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.usb = link = self._link
        self._join(m, link)
        for name, member in self.signature.members.items():
            ours, theirs = getattr(self, name), getattr(link, name)
            m.d.comb += theirs.eq(ours) if member.flow is In else ours.eq(theirs)
        return m

    def _join(self, m: Module, link: usb.UsbLink) -> None:
        connect(m, link.o, link.i)


class Echo(Loop):
    """`wires.Echo` at the end of a USB cable."""

    def _join(self, m: Module, link: usb.UsbLink) -> None:
        m.submodules.endpoint = endpoint = Endpoint(preset("mini"))
        m.submodules.echo = echo = EchoCore()
        connect(m, link.o, endpoint.i)
        connect(m, endpoint.o, link.i)
        connect(m, endpoint.o_words, echo.i)
        connect(m, echo.o, endpoint.i_words)
        m.d.comb += echo.reset.eq(endpoint.reset)


class _Platform:
    device = ""


class Simulator(UsbSimulator):
    """With a share of the packets damaged once the device is enumerated; `packets` are the sizes of those that came."""

    def __init__(self, kind: type[Loop], share: float = 0.0, seed: int = 0):
        def make() -> str:
            device, clock = kind(), ClockDomain("sync", reset_less=True)
            pads = {name: getattr(device, name) for name in device.pads}
            return rtlil_of(usb.one_clock(device), lambda: {"clk": clock.clk, **pads}, _Platform(), [clock])

        sources = (Path(usb.__file__).parent, Path(__file__).parent)
        super().__init__(Design(name="usb", key=kind.__name__, make=make, harness="usb.cc", sources=sources))
        self.packets: list[int] = []
        self.damaged = 0
        self._share = share
        self._rng = np.random.default_rng(seed)

    def _receive(self, endpoint: int) -> bytes | None:
        packet = super()._receive(endpoint)
        if packet is not None:
            self.packets.append(len(packet))
        return packet

    def _put(self, symbols: bytes, *, listen: bool = False) -> bytes:
        return self._spoil(super()._put(self._spoil(symbols), listen=listen))

    def _spoil(self, symbols: bytes) -> bytes:
        if self.description is None or len(symbols) < 15 or self._rng.random() >= self._share:
            return symbols
        self.damaged += 1
        place = int(self._rng.integers(9, len(symbols) - 4))
        return symbols[:place] + bytes([J + K - symbols[place]]) + symbols[place + 1 :]


def usb_bytes(size: int, seed: int = 0) -> bytes:
    """Bytes without any order."""
    return np.random.default_rng([size, seed]).bytes(size)

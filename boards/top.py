"""A board's whole design: clock, serial port, fabric.

oscillator --> Clock --> sync
          `--> UsbClocks --> usb, usb_io, where the link is USB
pins <--> UartFabric or UsbFabric
lamp <-- heartbeat, and what comes in
"""

from typing import Any

from amaranth.build import Subsignal
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import io

from ..hw.config import FabricConfig
from ..hw.link.device import UartFabric
from .board import Board
from .clock import Clock, PllSettings, solve


class Top(Elaboratable):
    """What a bitstream holds; its ports are the platform's pins."""

    def __init__(self, board: Board, config: FabricConfig, settings: PllSettings):
        self._board = board
        self._config = config
        self._settings = settings

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        board = self._board
        m.submodules.clock = self._clock = clock = Clock(self._settings, (board.oscillator[0], 0))
        m.domains += clock.sync
        pins = _request(platform, *board.link.resource)
        talks = self._usb(m, platform, pins) if board.link.usb else self._uart(m, pins)
        if board.led:
            m.submodules.lamp = lamp = io.Buffer("o", platform.request(*board.led, dir="-"))
            beat = Signal(range(round(self._settings.clock_hz)))  # its highest bit: about once a second
            m.d.sync += beat.eq(beat + 1)
            m.d.comb += lamp.o.eq(beat[-1] ^ talks)
        return m

    def _uart(self, m: Module, pins: Any) -> Any:
        baud = self._board.link.baud
        m.submodules.device = device = UartFabric(self._config, clock_hz=round(self._settings.clock_hz), baud=baud)
        m.submodules.rx = rx = io.Buffer("i", pins.rx)
        m.submodules.tx = tx = io.Buffer("o", pins.tx)
        m.d.comb += [device.rx.eq(rx.i), tx.o.eq(device.tx)]
        return ~rx.i

    def _usb(self, m: Module, platform: Any, pins: Any) -> Any:
        from .usb import USB_IO_HZ, UsbClocks, UsbFabric, one_clock

        device = UsbFabric(self._config)
        if hasattr(platform, "simulated_clock"):
            m.submodules.device = one_clock(device)
        else:
            m.submodules.device = device
            settings = solve(self._settings.family, self._board.oscillator[1], USB_IO_HZ)
            m.submodules.usb_clocks = clocks = UsbClocks(settings, self._clock.buffered)
            m.domains += clocks.domains
        m.submodules.pullup = pullup = io.Buffer("o", pins.pullup)
        m.d.comb += pullup.o.eq(device.pullup)
        for name in ("d_p", "d_n"):
            m.submodules[name] = pad = io.Buffer("io", getattr(pins, name))
            m.d.comb += [
                getattr(device, f"{name}_i").eq(pad.i),
                pad.o.eq(getattr(device, f"{name}_o")),
                pad.oe.eq(getattr(device, f"{name}_oe")),
            ]
        return device.d_p_oe


def _request(platform: Any, name: str, number: int) -> Any:
    """The pins of a resource with members, bare."""
    members = platform.lookup(name, number).ios
    return platform.request(name, number, dir={item.name: "-" for item in members if isinstance(item, Subsignal)})

"""A board's whole design: clock, serial port, fabric.

oscillator --> Clock --> sync
pins rx, tx <--> UartFabric
lamp <-- heartbeat, and what comes in
"""

from typing import Any

from amaranth.build import Subsignal
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import io

from ..hw.config import FabricConfig
from ..hw.link.device import UartFabric
from .board import Board
from .clock import Clock, PllSettings


class Top(Elaboratable):
    """What a bitstream holds; its ports are the platform's pins."""

    def __init__(self, board: Board, config: FabricConfig, settings: PllSettings):
        self._board = board
        self._config = config
        self._settings = settings

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        board = self._board
        m.submodules.clock = clock = Clock(self._settings, (board.oscillator[0], 0))
        m.domains += clock.sync
        m.submodules.device = device = UartFabric(self._config, clock_hz=round(self._settings.clock_hz), baud=board.link.baud)
        members = platform.lookup(*board.link.resource).ios
        pins = platform.request(*board.link.resource, dir={item.name: "-" for item in members if isinstance(item, Subsignal)})
        m.submodules.rx = rx = io.Buffer("i", pins.rx)
        m.submodules.tx = tx = io.Buffer("o", pins.tx)
        m.d.comb += [device.rx.eq(rx.i), tx.o.eq(device.tx)]
        if board.led:
            m.submodules.lamp = lamp = io.Buffer("o", platform.request(*board.led, dir="-"))
            beat = Signal(range(round(self._settings.clock_hz)))  # its highest bit: about once a second
            m.d.sync += beat.eq(beat + 1)
            m.d.comb += lamp.o.eq(beat[-1] ^ ~rx.i)
        return m

"""Simulated USB devices at the end of simulated wires: the board's own link, with something simple in the fabric's place."""

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import ClockDomain, Fragment, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect
from amaranth.sim import Simulator
from celosia.boards import usb
from celosia.hw.link.endpoint import Endpoint
from celosia.hw.presets import preset
from celosia.sim.design import Design
from celosia.sim.model import rtlil_of
from celosia.sim.usb import UsbSimulator
from celosia.sim.usb_packets import SE0, J, K, Pid, decode
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


class SpoilingSimulator(UsbSimulator):
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

    def transact(self, symbols: bytes, room: int, bits: float) -> bytes:
        answer = super().transact(self._spoil(symbols), room, bits)
        match decode(answer):
            case (Pid.DATA0 | Pid.DATA1, data):
                self.packets.append(len(data))
        return self._spoil(answer)

    def _spoil(self, symbols: bytes) -> bytes:
        if self.host.description is None or len(symbols) < 15 or self._rng.random() >= self._share:
            return symbols
        self.damaged += 1
        place = int(self._rng.integers(9, len(symbols) - 4))
        return symbols[:place] + bytes([J + K - symbols[place]]) + symbols[place + 1 :]


class ThreeClocks:
    """A device in Amaranth's own simulator, with `sync` at any rate: a thousand times slower than the others, and free of the
    assumption that one clock is all three. The host runs in a thread of its own and waits for its `transact`."""

    def __init__(self, device: Any, sync_hz: float):
        self.cycles = 0
        self.is_attached = False
        self._device = device
        self._questions: queue.Queue[tuple[bytes, int, float] | None] = queue.Queue()
        self._answers: queue.Queue[bytes] = queue.Queue()
        fragment = Fragment.get(device, _Platform())
        fragment.add_domains(*(ClockDomain(name, reset_less=True) for name in ("sync", "usb", "usb_io")))
        self._simulator = Simulator(fragment)
        fast = 20_833e-12  # seconds; whole picoseconds, so that the edges of the slow clock come with some of this one
        for name, period in (("usb_io", fast), ("usb", usb.USB_RATIO * fast), ("sync", round(1e12 / sync_hz) * 1e-12)):
            self._simulator.add_clock(period, phase=period, domain=name)
        self._simulator.add_testbench(self._drive)

    def run(self, talk: Callable[["ThreeClocks"], None]) -> None:
        """Simulates for as long as the host talks."""
        failed: list[BaseException] = []

        def host() -> None:
            try:
                talk(self)
            except BaseException as error:
                failed.append(error)
            self._questions.put(None)

        thread = threading.Thread(target=host)
        thread.start()
        self._simulator.run()
        thread.join()
        if failed:
            raise failed[0]

    def transact(self, symbols: bytes, room: int, bits: float) -> bytes:
        """As `UsbWires` has it; a bit is four cycles of `usb_io`."""
        self._questions.put((symbols, room, bits))
        return self._answers.get()

    async def _drive(self, ctx: Any) -> None:
        while (question := self._questions.get()) is not None:
            symbols, room, bits = question
            for symbol in symbols:
                for _ in range(usb.USB_RATIO):
                    await self._step(ctx, symbol)
            self._answers.put(await self._listen(ctx, room, bits))

    async def _listen(self, ctx: Any, room: int, bits: float) -> bytes:
        answer, before, phase = bytearray(), J, None
        limit = self.cycles + bits * usb.USB_RATIO
        while len(answer) < room if room and phase is not None else self.cycles < limit:
            symbol = await self._step(ctx, None)
            if room and symbol != before:
                phase = 0
            before = symbol
            if phase is not None:
                phase += 1
                if phase % usb.USB_RATIO == 2:
                    answer.append(symbol)
                    if len(answer) > 2 and answer[-2:] == bytes([SE0, J]):
                        break
        return bytes(answer)

    async def _step(self, ctx: Any, driven: int | None) -> int:
        """A cycle of `usb_io`; gives what was on the wires."""
        device = self._device
        d_p = ctx.get(device.d_p_o) if ctx.get(device.d_p_oe) else ctx.get(device.pullup)
        d_n = ctx.get(device.d_n_o) if ctx.get(device.d_n_oe) else 0
        symbol = (d_p | d_n << 1) if driven is None else driven
        ctx.set(device.d_p_i, symbol & 1)
        ctx.set(device.d_n_i, symbol >> 1)
        await ctx.tick("usb_io")
        self.cycles += 1
        self.is_attached = bool(ctx.get(device.pullup))
        return int(symbol)


def usb_bytes(size: int, seed: int = 0) -> bytes:
    """Bytes without any order."""
    return np.random.default_rng([size, seed]).bytes(size)

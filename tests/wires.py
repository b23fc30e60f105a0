"""A simulated device at the end of simulated wires, with faults on them: the port of the link's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect
from celosia.host.transport.frames import Decoder
from celosia.hw.config import FabricConfig
from celosia.hw.link.endpoint import Endpoint
from celosia.hw.link.uart import BITS_PER_BYTE, UartReceiver, UartTransmitter
from celosia.hw.presets import preset
from celosia.sim.design import Design
from celosia.sim.errors import DeviceError
from celosia.sim.model import component_rtlil
from celosia.sim.pins import PinSimulator, uart_fabric_design

CLOCK_HZ = 12e6
CYCLES_PER_BIT = 4
BAUD = CLOCK_HZ / CYCLES_PER_BIT


class EchoCore(wiring.Component):
    """In the fabric's place: the n-th word since the reset comes back plus n, so none may be missing, twice or out of order."""

    i: In(stream.Signature(32))
    o: Out(stream.Signature(32))
    reset: In(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = Signal(32)
        m.d.comb += [
            self.o.valid.eq(self.i.valid),
            self.o.payload.eq(self.i.payload + count),
            self.i.ready.eq(self.o.ready),
        ]
        with m.If(self.reset):
            m.d.sync += count.eq(0)
        with m.Elif(self.i.valid & self.i.ready):
            m.d.sync += count.eq(count + 1)
        return m


class Echo(wiring.Component):
    """The link over two wires with an echo behind it."""

    rx: In(1, init=1)
    tx: Out(1, init=1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(clock_hz=CLOCK_HZ, baud=BAUD)
        m.submodules.transmitter = transmitter = UartTransmitter(clock_hz=CLOCK_HZ, baud=BAUD)
        m.submodules.endpoint = endpoint = Endpoint(preset("mini"))
        m.submodules.echo = echo = EchoCore()
        connect(m, receiver.o, endpoint.i)
        connect(m, endpoint.o, transmitter.i)
        connect(m, endpoint.o_words, echo.i)
        connect(m, echo.o, endpoint.i_words)
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx), echo.reset.eq(endpoint.reset)]
        return m


def echoed(words: np.ndarray, first: int) -> np.ndarray:
    """What the echo makes of words of which the first is the `first`-th."""
    return words + np.arange(first, first + len(words), dtype=np.uint32)


def echo(trace: Path | None = None) -> PinSimulator:
    """A simulated echo."""
    design = Design(name="echo", key=(CLOCK_HZ, BAUD), make=lambda: component_rtlil(Echo()), harness="pins.cc")
    return PinSimulator(design, cycles_per_bit=CYCLES_PER_BIT, trace=trace)


def fabric(config: FabricConfig) -> PinSimulator:
    """A simulated fabric behind its serial port."""
    return PinSimulator(uart_fabric_design(config, clock_hz=CLOCK_HZ, baud=BAUD), cycles_per_bit=CYCLES_PER_BIT)


Fault = Callable[[bytes, np.random.Generator], list[bytes]]


class Faults:
    """What happens to frames on a bad line: to each of them, with the probability `share`, one of many things."""

    def __init__(self, rng: np.random.Generator, share: float):
        self._rng = rng
        self._share = share
        self._later: list[bytes] = []
        self.frames = 0
        self.hit = 0

    def __call__(self, frame: bytes) -> Iterator[tuple[bytes, float]]:
        """Bytes that arrive instead, with the seconds that they are late."""
        rng = self._rng
        self.frames += 1
        pause = 0.0
        if rng.random() < self._share:
            self.hit += 1
            kind = rng.integers(8)
            at = int(rng.integers(len(frame)))
            end = at + int(rng.integers(1, 1 + len(frame) - at))
            noise = rng.bytes(int(rng.integers(1, 40)))
            if kind == 0:  # one bit
                frame = frame[:at] + bytes([frame[at] ^ 1 << int(rng.integers(8))]) + frame[at + 1 :]
            elif kind == 1:  # a burst
                frame = frame[:at] + rng.bytes(end - at) + frame[end:]
            elif kind == 2:  # missing bytes
                frame = frame[:at] + frame[end:]
            elif kind == 3:  # bytes come twice
                frame = frame[:end] + frame[at:]
            elif kind == 4:  # the frame comes twice, now or later
                self._later.append(frame)
            elif kind == 5:  # the frame comes not at all
                frame = b""
            elif kind == 6:  # noise before or within it
                frame = noise + frame if rng.random() < 0.5 else frame[:at] + noise + frame[at:]
            else:  # late, or in two parts
                yield frame[:at], 0.0
                frame, pause = frame[at:], float(rng.exponential(0.02))
        yield frame, pause
        if self._later and rng.random() < 0.3:
            yield self._later.pop(0), 0.0


class WirePort:
    """A port to a simulated device, whose time is the simulation's."""

    def __init__(self, simulator: PinSimulator, outward: Any = None, inward: Any = None):
        self.simulator = simulator
        self.sent = self.came = 0
        self._outward, self._inward = outward, inward
        self._splitters = Decoder(), Decoder()
        self._out = b""
        self._pauses: list[tuple[bytes, float]] = []
        self._in: list[tuple[float, bytes]] = []
        self.unplugged = False

    def clock(self) -> float:
        """Seconds of the simulation."""
        return self.simulator.cycles / CLOCK_HZ

    def write(self, data: bytes) -> None:
        if self.unplugged:
            raise DeviceError("unplugged")
        if self._outward is None:
            self._pauses.append((data, 0.0))
            return
        for piece in _pieces(self._splitters[0], data):
            self._pauses += self._outward(piece)

    def read(self, seconds: float) -> bytes:
        if self.unplugged:
            raise DeviceError("unplugged")
        end = self.clock() + seconds
        while True:
            ready = [data for when, data in self._in if when <= self.clock()]
            if ready:
                del self._in[: len(ready)]
                return b"".join(ready)
            left = end - self.clock()
            if left < 0:
                return b""
            self._run(left)

    def close(self) -> None:
        """The device stays as it is."""

    def _run(self, seconds: float) -> None:
        """Runs the device for so long, or until a byte comes."""
        if not self._out and self._pauses and self._pauses[0][1]:
            self._out, pause = self._pauses.pop(0)
            self._receive(self.simulator.exchange(b"", int(pause * CLOCK_HZ) + 1)[1])
        while self._pauses and not self._pauses[0][1]:
            self._out += self._pauses.pop(0)[0]
        cycles = max(1, min(int(seconds * CLOCK_HZ), 100_000))
        if self._pauses:
            cycles = min(cycles, len(self._out) * BITS_PER_BYTE * CYCLES_PER_BIT + 1)
        taken, data, _ = self.simulator.exchange(self._out, cycles, stop=True)
        self.sent += taken
        self._out = self._out[taken:]
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        self.came += len(data)
        if not data:
            return
        if self._inward is None:
            self._in.append((0.0, data))
            return
        for piece in _pieces(self._splitters[1], data):
            for part, pause in self._inward(piece):
                last = self._in[-1][0] if self._in else 0.0
                self._in.append((max(last, self.clock() + pause if pause else 0.0), part))


def _pieces(decoder: Decoder, data: bytes) -> Iterator[bytes]:
    """Whole frames of what is sent."""
    for frame in decoder.feed(data):
        yield bytes(frame)


def byte_time() -> float:
    """Seconds of a byte on the wire."""
    return BITS_PER_BYTE / BAUD


def tick(port: WirePort, cycles: int) -> bool:
    """Lets time pass for a port whose wires are cut."""
    PinSimulator.exchange(port.simulator, b"", cycles)
    return True

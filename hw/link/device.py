"""The fabric behind its link: what a board's top level joins to its pins."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..config import FabricConfig
from ..fabric import Fabric
from .uart import UartReceiver, UartTransmitter


class UartFabric(wiring.Component):
    """A fabric at the end of two wires, all in the domain `sync`.

    Members: `rx` is the pin on which the host sends, `tx` the one on which it listens; both are 1 while nothing is sent.
    `rx` may be asynchronous. Both are plain signals: pads and levels are the board's.

    Parameters
    ----------
    clock_hz: frequency of `sync`.
    baud: rate of the line, up to clock_hz / 4.

    Raises ValueError where the clock is too slow for the rate.
    """

    def __init__(self, config: FabricConfig, *, clock_hz: float, baud: float):
        self.config = config
        self.clock_hz = clock_hz
        self.baud = baud
        self._receiver = UartReceiver(clock_hz=clock_hz, baud=baud)
        self._transmitter = UartTransmitter(clock_hz=clock_hz, baud=baud)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = self._receiver
        m.submodules.transmitter = transmitter = self._transmitter
        m.submodules.linked = linked = LinkedFabric(self.config)
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx)]
        connect(m, receiver.o, linked.i)
        connect(m, linked.o, transmitter.i)
        return m


class LinkedFabric(wiring.Component):
    """A fabric behind two streams of bytes."""

    def __init__(self, config: FabricConfig):
        self.config = config
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.fabric = fabric = Fabric(self.config)
        m.submodules.packer = packer = _Packer()
        m.submodules.unpacker = unpacker = _Unpacker()
        connect(m, flipped(self.i), packer.i)
        connect(m, packer.o, fabric.i)
        connect(m, fabric.o, unpacker.i)
        connect(m, unpacker.o, flipped(self.o))
        return m


class _Packer(wiring.Component):
    """Four bytes, the least significant first, to a word."""

    i: In(stream.Signature(8))
    o: Out(stream.Signature(32))

    def elaborate(self, platform):
        m = Module()
        count = Signal(2)
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                self.o.payload.eq(Cat(self.o.payload[8:], self.i.payload)),
                count.eq(count + 1),
                self.o.valid.eq(count == 3),
            ]
        return m


class _Unpacker(wiring.Component):
    """A word to four bytes, the least significant first."""

    i: In(stream.Signature(32))
    o: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()
        word = Signal(32)
        left = Signal(range(5))
        m.d.comb += [self.i.ready.eq(left == 0), self.o.valid.eq(left != 0), self.o.payload.eq(word[:8])]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [word.eq(self.i.payload), left.eq(4)]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [word.eq(word[8:]), left.eq(left - 1)]
        return m

"""Where a stream of bytes pauses: what a bus of packets must know, so that a last short packet does not wait for more."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

PACKET_BYTES = 64
"""Most bytes of a packet of data on full-speed USB."""


class MarkedByte(data.Struct):
    """A byte, and whether it is the last one before a pause."""

    byte: unsigned(8)
    last: unsigned(1)


class PauseMarker(wiring.Component):
    """Holds back one byte until the next one comes, or `cycles` have passed: then it goes out as the last one.

    Members: `i` takes the bytes, `o` gives them with their marks. A mark that was offered may be taken back, where the next
    byte comes before it is taken: this is no stream in the strict sense.
    """

    def __init__(self, cycles: int):
        self._cycles = cycles
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(MarkedByte))})

    def elaborate(self, platform):
        m = Module()
        held, full = Signal(8), Signal()
        waited = Signal(range(self._cycles + 1))
        paused = waited == self._cycles
        goes = self.o.valid & self.o.ready
        m.d.comb += [
            self.o.valid.eq(full & (self.i.valid | paused)),
            self.o.payload.byte.eq(held),
            self.o.payload.last.eq(~self.i.valid),
            self.i.ready.eq(~full | self.o.ready),
        ]
        with m.If(goes):
            m.d.sync += full.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held.eq(self.i.payload), full.eq(1), waited.eq(0)]
        with m.Elif(~paused):
            m.d.sync += waited.eq(waited + 1)
        return m

"""Joins two streams of packets that come one after the other, each from another end of the chip."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .stream_buffer import StreamBuffer


class InTurn(wiring.Component):
    """`o` gives the words of `first` and of `second` in the order in which they were taken.

    A sender has to wait until nothing of the other's is left here; `first` need not, where nothing comes from either.
    """

    def __init__(self, shape):
        self._shape = shape
        super().__init__(
            {
                "first": In(stream.Signature(shape)),
                "second": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        turn = Signal()  # the second's
        # The first's: not `turn`, which has all bits of a word for readers. As it begins as a one, Yosys does not take the one
        # for the other.
        first_turn = Signal(init=1)
        m.submodules.last = last = StreamBuffer(self._shape)
        connect(m, last.o, flipped(self.o))
        lasts = []
        for number, sender in enumerate((self.first, self.second)):
            m.submodules[f"buffer_{number}"] = buffer = StreamBuffer(self._shape)
            takes = turn if number else first_turn
            m.d.comb += [
                buffer.i.payload.eq(sender.payload),
                buffer.i.valid.eq(sender.valid & takes),
                sender.ready.eq(buffer.i.ready & takes),
                buffer.o.ready.eq(last.i.ready & takes),
            ]
            with m.If(turn if number else ~turn):
                m.d.comb += [last.i.payload.eq(buffer.o.payload), last.i.valid.eq(buffer.o.valid)]
            lasts.append(sender.valid | buffer.o.valid)
        here, there = lasts
        coming = (turn & there) | (first_turn & ~here & self.second.valid)
        m.d.sync += [turn.eq(coming), first_turn.eq(~coming)]
        return m

"""A register in a stream, in both directions: what comes in and what goes out never meet in the same cycle."""

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class StreamBuffer(wiring.Component):
    """Two words deep: `o` follows `i` by a cycle, a word a cycle; `i.ready` and `o.valid` come from registers."""

    def __init__(self, shape):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        bits = Shape.cast(self.i.payload.shape())
        payload, spare = Signal(bits, reset_less=True), Signal(bits, reset_less=True)
        valid, held = Signal(), Signal()  # `payload` is there, `spare` is there too
        # Not `held`, which has as many readers here as the payload has bits, and lies with them. As it begins as a one, Yosys
        # does not take the one for the other.
        free = Signal(init=1)
        m.d.comb += [self.i.ready.eq(free), self.o.valid.eq(valid), self.o.payload.eq(payload)]
        with m.If(~held):
            m.d.sync += spare.eq(self.i.payload)
        with m.If(self.o.ready | ~valid):
            m.d.sync += valid.eq(held | self.i.valid)
            m.d.sync += free.eq(1)
            with m.If(held):
                m.d.sync += [payload.eq(spare), held.eq(0)]
            with m.Else():
                m.d.sync += payload.eq(self.i.payload)
        with m.Else():
            m.d.sync += [held.eq(held | self.i.valid), free.eq(free & ~self.i.valid)]
        return m

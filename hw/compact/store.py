"""Sends a tensor to the host, a stream word in three cycles."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import FabricConfig
from ..isa import Answer, Descriptor, Header


class CompactStore(wiring.Component):
    """STORE: a RESULT packet of `length` words from `row_address` on, which is a multiple of 4.

    Members: `start` with `descriptor`, `active` until the last word is taken, `done` in that cycle; `half` and `i_half` are the
    activation memory's, whose port is this component's while `active`.
    """

    WORD_CYCLES = 3
    """Cycles from a word to the next."""

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(Descriptor),
                "active": Out(1),
                "done": Out(1),
                "half": Out(config.activation_address_bits - 1),
                "i_half": In(16),
                "o": Out(stream.Signature(32)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        unsent = Signal(self._config.activation_address_bits - 1, reset_less=True)  # words
        lower = Signal(16, reset_less=True)
        header = Signal(Header)
        m.d.comb += [header.count.eq(self.descriptor.length), header.command.eq(Answer.RESULT)]
        with m.FSM() as machine:
            with m.State("IDLE"):
                m.d.sync += [self.half.eq(self.descriptor.row_address[1:]), unsent.eq(self.descriptor.length)]
                with m.If(self.start):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(header)]
                with m.If(self.o.ready):
                    m.next = "TAG"
            with m.State("TAG"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(self.descriptor.tag)]
                with m.If(self.o.ready):
                    m.next = "LOWER"
            with m.State("LOWER"):
                m.d.sync += self.half.eq(self.half + 1)
                m.next = "UPPER"
            with m.State("UPPER"):
                m.d.sync += lower.eq(self.i_half)
                m.next = "WORD"
            with m.State("WORD"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(Cat(lower, self.i_half))]
                with m.If(self.o.ready):
                    m.d.sync += [self.half.eq(self.half + 1), unsent.eq(unsent - 1)]
                    m.next = "LOWER"
                    with m.If(unsent == 1):
                        m.d.comb += self.done.eq(1)
                        m.next = "IDLE"
        m.d.comb += self.active.eq(~machine.ongoing("IDLE"))
        return m

"""Puts frames together."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .crc import Crc32
from .framing import HEADER_BYTES, FrameHeader

_HALVES = HEADER_BYTES // 2


class FrameSender(wiring.Component):
    """Sends a frame, a byte in `Crc32.CYCLES` + 2 cycles at most.

    Members: `start`, while `idle`, begins a frame with `header`, whose fields are sampled two bytes at a time: the number of
    the pair is `half`, and `sampling` is high when it is taken. `word` is the payload's next word; `next_word` asks for the one
    after it, which must be there `SETTLE` cycles later.
    """

    SETTLE = 2 * Crc32.CYCLES

    def __init__(self):
        super().__init__(
            {
                "start": In(1),
                "header": In(FrameHeader),
                "idle": Out(1),
                "half": Out(range(_HALVES)),
                "sampling": Out(1),
                "word": In(32),
                "next_word": Out(1),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = Crc32()
        pair = Signal(16)  # what is on its way
        bytes_left = Signal(range(3))  # of it
        fed = Signal()  # it counts for the CRC
        coming = Signal(16)
        load = Signal()
        words_left = Signal(8)
        upper = Signal()
        sent = Signal()
        m.d.comb += [
            load.eq((bytes_left == 0) & crc.idle),
            self.o.payload.eq(pair[:8]),
            self.o.valid.eq((bytes_left != 0) & crc.idle),
            sent.eq(self.o.valid & self.o.ready),
            crc.byte.eq(pair[:8]),
            crc.strobe.eq(sent & fed),
        ]
        with m.If(load):
            m.d.sync += [pair.eq(coming), bytes_left.eq(2)]
        with m.Elif(sent):
            m.d.sync += [pair.eq(pair[8:]), bytes_left.eq(bytes_left - 1), crc.first.eq(0)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.idle.eq(1), load.eq(0)]
                m.d.sync += [crc.first.eq(1), fed.eq(1), self.half.eq(0), upper.eq(0), words_left.eq(self.header.length)]
                with m.If(self.start):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [coming.eq(self.header.as_value().word_select(self.half, 16)), self.sampling.eq(load)]
                with m.If(load):
                    m.d.sync += self.half.eq(self.half + 1)
                    with m.If(self.half == _HALVES - 1):
                        m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += coming.eq(crc.crc[:16])
                with m.If(load):
                    m.d.sync += fed.eq(0)
                    m.next = "TRAIL"
                    with m.If(words_left != 0):
                        m.next = "PAYLOAD"
            with m.State("PAYLOAD"):
                m.d.comb += coming.eq(self.word.word_select(upper, 16))
                with m.If(load):
                    m.d.sync += [fed.eq(1), upper.eq(~upper)]
                    with m.If(upper):
                        m.d.comb += self.next_word.eq(1)
                        m.d.sync += words_left.eq(words_left - 1)
                        with m.If(words_left == 1):
                            m.next = "TRAIL"
            with m.State("TRAIL"):
                m.d.comb += coming.eq(crc.crc.word_select(upper, 16))
                with m.If(load):
                    m.d.sync += [fed.eq(0), upper.eq(~upper)]
                    with m.If(upper):
                        m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.comb += load.eq(0)
                with m.If(bytes_left == 0):
                    m.next = "IDLE"
        return m

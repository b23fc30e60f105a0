"""Puts frames together."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..delay import delay
from .crc import Crc32
from .framing import HEADER_BYTES, IDENTITY_WORDS, FrameHeader, field_bytes

# Where two bytes of a frame come from: first the header, pair by pair, then, with the highest bit, one of these.
_LAST_OF_HEADER = HEADER_BYTES // 2 - 1
_CRC, _UPPER_CRC = 12, 13
_WORD, _UPPER_WORD = 8, 9
_IDENTITY, _UPPER_IDENTITY = 10, 11  # a word's place, but for one bit


class FrameSender(wiring.Component):
    """Sends a frame, a byte in `CYCLES` cycles at most.

    Members: `start`, while `idle`, begins a frame with `header`; its `kind` must hold still from then on, its `length` in that
    cycle, and the other fields are sampled two bytes at a time, `taken` when `samples_taken` is high. `word` is the payload's
    next word; `next_word` asks for the one after it, which must be there `SETTLE` cycles later. The payload of a hello is
    `identity`.
    """

    CYCLES = Crc32.CYCLES + 7
    SETTLE = 2 * Crc32.CYCLES

    def __init__(self, identity: int):
        self._identity = identity
        super().__init__(
            {
                "start": In(1),
                "header": In(FrameHeader),
                "idle": Out(1),
                "samples_taken": Out(1),
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
        coming = Signal(16)
        settled, ready, load = Signal(), Signal(), Signal()  # the next pair: on its way, in `coming`, taken from there
        fed, first = Signal(), Signal()  # it counts for the CRC, and begins it
        source = Signal(4)
        words_left = Signal(8)
        last_word, some_words, header_ends, takes_sample = (
            Signal(name=name) for name in ("last_word", "some_words", "header_ends", "takes_sample")
        )
        trail = Signal()  # the CRC that comes is the one at the end
        hello = self.header.kind.hello
        sent = Signal()

        # Of the identity's words `words_left` are still to come, all of them when it is zero in the bits that count.
        halves = [[self._identity >> (32 * word + 16 * upper) & 0xFFFF for upper in (0, 1)] for word in range(IDENTITY_WORDS)]
        told = Cat(Const(half, 16) for left in range(IDENTITY_WORDS) for half in halves[-left % IDENTITY_WORDS])
        place = Cat(source[0], words_left[: exact_log2(IDENTITY_WORDS)])
        identity = delay(m, told.word_select(place, 16), 1, name="identity")
        # The pair's source holds still from three cycles before `ready`.
        of_header, behind_header, of_upper_word = Signal(16), Signal(16), Signal()
        with m.Switch(source[1:3]):
            with m.Case(_CRC >> 1 & 3):
                m.d.sync += behind_header.eq(crc.crc.word_select(source[0], 16))
            with m.Case(_WORD >> 1 & 3):
                m.d.sync += behind_header.eq(self.word.word_select(source[0], 16))
            with m.Default():
                m.d.sync += behind_header.eq(identity)
        counted = crc.idle & ~crc.strobe
        waiting = (bytes_left == 0) & counted & ~self.idle
        m.d.sync += [
            settled.eq(waiting & ~ready & ~load),
            ready.eq(settled & ~ready),
            load.eq(ready),
            self.next_word.eq(ready & of_upper_word),
            of_upper_word.eq(source == _UPPER_WORD),
            of_header.eq(self.header.as_value().word_select(source[:3], 16)),
            coming.eq(Mux(source[3], behind_header, of_header)),
        ]
        m.d.comb += [
            self.o.payload.eq(pair[:8]),
            sent.eq(self.o.valid & self.o.ready),
            self.samples_taken.eq(settled & ~ready & takes_sample),
        ]
        m.d.sync += [
            # These hold still as long as `source` does.
            last_word.eq(words_left == 1),
            some_words.eq(words_left != 0),
            header_ends.eq(source == _LAST_OF_HEADER),
            takes_sample.eq(source == field_bytes("taken")[0] // 2),
            crc.byte.eq(pair[:8]),
            crc.first.eq(first),
            crc.strobe.eq(sent & fed),
        ]
        m.d.sync += self.o.valid.eq((bytes_left != 0) & counted & ~sent)
        with m.If(load):
            m.d.sync += [pair.eq(coming), bytes_left.eq(2)]
        with m.Elif(sent):
            m.d.sync += [pair.eq(pair[8:]), bytes_left.eq(bytes_left - 1), first.eq(0)]
        with m.FSM():
            with m.State("IDLE"), m.If(bytes_left == 0):
                m.d.comb += self.idle.eq(1)
                m.d.sync += [first.eq(1), fed.eq(1), source.eq(0), trail.eq(0), words_left.eq(self.header.length)]
                with m.If(self.start):
                    m.next = "HEADER"
            with m.State("HEADER"), m.If(load):
                m.d.sync += source.eq(source + 1)
                with m.If(header_ends):
                    m.d.sync += source.eq(_CRC)
                    m.next = "CRC"
            with m.State("CRC"), m.If(load):
                m.d.sync += [fed.eq(0), trail.eq(1)]
                with m.If(source[0]):
                    m.next = "IDLE"
                with m.Elif(trail):
                    m.d.sync += source.eq(_UPPER_CRC)
                with m.Elif(some_words):
                    m.d.sync += source.eq(Mux(hello, _IDENTITY, _WORD))
                    m.next = "PAYLOAD"
            with m.State("PAYLOAD"), m.If(load):
                m.d.sync += [fed.eq(1), source[0].eq(~source[0])]
                with m.If(source[0]):
                    m.d.sync += words_left.eq(words_left - 1)
                    with m.If(last_word):
                        m.d.sync += source.eq(_CRC)
                        m.next = "CRC"
        return m

"""Finds frames in a stream of bytes."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..delay import delay
from .crc import Crc32
from .framing import HEADER_BYTES, MARKER, POSITION_BITS, Kind, field_bytes

# Number of the byte with which a field of the header is complete.
_KIND, _SESSION, _POSITION, _EXPECTED, _LENGTH = (
    field_bytes(name)[-1] for name in ("kind", "session", "position", "expected", "length")
)


class FrameReceiver(wiring.Component):
    """Takes frames apart, a byte in `CYCLES` cycles; whatever is no frame is skipped.

    A false start swallows what follows it, up to the length that it claims: whoever has sent nonsense sends enough of other
    bytes behind it.

    Members: `half` with the strobes `session`, `position` and `expected` gives the header's fields, which nobody may believe
    before `done`; `word` with the strobe `word_valid` the payload; `done` is high for one cycle at the end of a frame with a
    sound header: `good` then says that its CRC is right, `kind` and `has_payload` what it was.
    """

    CYCLES = Crc32.CYCLES + 5

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "half": Out(POSITION_BITS),
                "session": Out(1),
                "position": Out(1),
                "expected": Out(1),
                "word": Out(32),
                "word_valid": Out(1),
                "done": Out(1),
                "good": Out(1),
                "kind": Out(Kind),
                "has_payload": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = Crc32()
        byte = Signal(8)
        fresh, ripe = Signal(), Signal()  # it came, it was compared
        is_marker, matches = Signal(), Signal()
        due = Signal(8)  # what it must be where the CRC comes
        fed, begins = Signal(), Signal()  # it counts for the CRC, and begins it
        held = Signal(32)  # the last four bytes
        at = Signal(range(HEADER_BYTES))  # number of the byte in the header, in a word, in the CRC
        # Which one it is, for the byte that comes some cycles after it is counted.
        numbers = (_KIND, _SESSION, _POSITION, _EXPECTED, _LENGTH)
        at_kind, at_session, at_position, at_expected, at_length = (
            delay(m, at == number, 1, name=f"at_{number}") for number in numbers
        )
        ends = Signal()  # it is the last one of the header, of the first two of its check, of a word or of the CRC
        left = Signal(8)  # words
        last_word = Signal()
        m.d.comb += [
            crc.byte.eq(byte),
            self.half.eq(held[16:]),
            self.word.eq(held),
        ]
        m.d.sync += [
            crc.strobe.eq(ripe & fed),
            crc.first.eq(begins),
            self.i.ready.eq(crc.idle & ~fresh & ~ripe & ~crc.strobe & ~(self.i.valid & self.i.ready)),
            fresh.eq(self.i.valid & self.i.ready),
            ripe.eq(fresh),
            is_marker.eq(byte == MARKER),
            due.eq(crc.crc.word_select(at[:2], 8)),
            matches.eq(byte == due),
            self.session.eq(0),
            self.position.eq(0),
            self.expected.eq(0),
            self.word_valid.eq(0),
            self.done.eq(0),
            last_word.eq(left == 1),
        ]
        with m.If(self.i.ready):
            m.d.sync += byte.eq(self.i.payload)
        with m.If(ripe):
            m.d.sync += [held.eq(Cat(held[8:], byte)), at.eq(Mux(ends, 0, at + 1))]
        with m.FSM():
            with m.State("HUNT"):
                m.d.comb += [begins.eq(1), fed.eq(1)]
                m.d.sync += ends.eq(0)
                with m.If(ripe):
                    m.d.sync += at.eq(1)
                    with m.If(is_marker):
                        m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += fed.eq(1)
                m.d.sync += ends.eq(at == HEADER_BYTES - 1)
                with m.If(ripe):
                    m.d.sync += [
                        self.session.eq(at_session),
                        self.position.eq(at_position),
                        self.expected.eq(at_expected),
                    ]
                    with m.If(at_kind):
                        m.d.sync += self.kind.eq(byte)
                    with m.If(at_length):
                        m.d.sync += left.eq(byte)
                    with m.If(ends):
                        m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += [ends.eq(at[0]), self.good.eq(1), self.has_payload.eq(left != 0)]
                with m.If(ripe):
                    with m.If(~matches):
                        m.next = "HUNT"
                    with m.Elif(ends):
                        m.next = "TRAIL"
                        with m.If(self.has_payload):
                            m.next = "PAYLOAD"
            with m.State("PAYLOAD"):
                m.d.comb += fed.eq(1)
                m.d.sync += ends.eq(at[:2] == 3)
                with m.If(ripe & ends):
                    m.d.sync += [left.eq(left - 1), self.word_valid.eq(1)]
                    with m.If(last_word):
                        m.next = "TRAIL"
            with m.State("TRAIL"):
                m.d.sync += ends.eq(at[:2] == 3)
                with m.If(ripe):
                    m.d.sync += self.good.eq(self.good & matches)
                    with m.If(ends):
                        m.d.sync += self.done.eq(1)
                        m.next = "HUNT"
        return m

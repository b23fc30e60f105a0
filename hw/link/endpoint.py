"""The device's end of the link: bytes on one side, the fabric's two streams of words on the other.

i --> frame receiver --> ring of words, committed frame by frame --> words
           |  what the host has, what it wants
           v
        window: session, positions
           |  what we have, what we want
           v
o <-- frame sender <-- ring of words, kept until the host has them <-- i_words
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from ..config import FabricConfig
from ..primitives.bank import Bank
from .framing import (
    IDENTITY_WORDS,
    MARKER,
    MAX_LENGTH,
    POSITION_BITS,
    PROTOCOL_VERSION,
)
from .identity import identity
from .receiver import FrameReceiver
from .sender import FrameSender

BUFFER_WORDS = 512
"""Words of a ring: one block RAM of an ECP5, four of an iCE40."""

_READ_CYCLES = Bank.LATENCY + 1  # from a new address to its word
_MARGIN = 8  # words of the outgoing ring that stay free: more than are taken while `ready` falls


class Endpoint(wiring.Component):
    """Frames to streams and back, in sessions that the host begins.

    Members: `i` and `o` are the bytes; `o_words` is what the host sent, each word once and in order, after the CRC of its frame
    was checked; `i_words` is taken as long as the host keeps up. `reset` goes up when a session begins, for as long as a frame
    takes on the wire, and then both streams are dead.

    Rate: one word in while 4 x `FrameReceiver.CYCLES` cycles pass, one out in 4 x `FrameSender.CYCLES`.
    """

    def __init__(self, config: FabricConfig):
        self._identity = identity(config, buffer_words=BUFFER_WORDS)
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "i_words": In(stream.Signature(32)),
                "o_words": Out(stream.Signature(32)),
                "reset": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = FrameReceiver()
        m.submodules.sender = sender = FrameSender(self._identity)
        m.submodules.incoming = incoming = Bank(width=32, depth=BUFFER_WORDS, site="link.incoming")
        m.submodules.outgoing = outgoing = Bank(width=32, depth=BUFFER_WORDS, site="link.outgoing")
        connect(m, flipped(self.i), receiver.i)
        connect(m, sender.o, flipped(self.o))
        ring = exact_log2(BUFFER_WORDS)

        # Positions, modulo 2 ** POSITION_BITS
        session = Signal(16)
        put = Signal(POSITION_BITS)  # incoming: of the next word of the frame that is arriving
        expected = Signal(POSITION_BITS)  # incoming: behind the last word of the last good frame
        taken = Signal(POSITION_BITS)  # incoming: of the word that the fabric takes next
        kept = Signal(ring + 1)  # outgoing: of the next word from the fabric
        acknowledged = Signal(POSITION_BITS)  # outgoing: the host has all before
        position = Signal(POSITION_BITS)  # outgoing: of the next word to send

        # A header's fields are compared as they come.
        half = receiver.half
        begins = Signal(16)  # the session of a hello
        heard = Signal(POSITION_BITS)
        ours = Signal()  # frame of this session
        behind = Signal()  # its words are old
        next_one = Signal()  # they are the ones that we want
        sensible = Signal()  # its `expected` does not lie behind `acknowledged`
        overrun = Signal()
        wants_hello = Signal()
        difference = Signal(POSITION_BITS)
        same = Signal()
        compared = Signal(2)  # session and position: `half` holds still long enough
        m.d.sync += [
            difference.eq(half - expected),
            same.eq(half == session),
            compared.eq(Cat(receiver.session, receiver.position)),
        ]
        with m.If(compared[0]):
            m.d.sync += ours.eq(same)
            with m.If(~wants_hello):
                m.d.sync += begins.eq(half)
        with m.If(compared[1]):
            m.d.sync += [next_one.eq(difference == 0), behind.eq(difference[-1]), put.eq(expected), overrun.eq(0)]
        with m.If(receiver.expected):
            m.d.sync += heard.eq(half)
        advance = Signal(POSITION_BITS)
        m.d.comb += advance.eq(heard - acknowledged)
        m.d.sync += sensible.eq(~advance[-1])

        # Words that arrive
        full = Signal()  # one cycle late: words are many cycles apart
        m.d.sync += full.eq((put[:ring] == taken[:ring]) & (put[ring] != taken[ring]))
        m.d.comb += [
            incoming.write.address.eq(put),
            incoming.write.data.eq(receiver.word),
            incoming.write.enable.eq(receiver.word_valid & ~full),
        ]
        with m.If(receiver.word_valid):
            m.d.sync += [put.eq(put + 1), overrun.eq(overrun | full)]

        # Judgement
        wants_frame = Signal()
        wants_again = Signal()  # it says that something was lost
        renew = Signal()  # the hello is of a new session
        rewind, rewinding = Signal(), Signal()  # to what the host does not have: between two frames
        started = Signal()  # a frame: what was wanted up to now goes with it
        opened = Signal()  # a session
        with m.If(started):
            m.d.sync += [wants_frame.eq(0), wants_again.eq(0), wants_hello.eq(0), renew.eq(0)]
        intact = receiver.good & ~overrun
        with m.If(receiver.done & ~intact & ours & receiver.has_payload):
            m.d.sync += [wants_frame.eq(1), wants_again.eq(1)]
        with m.If(receiver.done & intact):
            with m.If(receiver.kind.hello):
                m.d.sync += [wants_hello.eq(1), renew.eq(renew | ~ours)]
            with m.Elif(~ours):
                m.d.sync += wants_frame.eq(1)
            with m.Else():
                with m.If(sensible):
                    m.d.sync += [acknowledged.eq(heard), rewind.eq(rewind | receiver.kind.again)]
                with m.If(receiver.kind.reply | receiver.has_payload):
                    m.d.sync += wants_frame.eq(1)
                with m.If(receiver.has_payload):
                    with m.If(next_one):
                        m.d.sync += expected.eq(put)
                    with m.Elif(~behind):
                        m.d.sync += wants_again.eq(1)

        # Words for the fabric
        wait = Signal(range(_READ_CYCLES + 1))
        m.d.comb += [incoming.i_address.eq(taken), self.o_words.payload.eq(incoming.o_data)]
        with m.If(self.o_words.valid & self.o_words.ready):
            m.d.sync += [self.o_words.valid.eq(0), taken.eq(taken + 1), wait.eq(_READ_CYCLES)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(~self.o_words.valid):
            m.d.sync += self.o_words.valid.eq(taken[: ring + 1] != expected[: ring + 1])

        # Words from the fabric
        used = Signal(ring + 1)
        m.d.sync += [
            used.eq(kept - acknowledged[: ring + 1]),
            self.i_words.ready.eq(used < BUFFER_WORDS - _MARGIN),
        ]
        m.d.comb += [
            outgoing.write.address.eq(kept),
            outgoing.write.data.eq(self.i_words.payload),
            outgoing.write.enable.eq(self.i_words.valid & self.i_words.ready),
            outgoing.i_address.eq(position),
        ]
        with m.If(outgoing.write.enable):
            m.d.sync += kept.eq(kept + 1)

        # Frames to send
        unsent = Signal(ring + 1)
        length = Signal(8)
        hello = Signal()
        again = Signal()
        step = BUFFER_WORDS // 4  # the host hears of every so many words that the fabric took
        told = Signal(2)
        news = Signal()  # something to send, even if nobody asks
        settle = Signal(range(FrameSender.SETTLE))
        sent = Signal()
        header = sender.header
        m.d.sync += [
            unsent.eq(kept - position[: ring + 1]),
            news.eq((unsent != 0) | (told != taken[exact_log2(step) :][:2])),
        ]
        m.d.comb += [
            header.marker.eq(MARKER),
            header.kind.hello.eq(hello),
            header.kind.again.eq(again),
            header.session.eq(session),
            header.position.eq(position),
            header.expected.eq(expected),
            header.taken.eq(taken),
            header.length.eq(length),
            header.version.eq(PROTOCOL_VERSION),
            sender.word.eq(outgoing.o_data),
        ]
        with m.If(sender.samples_taken):
            m.d.sync += told.eq(taken[exact_log2(step) :])
        with m.If(sender.next_word):
            m.d.sync += position.eq(position + 1)
        with m.If(rewinding):
            m.d.sync += [position.eq(acknowledged), rewinding.eq(0)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [hello.eq(wants_hello), again.eq(wants_again), settle.eq(-1), sent.eq(0)]
                m.d.sync += length.eq(Mux(wants_hello, IDENTITY_WORDS, Mux(unsent >= MAX_LENGTH, MAX_LENGTH, unsent)))
                with m.If(wants_hello):
                    m.d.comb += started.eq(1)
                    m.d.sync += opened.eq(renew)
                    m.next = "START"
                with m.Elif(rewind):
                    m.d.sync += [rewinding.eq(1), rewind.eq(0)]
                    m.next = "SEND"
                with m.Elif(wants_frame | news):
                    m.d.comb += started.eq(1)
                    m.next = "START"
            with m.State("START"):
                m.d.comb += sender.start.eq(1)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.sync += [sent.eq(sender.idle), settle.eq(settle - (settle != 0))]
                with m.If(sent & (settle == 0)):
                    m.d.sync += self.reset.eq(0)
                    m.next = "IDLE"

        # A session begins when no frame is on its way, so none is half of the one and half of the other.
        with m.If(opened):
            m.d.sync += opened.eq(0)
            counters = [expected, taken, kept, acknowledged, position, told]
            m.d.sync += [counter.eq(0) for counter in counters]
            m.d.sync += [session.eq(begins), ours.eq(0), rewind.eq(0), self.o_words.valid.eq(0), self.reset.eq(1)]
        return m

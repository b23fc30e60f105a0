"""Sends a tensor to the host."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .config import STREAM_BYTES, FabricConfig
from .isa import Answer, Descriptor, Header
from .memory.activations import ActivationMemory, ActivationRead
from .readahead import ReadAhead

_HEADER_WORDS = 2  # in front of the tensor: the header, the tag


class Store(wiring.Component):
    """STORE: a RESULT packet of `length` words from `row_address` on, a word a cycle.

    Members: `start` with `descriptor`, `active` until the last word is taken, `done` a cycle later; `read` and `i_data` are
    the activation memory's, whose port is the store's while `reading`.
    """

    OVERHEAD_CYCLES = ActivationMemory.READ_LATENCY + 4
    """Cycles of `active`, besides one a word, where every word is taken at once."""

    DONE_LATENCY = 1
    """Cycles from the last word's to `done`."""

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(Descriptor),
                "active": Out(1),
                "done": Out(1),
                "reading": Out(1),
                "read": Out(ActivationRead(config)),
                "i_data": In(data.ArrayLayout(8, config.rows)),
                "o": Out(stream.Signature(32)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        words = config.rows // STREAM_BYTES
        chunk_layout = data.ArrayLayout(unsigned(32), words)
        m.submodules.reader = reader = ReadAhead(
            chunk_layout,
            address_bits=config.activation_address_bits,
            count_bits=24,
            latency=ActivationMemory.READ_LATENCY,
            step=config.rows,
        )
        descriptor = self.descriptor
        m.d.comb += [
            reader.address.eq(descriptor.row_address),
            reader.i_data.eq(self.i_data),
            self.read.address.eq(reader.read_address),
            self.read.end.eq(config.rows),
        ]
        # Words of activation memory, and of the packet.
        chunks, total = Signal(24, reset_less=True), Signal(24, reset_less=True)
        start = Signal()
        m.d.sync += [
            chunks.eq((descriptor.length + words - 1) >> exact_log2(words)),
            total.eq(descriptor.length + _HEADER_WORDS),
            start.eq(self.start),
        ]
        m.d.comb += [reader.count.eq(chunks), reader.start.eq(start)]

        # What is sent stands in registers, header or chunk, and moves up word by word.
        held = Signal(data.ArrayLayout(32, max(words, _HEADER_WORDS)), reset_less=True)
        behind = Signal(range(len(held)), reset_less=True)  # held words behind the one on `o`
        alone = Signal(init=1)  # none is
        unsent = Signal(24, reset_less=True)
        last = Signal()  # one word is unsent
        header = Signal(Header)
        m.d.comb += [header.count.eq(descriptor.length), header.command.eq(Answer.RESULT)]
        room, taken = ~self.o.valid | self.o.ready, self.o.valid & self.o.ready
        m.d.comb += [self.o.payload.eq(held[0]), reader.o.ready.eq(room & alone)]
        m.d.sync += self.done.eq(0)
        with m.If(self.start):
            m.d.sync += [self.active.eq(1), self.reading.eq(1)]
        with m.Elif(self.done):
            m.d.sync += self.reading.eq(0)  # not with `active`, of which it would be a copy: its many readers lie elsewhere
        with m.If(taken):
            m.d.sync += [unsent.eq(unsent - 1), last.eq(unsent == 2)]
        with m.If(start):
            m.d.sync += [held[0].eq(header), held[1].eq(descriptor.tag), behind.eq(_HEADER_WORDS - 1), alone.eq(0)]
            m.d.sync += [self.o.valid.eq(1), unsent.eq(total)]
        with m.Elif(room):
            m.d.sync += [
                held.eq(Mux(alone, reader.o.payload.as_value(), held.as_value() >> 32)),
                behind.eq(Mux(alone, words - 1, behind - 1)),
                alone.eq(Mux(alone, ~reader.o.valid | (words == 1), behind == 1)),
                self.o.valid.eq(~alone | reader.o.valid),
            ]
            with m.If(last & self.o.valid):
                m.d.sync += [alone.eq(1), self.o.valid.eq(0), last.eq(0), self.done.eq(1), self.active.eq(0)]
        return m

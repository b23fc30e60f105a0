"""Sends a tensor to the host."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .config import STREAM_BYTES, FabricConfig
from .isa import Answer, Descriptor, Header
from .memory.activations import ActivationMemory, ActivationRead
from .readahead import ReadAhead


class Store(wiring.Component):
    """STORE: a RESULT packet of `length` words from `row_address` on, a word a cycle.

    Members: `start` with `descriptor`, `active` until the last word is taken, `done` a cycle later; `read` and `i_data` are
    the activation memory's.
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
        # Words of activation memory.
        chunks = Signal(24, reset_less=True)
        start = Signal()
        m.d.sync += [chunks.eq((descriptor.length + words - 1) >> exact_log2(words)), start.eq(self.start)]
        m.d.comb += [reader.count.eq(chunks), reader.start.eq(start)]

        unsent = Signal(24)
        word = Signal(range(max(words, 2)))
        last = Signal()  # one word is unsent
        chunk_ends = Signal()  # with the word on `o`, the chunk's or the tensor's last
        header = Signal(Header)
        m.d.comb += [header.count.eq(descriptor.length), header.command.eq(Answer.RESULT)]
        m.d.sync += self.done.eq(0)
        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [self.active.eq(1), unsent.eq(descriptor.length), last.eq(descriptor.length == 1), word.eq(0)]
                m.d.sync += chunk_ends.eq((descriptor.length == 1) | (words == 1))
                m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(header)]
                with m.If(self.o.ready):
                    m.next = "TAG"
            with m.State("TAG"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(self.descriptor.tag)]
                with m.If(self.o.ready):
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [self.o.valid.eq(reader.o.valid), self.o.payload.eq(reader.o.payload[word])]
                with m.If(self.o.valid & self.o.ready):
                    m.d.sync += [word.eq(word + 1), unsent.eq(unsent - 1), last.eq(unsent == 2)]
                    m.d.sync += chunk_ends.eq((word == words - 2) | (unsent == 2) | (words == 1))
                    with m.If(chunk_ends):
                        m.d.sync += word.eq(0)
                        m.d.comb += reader.o.ready.eq(1)
                    with m.If(last):
                        m.d.sync += [self.done.eq(1), self.active.eq(0)]
                        m.next = "IDLE"
        return m

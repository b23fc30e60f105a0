"""Sends a tensor to the host."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from .config import STREAM_BYTES, FabricConfig
from .delay import delay
from .isa import Answer, Descriptor, Header
from .memory.activations import ActivationMemory, ActivationRead

_DEPTH = 8  # words of activation memory on their way: covers the memory's latency


class Store(wiring.Component):
    """STORE: a RESULT packet of `length` words from `row_address` on, a word a cycle.

    Members: `start` with `descriptor`, `active` until the last word is taken, `done` in that cycle; `read` and `i_data` are
    the activation memory's.
    """

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
        m.submodules.fifo = fifo = SyncFIFO(width=8 * config.rows, depth=_DEPTH)

        # Read ahead, as far as the queue has room for what is on its way.
        ahead = Signal(range(_DEPTH + 1))
        unread = Signal(24)
        address = Signal(config.activation_address_bits)
        reading = Signal()
        m.d.comb += [
            reading.eq(self.active & (unread != 0) & (ahead != _DEPTH)),
            self.read.address.eq(address),
            self.read.end.eq(config.rows),
            fifo.w_en.eq(delay(m, reading, ActivationMemory.READ_LATENCY, name="reading")),
            fifo.w_data.eq(self.i_data),
        ]
        m.d.sync += ahead.eq(ahead + reading - fifo.r_en)
        with m.If(reading):
            m.d.sync += [address.eq(address + config.rows), unread.eq(unread - 1)]

        unsent = Signal(24)
        word = Signal(range(max(words, 2)))
        chunk = Signal(data.ArrayLayout(unsigned(32), words))
        m.d.comb += chunk.eq(fifo.r_data)
        header = Signal(Header)
        m.d.comb += [header.count.eq(self.descriptor.length), header.command.eq(Answer.RESULT)]
        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [
                    self.active.eq(1),
                    address.eq(self.descriptor.row_address),
                    unread.eq((self.descriptor.length + words - 1) // words),
                    unsent.eq(self.descriptor.length),
                    word.eq(0),
                ]
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
                m.d.comb += [self.o.valid.eq(fifo.r_rdy), self.o.payload.eq(chunk[word])]
                with m.If(self.o.valid & self.o.ready):
                    m.d.sync += [word.eq(word + 1), unsent.eq(unsent - 1)]
                    with m.If((word == words - 1) | (unsent == 1)):
                        m.d.sync += word.eq(0)
                        m.d.comb += fifo.r_en.eq(1)
                    with m.If(unsent == 1):
                        m.d.comb += self.done.eq(1)
                        m.d.sync += self.active.eq(0)
                        m.next = "IDLE"
        return m

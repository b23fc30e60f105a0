"""Runs programs on the compact fabric: one descriptor at a time, fetched when the last one has ended.

starts --> fetch, word by word --> descriptor --> launch (walker, requantizer | store) --> done --> record, word by word --+
             ^                                                                                                             |
             +-------------------------------------------------------------------------------------------------------------+
"""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import FabricConfig
from ..isa import DESCRIPTOR_WORDS, RECORD_WORDS, Answer, Descriptor, Header, Operation, Record
from ..loader import ProgramWrite
from ..sequencer import Activity


class CompactSequencer(wiring.Component):
    """Runs the program that `starts` names, then takes the next.

    Members: `program` writes program memory; `descriptor` holds still from `launch` (compute) or `launch_store` to `done`;
    `activity` is counted; `o` gives a DONE packet at the end of each program, whose address word is the cycles from taking the
    start to the last RESULT word; `idle` is high while no program runs.
    """

    FETCH_CYCLES = DESCRIPTOR_WORDS + 2
    """Cycles from taking a start, or from a layer's record, until the next launch."""

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "program": In(ProgramWrite(config)),
                "starts": In(stream.Signature(range(config.program_words))),
                "descriptor": Out(Descriptor),
                "launch": Out(1),
                "launch_store": Out(1),
                "done": In(1),
                "activity": In(Activity),
                "o": Out(stream.Signature(32)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.program = program = Memory(shape=32, depth=config.program_words, init=[])
        fetched, write = program.read_port(), program.write_port()
        pointer = Signal(range(config.program_words))
        m.d.comb += [
            write.addr.eq(self.program.address),
            write.data.eq(self.program.data),
            write.en.eq(self.program.enable),
            fetched.addr.eq(pointer),
        ]
        words = Signal(data.ArrayLayout(32, DESCRIPTOR_WORDS), reset_less=True)
        m.d.comb += self.descriptor.eq(words.as_value())
        word = Signal(range(DESCRIPTOR_WORDS))

        depth = config.record_depth * RECORD_WORDS
        # Behind the records lies the word that comes before them: the cycles until the last store's end.
        m.submodules.records = records = Memory(shape=32, depth=depth + 1, init=[])
        sent, record = records.read_port(), records.write_port()
        written, sending = Signal(range(depth + 1)), Signal(range(depth + 1))
        part = Signal(range(RECORD_WORDS))
        begin, recording, restart, rest = Signal(), Signal(), Signal(), Signal()
        counters, total = self._counters(m, begin, recording, restart, rest)
        store, stored = Signal(), Signal()
        written_words = Array([*(counters[name] for name, _ in data.Layout.cast(Record)), total])
        m.d.comb += [
            record.addr.eq(Mux(stored, depth, written)),
            record.data.eq(written_words[Mux(stored, RECORD_WORDS, part)]),
            sent.addr.eq(sending),
            self.o.payload.eq(sent.data),
        ]
        header = Signal(Header)
        m.d.comb += [header.count.eq(written), header.command.eq(Answer.DONE)]

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.starts.ready.eq(1), self.idle.eq(~self.starts.valid), rest.eq(~self.starts.valid)]
                m.d.comb += [stored.eq(1), record.en.eq(1)]  # nothing is stored yet: `total` is 0
                m.d.sync += [pointer.eq(self.starts.payload), written.eq(0), sending.eq(depth), word.eq(0)]
                with m.If(self.starts.valid):
                    m.d.comb += begin.eq(1)
                    m.next = "READ"
            with m.State("READ"):
                m.d.sync += pointer.eq(pointer + 1)
                m.next = "FETCH"
            with m.State("FETCH"):
                for index in range(DESCRIPTOR_WORDS):
                    with m.If(word == index):
                        m.d.sync += words[index].eq(fetched.data)
                m.d.sync += word.eq(word + 1)
                with m.If(word == DESCRIPTOR_WORDS - 1):
                    m.d.sync += word.eq(0)
                    m.next = "LAUNCH"
                with m.Else():
                    m.d.sync += pointer.eq(pointer + 1)
            with m.State("LAUNCH"):
                m.next = "RUN"
                m.d.sync += store.eq(0)
                with m.Switch(self.descriptor.operation):
                    with m.Case(Operation.END):
                        m.next = "HEADER"
                    with m.Case(Operation.STORE):
                        m.d.comb += self.launch_store.eq(1)
                        m.d.sync += store.eq(1)
                    with m.Default():
                        m.d.comb += self.launch.eq(1)
            with m.State("RUN"):
                m.d.comb += [stored.eq(store), record.en.eq(store)]  # every cycle: the last one counts
                with m.If(self.done):
                    m.next = "RECORD"
            with m.State("RECORD"):
                m.d.comb += [recording.eq(1), record.en.eq(written != depth)]
                m.d.sync += part.eq(part + 1)
                with m.If(written != depth):
                    m.d.sync += written.eq(written + 1)
                with m.If(part == RECORD_WORDS - 1):
                    m.d.comb += restart.eq(1)
                    m.d.sync += part.eq(0)
                    m.next = "READ"
            with m.State("HEADER"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(header)]
                with m.If(self.o.ready):
                    m.next = "TOTAL"
            with m.State("TOTAL"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += sending.eq(0)
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += rest.eq(1)
                m.next = "RECORDS"
                with m.If(sending == written):
                    m.next = "IDLE"
            with m.State("RECORDS"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += sending.eq(sending + 1)
                    m.next = "ASK"
        return m

    def _counters(self, m, begin, recording, restart, rest):
        """The running layer's counters, which rest while they are recorded, and the cycles since the program began.

        The cycles of recording are the next layer's.
        """
        counters, total = Signal(Record, reset_less=True), Signal(32, reset_less=True)
        counted = {"cycles": 1, **{name: self.activity[name] for name, _ in data.Layout.cast(Activity)}}
        beginning = {"cycles": RECORD_WORDS, "activations": RECORD_WORDS}
        for name, event in counted.items():
            with m.If(begin | restart):
                m.d.sync += counters[name].eq(Mux(begin, 0, beginning.get(name, 0)))
            with m.Elif(~recording):
                m.d.sync += counters[name].eq(counters[name] + event)
        m.d.sync += total.eq(Mux(rest, 0, total + 1))
        return counters, total

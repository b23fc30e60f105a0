"""Runs programs: fetches the next descriptor while the last one runs, counts where the cycles go, reports.

starts --> fetch --> coming descriptor --> current descriptor --> launch (walker, post-processor | store)
                                                             <-- done
           records of all layers --> DONE packet
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .config import FabricConfig
from .isa import DESCRIPTOR_WORDS, RECORD_WORDS, Answer, Descriptor, Header, Operation, Record
from .loader import ProgramWrite


class Activity(data.Struct):
    """What the walker did in a cycle: at most one bit is set."""

    busy: 1
    weights: 1
    activations: 1
    output: 1


class Sequencer(wiring.Component):
    """Runs the programs that `starts` names, one after another.

    Members: `program` writes program memory; `descriptor` holds still from `launch` (compute) or `launch_store` to `done`
    or `store_done`; `activity` is counted; `o` gives a DONE packet at the end of each program, whose address word is the
    cycles from taking the start to the last RESULT word; `idle` is high while no program runs.
    """

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
                "store_done": In(1),
                "activity": In(Activity),
                "o": Out(stream.Signature(32)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        coming = Signal(Descriptor)
        ready = Signal()  # `coming` is complete
        take = Signal()  # move it to `descriptor`
        fetch = Signal()  # begin at the address that `starts` gives
        self._fetch(m, coming, ready, take, fetch)

        total = Signal(32)
        until_store = Signal(32)
        record = Signal(Record)  # up to the last cycle
        counted = Signal(Record)  # with this one
        records = Signal(range(config.record_depth + 1))
        m.submodules.records = memory = Memory(shape=Record, depth=config.record_depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        finished = Signal()
        m.d.comb += [
            finished.eq(self.done | self.store_done),
            write.addr.eq(records),
            write.data.eq(counted),
            write.en.eq(finished & (records != config.record_depth)),
        ]
        reported = Signal.like(records)
        word = Signal(range(RECORD_WORDS))
        row = Signal(data.ArrayLayout(32, RECORD_WORDS))
        header = Signal(Header)
        m.d.comb += [
            read.addr.eq(reported),
            row.eq(read.data),
            header.count.eq(records * RECORD_WORDS),
            header.command.eq(Answer.DONE),
        ]

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.starts.ready.eq(1), self.idle.eq(~self.starts.valid)]
                with m.If(self.starts.valid):
                    m.d.comb += fetch.eq(1)
                    m.d.sync += [total.eq(0), until_store.eq(0), record.eq(0), records.eq(0)]
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.d.comb += take.eq(ready)
                with m.If(ready):
                    m.next = "LAUNCH"
            with m.State("LAUNCH"):
                m.next = "RUN"
                with m.Switch(self.descriptor.operation):
                    with m.Case(Operation.END):
                        m.next = "HEADER"
                    with m.Case(Operation.STORE):
                        m.d.comb += self.launch_store.eq(1)
                    with m.Default():
                        m.d.comb += self.launch.eq(1)
            with m.State("RUN"), m.If(finished):
                m.d.sync += records.eq(records + (records != config.record_depth))
                m.next = "NEXT"
            with m.State("HEADER"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(header)]
                m.d.sync += [reported.eq(0), word.eq(0)]
                with m.If(self.o.ready):
                    m.next = "TOTAL"
            with m.State("TOTAL"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(until_store)]
                with m.If(self.o.ready):
                    m.next = "READ"
            with m.State("READ"):
                m.next = "RECORD"
                with m.If(reported == records):
                    m.next = "IDLE"
            with m.State("RECORD"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(row[word])]
                with m.If(self.o.ready):
                    m.d.sync += word.eq(word + 1)
                    with m.If(word == RECORD_WORDS - 1):
                        m.d.sync += [word.eq(0), reported.eq(reported + 1)]
                        m.next = "READ"

        m.d.comb += counted.cycles.eq(record.cycles + 1)
        for name in ("busy", "weights", "activations", "output"):
            m.d.comb += counted[name].eq(record[name] + self.activity[name])
        with m.If(~self.idle & ~fetch):
            m.d.sync += [total.eq(total + 1), record.eq(Mux(finished, 0, counted))]
        with m.If(self.store_done):
            m.d.sync += until_store.eq(total + 1)
        return m

    def _fetch(self, m, coming, ready, take, fetch):
        """Fills `coming` word by word, stops behind END, and hands it over on `take`."""
        config = self._config
        m.submodules.program = memory = Memory(shape=32, depth=config.program_words, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.program.enable),
            write.addr.eq(self.program.address),
            write.data.eq(self.program.data),
        ]
        pointer = Signal(range(config.program_words))
        word = Signal(range(DESCRIPTOR_WORDS + 1))
        fetching = Signal()
        arriving = Signal()
        words = Signal(data.ArrayLayout(32, DESCRIPTOR_WORDS))
        complete = Signal()
        m.d.comb += [
            read.addr.eq(pointer),
            coming.eq(words),
            ready.eq(~fetching & ~arriving & complete),
        ]
        m.d.sync += arriving.eq(fetching)
        with m.If(fetching):
            m.d.sync += [pointer.eq(pointer + 1), word.eq(word + 1)]
            with m.If(word == DESCRIPTOR_WORDS - 1):
                m.d.sync += [word.eq(0), fetching.eq(0), complete.eq(1)]
        with m.If(arriving):
            # A shift register: the first word ends up at the bottom.
            m.d.sync += words.eq(Cat(words.as_value()[32:], read.data))
        with m.If(take):
            m.d.sync += [
                self.descriptor.eq(coming),
                complete.eq(0),
                fetching.eq(coming.operation != Operation.END),
            ]
        with m.If(fetch):
            m.d.sync += [pointer.eq(self.starts.payload), word.eq(0), fetching.eq(1), complete.eq(0)]

"""Runs programs: fetches the next descriptor while the last one runs, counts where the cycles go, reports.

starts --> fetch --> coming descriptor --> current descriptor --> launch (walker, post-processor | store)
                                                             <-- done
           counters --> records of all layers, word by word --> DONE packet
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect
from amaranth.utils import bits_for, ceil_log2

from .config import FabricConfig
from .delay import delay
from .isa import DESCRIPTOR_WORDS, RECORD_WORDS, Answer, Descriptor, Header, Operation, Record
from .loader import ProgramWrite
from .primitives.bank import Bank
from .primitives.copies import copies
from .readahead import ReadAhead
from .stream_buffer import StreamBuffer

_WORDS_A_COPY = 6  # of a descriptor, that one copy of what memory gives serves


class Activity(data.Struct):
    """What the walker did in a cycle: at most one bit is set."""

    busy: 1
    weights: 1
    activations: 1
    output: 1


class Sequencer(wiring.Component):
    """Runs the programs that `starts` names, one after another.

    Members: `program` writes program memory; `descriptor` holds still from `launch` (compute) or `launch_store` to `done`
    or `store_done`, which comes a cycle behind the last RESULT word; `activity` is counted; `o` gives a DONE packet at the
    end of each program, whose address word is the cycles from taking the start to the last `store_done`; `idle` is high
    while no program runs, `ended` is how many layers of the one that runs have ended.
    """

    FETCH_CYCLES = DESCRIPTOR_WORDS + 4
    """Cycles from taking a start, or from the last descriptor's turn, until the next descriptor can have its own."""

    LAUNCH_CYCLES = 4
    """Cycles from the end of a layer to the launch of the next, which is fetched: it takes its turn, then holds still for
    two cycles, so that whoever reads it may do so through a register."""

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
                "ended": Out(range(config.record_depth + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        ready = Signal()  # the next descriptor is complete
        take = Signal()  # it becomes the current one
        fetch = Signal()  # begin at the address that `starts` gives
        self._fetch(m, platform, ready, take, fetch)

        total = Signal(32, reset_less=True)
        until_store = Signal(32, reset_less=True)
        finished = Signal()
        m.d.comb += finished.eq(self.done | self.store_done)
        resting = Signal()  # then the counters of the first layer begin, and nothing changes
        with m.If(resting):
            m.d.sync += self.ended.eq(0)
        with m.Elif(finished):
            m.d.sync += self.ended.eq(self.ended + 1)
        ends = Signal()  # the records are read as soon as the header is on its way
        records, words = self._records(m, platform, resting, finished, ends)
        unsent, sending, last = Signal.like(words), Signal(), Signal()  # words of the records
        some = delay(m, words != 0, 1, name="some")
        header = Signal(Header)
        m.d.comb += [header.count.eq(words), header.command.eq(Answer.DONE)]

        heads, totals = Signal(), Signal()  # what `o` gives besides the records
        with m.If(heads):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(header)]
        with m.If(totals):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(until_store)]
        m.d.sync += [self.launch.eq(0), self.launch_store.eq(0), ends.eq(0)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.starts.ready.eq(1), self.idle.eq(~self.starts.valid), resting.eq(1)]
                with m.If(self.starts.valid):
                    m.d.comb += fetch.eq(1)
                    m.next = "NEXT"
            with m.State("NEXT"), m.If(ready):
                m.d.comb += take.eq(1)
                m.next = "TAKE"
            with m.State("TAKE"):
                m.next = "SETTLE"
            with m.State("SETTLE"):
                m.next = "LAUNCH"
                with m.Switch(self.descriptor.operation):
                    with m.Case(Operation.END):
                        pass
                    with m.Case(Operation.STORE):
                        m.d.sync += self.launch_store.eq(1)
                    with m.Default():
                        m.d.sync += self.launch.eq(1)
            with m.State("LAUNCH"):
                m.next = "HEADER"
                m.d.sync += [ends.eq(1), heads.eq(1)]
                with m.If(self.launch | self.launch_store):
                    m.d.sync += [ends.eq(0), heads.eq(0)]
                    m.next = "RUN"
            with m.State("RUN"), m.If(finished):
                m.next = "NEXT"
            with m.State("HEADER"), m.If(self.o.ready):
                m.d.sync += [heads.eq(0), totals.eq(1)]
                m.next = "TOTAL"
            with m.State("TOTAL"), m.If(self.o.ready):
                m.d.sync += [totals.eq(0), sending.eq(some)]
                m.next = "RECORDS"
            with m.State("RECORDS"), m.If(~sending):
                m.next = "IDLE"

        with m.If(sending):
            m.d.comb += [self.o.valid.eq(records.valid), self.o.payload.eq(records.payload)]
            m.d.comb += records.ready.eq(self.o.ready)
            with m.If(records.valid & self.o.ready):
                m.d.sync += [unsent.eq(unsent - 1), last.eq(unsent == 2), sending.eq(~last)]
        with m.Else():
            m.d.sync += [unsent.eq(words), last.eq(0)]
        rested = delay(m, resting, 1, name="rested")
        m.d.sync += total.eq(total + 1)
        with m.If(delay(m, self.store_done, 1, name="stored")):
            m.d.sync += until_store.eq(total)
        with m.If(rested):  # this is the cycle behind the start
            m.d.sync += [total.eq(1), until_store.eq(0)]
        return m

    def _records(self, m, platform, begin, finished, read):
        """Counts, and writes a layer's counters to memory when it has `finished`. Gives their words from `read` on, and how
        many words."""
        config = self._config
        depth = config.record_depth * RECORD_WORDS
        m.submodules.records = memory = Bank(width=32, depth=depth, site="records")
        m.submodules.reader = reader = ReadAhead(
            32, address_bits=ceil_log2(depth), count_bits=bits_for(depth), latency=1 + Bank.LATENCY
        )
        m.submodules.buffer = buffer = StreamBuffer(32)
        connect(m, reader.o, buffer.i)
        # All two cycles late, as it comes late in its cycle and from far; and one more, so that what is written needs no sum.
        activity = delay(m, self.activity, 2, name="activity")
        begin = delay(m, begin, 2, name="begin")
        record = Signal(Record, reset_less=True)  # of the layer, up to the last cycle
        more = {"cycles": 1, **{name: activity[name] for name in ("busy", "weights", "activations", "output")}}
        finished, waits, *turns = copies(m, platform, delay(m, finished, 2, name="finished"), 2 + len(more), name="turn")
        for turn, (name, value) in zip(turns, more.items(), strict=True):
            m.d.sync += record[name].eq(Mux(turn, 0, record[name]) + value)
        with m.If(begin):
            m.d.sync += record.eq(0)

        # The next layer takes longer than this.
        waiting = Signal(data.ArrayLayout(32, RECORD_WORDS), reset_less=True)
        # `begin` sets all of these before a layer can finish.
        unwritten, words, target = (
            Signal(shape, name=name, reset_less=True)
            for name, shape in (("unwritten", range(RECORD_WORDS + 1)), ("words", range(depth + 1)), ("target", range(depth)))
        )
        full = delay(m, words == depth, 1, name="full")
        m.d.sync += waiting.eq(Mux(waits, record.as_value(), waiting.as_value() >> 32))
        with m.If(unwritten.any()):
            m.d.sync += [unwritten.eq(unwritten - 1), target.eq(target + 1)]
        with m.If(finished & ~full):
            m.d.sync += [unwritten.eq(RECORD_WORDS), words.eq(words + RECORD_WORDS)]
        with m.If(begin):
            m.d.sync += [words.eq(0), target.eq(0), unwritten.eq(0)]
        m.d.comb += [
            # The memory lies with the program's, the reader with the answers.
            memory.write.enable.eq(delay(m, unwritten.any(), 1, name="writes")),
            memory.write.address.eq(delay(m, target, 1, name="target")),
            memory.write.data.eq(delay(m, waiting[0], 1, name="written")),
            memory.i_address.eq(delay(m, reader.read_address, 1, name="read")),
            reader.i_data.eq(memory.o_data),
            reader.address.eq(0),
            reader.count.eq(words),
            reader.start.eq(read),
        ]
        return buffer.o, words

    def _fetch(self, m, platform, ready, take, fetch):
        """Fills the next descriptor word by word, stops behind END, and makes it the current one two cycles after `take`."""
        config = self._config
        m.submodules.program = memory = Bank(width=32, depth=config.program_words, site="program")
        pointer = Signal(range(config.program_words))
        words = Signal(data.ArrayLayout(32, DESCRIPTOR_WORDS), reset_less=True)
        coming = Descriptor(words.as_value())
        current = Signal(Descriptor, reset_less=True)
        m.d.comb += self.descriptor.eq(current)
        fetching, complete = Signal(), Signal()
        address, fetch = delay(m, self.starts.payload, 1, name="start"), delay(m, fetch, 1, name="fetch")
        m.d.comb += [
            memory.write.enable.eq(self.program.enable),
            memory.write.address.eq(self.program.address),
            memory.write.data.eq(self.program.data),
            memory.i_address.eq(pointer),
            ready.eq(complete),
        ]

        # A one that walks past the words as their addresses go out, and `lag` further as they arrive: no wire has many readers.
        lag = Bank.LATENCY + 1
        incoming = copies(m, platform, memory.o_data, -(-DESCRIPTOR_WORDS // _WORDS_A_COPY), name="incoming")
        walk = [Signal(name=f"walk_{word}") for word in range(DESCRIPTOR_WORDS + lag)]
        taking = delay(m, take, 1, name="take")
        begin = Signal()
        more = delay(m, coming.operation != Operation.END, 1, name="more")  # the operation came before the last word
        m.d.comb += begin.eq(fetch | (taking & more))
        m.d.sync += [later.eq(sooner) for sooner, later in zip([begin, *walk], walk, strict=False)]
        with m.If(fetch):
            m.d.sync += pointer.eq(address)
        with m.Elif(fetching):
            m.d.sync += pointer.eq(pointer + 1)
        with m.If(begin):
            m.d.sync += fetching.eq(1)
        with m.Elif(walk[DESCRIPTOR_WORDS - 1]):
            m.d.sync += fetching.eq(0)
        for word in range(DESCRIPTOR_WORDS):
            with m.If(walk[word + lag]):
                m.d.sync += words[word].eq(incoming[word // _WORDS_A_COPY])
        with m.If(take):
            m.d.sync += complete.eq(0)
        with m.Elif(walk[-1]):
            m.d.sync += complete.eq(1)

        # The current descriptor follows in four parts, for the same reason.
        turns = [taking, delay(m, take, 1, name="take_too", ones=True)]
        turns += [delay(m, turn, 1, name=f"take_late_{index}", ones=index == 1) for index, turn in enumerate(turns)]
        part = len(coming.as_value()) // len(turns)
        for index, turn in enumerate(turns):
            with m.If(turn):
                m.d.sync += current.as_value()[index * part : (index + 1) * part].eq(
                    coming.as_value()[index * part : (index + 1) * part]
                )

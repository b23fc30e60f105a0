"""The stream contract on every stream that a block gives: what is offered and not taken stays, with its payload."""

import pytest
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from formal.cases import Case, holding, needs_solver, refuted
from formal.prover import Proof
from mutation.gateware import Fault


def buffer(hw):
    """A StreamBuffer between any two sides gives what it took, in order: a tagged word keeps its place and its payload."""
    p = Proof()
    p.m.submodules.dut = dut = hw("stream_buffer").StreamBuffer(4)
    p.gives_stream(dut.i, "i")
    p.m.d.comb += dut.o.ready.eq(p.free(1, "ready"))
    p.keeps_stream_contract(dut.o)
    # Every other word is 0 until the tagged one, which is 15, and 1 behind it: both sides know which one is due.
    sent, came = Signal(), Signal()
    tag = p.free(1, "tag")
    with p.m.If(dut.i.valid & dut.i.ready & tag):
        p.m.d.sync += sent.eq(1)
    with p.m.If(dut.o.valid & dut.o.ready & (dut.o.payload == 15)):
        p.m.d.sync += came.eq(1)
    p.require(~dut.i.valid | (dut.i.payload == Mux(sent, 1, Mux(tag, 15, 0))))
    p.check(~(dut.o.valid & dut.o.ready) | (dut.o.payload == Mux(came, 1, Mux(dut.o.payload == 15, 15, 0))))
    return p


def in_turn(hw):
    """Words leave in the order in which they were taken, whoever offers them."""
    p = Proof()
    p.m.submodules.dut = dut = hw("in_turn").InTurn(3)
    sent, left = Signal(3), Signal(3)
    for name in ("first", "second"):
        sender = getattr(dut, name)
        p.gives_stream(sender, name)
        p.require(~(sender.valid & sender.ready) | (sender.payload == sent))
    p.m.d.sync += sent.eq(sent + ((dut.first.valid & dut.first.ready) | (dut.second.valid & dut.second.ready)))
    p.check(~(dut.first.ready & dut.second.ready))
    p.m.d.comb += dut.o.ready.eq(p.free(1, "ready"))
    p.keeps_stream_contract(dut.o)
    with p.m.If(dut.o.valid & dut.o.ready):
        p.m.d.sync += left.eq(left + 1)
    p.check(~dut.o.valid | (dut.o.payload == left))
    return p


def read_ahead(hw):
    """Every word of a piece, in order, and the queue never overflows, whoever pauses."""
    p = Proof()
    latency = 0
    p.m.submodules.dut = dut = hw("readahead").ReadAhead(4, address_bits=4, count_bits=4, latency=latency)
    left = Signal(4)
    due = Signal(4)
    taken = dut.o.valid & dut.o.ready
    p.m.d.comb += [dut.start.eq(p.free(1, "start")), dut.address.eq(p.free(4, "address")), dut.count.eq(p.free(4, "count"))]
    p.m.d.comb += dut.o.ready.eq(p.free(1, "ready"))
    p.require(~dut.start | (left == 0))
    with p.m.If(dut.start):
        p.m.d.sync += [left.eq(dut.count), due.eq(dut.address)]
    with p.m.Elif(taken):
        p.m.d.sync += [left.eq(left - 1), due.eq(due + 1)]
    # The memory's word is its address.
    word = dut.read_address
    for _ in range(latency):
        word = p.past(word)
    p.m.d.comb += dut.i_data.eq(word)
    p.keeps_stream_contract(dut.o)
    p.check(~dut.o.valid | ((left != 0) & (dut.o.payload == due)))
    return p


def loader(hw):
    """The loader passes on what the host offers, under the contract too."""
    p = Proof()
    p.m.submodules.dut = dut = hw("loader").Loader(hw.config(program_words=8))
    p.gives_stream(dut.i, "i")
    for name in ("weights", "channels", "depthwise", "starts"):
        port = getattr(dut, name)
        p.m.d.comb += port.ready.eq(p.free(1, f"{name}_ready"))
        p.keeps_stream_contract(port)
    p.m.d.comb += [dut.activations_ready.eq(p.free(1, "activations_ready")), dut.waited.eq(p.free(1, "waited"))]
    load = Cat(dut.activations.address, dut.activations.data.as_value())  # a stream but for the names
    waits = p.past(dut.activations.enable & ~dut.activations_ready)
    p.check(~p.started | ~waits | (dut.activations.enable & (load == p.past(load))))
    p.check(dut.steady)
    return p


def _store(p, hw, dut, most, *, done_latency=0):
    """A store that is started while it rests, with a descriptor that holds still."""
    descriptor = hw("isa").Descriptor
    length, tag = p.free(4, "length"), p.free(8, "tag")
    p.m.d.comb += [
        dut.descriptor.length.eq(length),
        dut.descriptor.tag.eq(tag),
        dut.start.eq(p.free(1, "start")),
        dut.o.ready.eq(p.free(1, "ready")),
    ]
    assert len(dut.descriptor.as_value()) == len(descriptor(dut.descriptor.as_value()).as_value())
    p.require((length > 0) & (length <= most))
    p.require(~p.started | ((length == p.past(length)) & (tag == p.past(tag))) | ~p.past(dut.active | dut.start))
    p.require(~dut.start | ~dut.active)
    p.keeps_stream_contract(dut.o)
    # A packet of two words and `length` more, then `done`, and only then.
    words = Signal(5)
    taken = dut.o.valid & dut.o.ready
    with p.m.If(dut.start):
        p.m.d.sync += words.eq(0)
    with p.m.Elif(taken):
        p.m.d.sync += words.eq(words + 1)
    # It is active from the start to the last word, and silent before and after.
    last, active = taken & (words == length + 1), Signal()
    with p.m.If(dut.start):
        p.m.d.sync += active.eq(1)
    with p.m.Elif(last):
        p.m.d.sync += active.eq(0)
    p.check((dut.active == active) & (active | ~dut.o.valid))
    p.check(dut.done == (p.past(last) if done_latency else last))


def store(hw):
    p = Proof()
    p.m.submodules.dut = dut = hw("store").Store(hw.config(activation_bytes=64))
    _store(p, hw, dut, 5, done_latency=dut.DONE_LATENCY)
    p.check(dut.reading == (dut.active | dut.done))
    p.m.d.comb += dut.i_data.eq(p.free(32, "data"))
    return p


def compact_store(hw):
    """The memory gives the same for the same address, as long as the store has its port."""
    p = Proof()
    p.m.submodules.dut = dut = hw("compact.store").CompactStore(hw.config(activation_bytes=64))
    _store(p, hw, dut, 5)
    p.m.d.comb += dut.i_half.eq(p.past(dut.half))
    return p


def _sequencer(p, hw, dut):
    """Any program; engines that end whenever they like; any pauses."""
    program = dut.program
    p.m.d.comb += [
        program.enable.eq(p.free(1, "write")),
        program.address.eq(p.free(len(program.address), "address")),
        program.data.eq(p.free(32, "data")),
        dut.o.ready.eq(p.free(1, "ready")),
        dut.activity.eq(p.free(4, "activity")),
    ]
    p.gives_stream(dut.starts, "starts")
    p.keeps_stream_contract(dut.o)
    p.check(~(dut.idle & (dut.o.valid | dut.launch | dut.launch_store)))
    # One thing at a time, and no word meanwhile.
    running = Signal()
    launched = dut.launch | dut.launch_store
    done = p.free(1, "done") & running
    with p.m.If(launched):
        p.m.d.sync += running.eq(1)
    with p.m.Elif(done):
        p.m.d.sync += running.eq(0)
    p.check(~(dut.launch & dut.launch_store) & ~(launched & running))
    p.check(~(dut.o.valid & (launched | running)))
    return done


def sequencer(hw):
    p = Proof()
    p.m.submodules.dut = dut = hw("sequencer").Sequencer(hw.config(program_words=32, record_depth=2))
    p.m.d.comb += [dut.done.eq(_sequencer(p, hw, dut)), dut.store_done.eq(0)]
    return p


def compact_sequencer(hw):
    p = Proof()
    p.m.submodules.dut = dut = hw("compact.sequencer").CompactSequencer(hw.config(program_words=32, record_depth=2))
    p.m.d.comb += dut.done.eq(_sequencer(p, hw, dut))
    return p


def sender(hw):
    """Whatever the header and the words do meanwhile: bytes on offer stay."""
    p = Proof()
    p.m.submodules.dut = dut = hw("link.sender").FrameSender(0x0123456789ABCDEF)
    p.m.d.comb += [
        dut.start.eq(p.free(1, "start")),
        dut.header.eq(p.free(len(dut.header.as_value()), "header")),
        dut.word.eq(p.free(32, "word")),
        dut.o.ready.eq(p.free(1, "ready")),
    ]
    p.require(~dut.start | dut.idle)
    p.keeps_stream_contract(dut.o)
    return p


def receiver(hw):
    """What no wire can wait for stays on offer until it is taken, or for the time of nine bits."""
    p = Proof()
    bit = 4  # cycles
    p.m.submodules.dut = dut = hw("link.uart").UartReceiver(clock_hz=bit, baud=1)
    p.m.d.comb += [dut.rx.eq(p.free(1, "rx")), dut.o.ready.eq(p.free(1, "ready"))]
    waits = p.past(dut.o.valid & ~dut.o.ready)
    stays = dut.o.valid & (dut.o.payload == p.past(dut.o.payload))
    waited = Signal(range(9 * bit + 1))
    with p.m.If(~waits | ~stays):
        p.m.d.sync += waited.eq(0)
    with p.m.Elif(waited != 9 * bit):
        p.m.d.sync += waited.eq(waited + 1)
    p.check(~p.started | ~waits | stays | (waited >= 9 * bit - 2))
    return p


def endpoint(hw):
    """The bytes of the whole endpoint; its words stay on offer too, until a new session takes them back with `reset`."""
    p = Proof()
    p.m.submodules.dut = dut = hw("link.endpoint").Endpoint(hw.config())
    p.gives_stream(dut.i, "i")
    p.gives_stream(dut.i_words, "i_words")
    p.m.d.comb += [dut.o.ready.eq(p.free(1, "ready")), dut.o_words.ready.eq(p.free(1, "words_ready"))]
    p.keeps_stream_contract(dut.o)
    words = dut.o_words
    p.check(~p.started | ~p.past(words.valid & ~words.ready) | words.valid | dut.reset)
    return p


def marker(hw):
    """A byte on offer stays; whether it is the last one may be taken back, as the docstring says."""
    p = Proof()
    p.m.submodules.dut = dut = hw("link.packets").PauseMarker(3)
    p.gives_stream(dut.i, "i")
    p.m.d.comb += dut.o.ready.eq(p.free(1, "ready"))
    waits = p.past(dut.o.valid & ~dut.o.ready)
    p.check(~p.started | ~waits | (dut.o.valid & (dut.o.payload.byte == p.past(dut.o.payload.byte))))
    return p


class AnyFabric(wiring.Component):
    """In a fabric's place: takes and gives whatever it likes."""

    i: In(stream.Signature(32))
    o: Out(stream.Signature(32))

    def __init__(self, proof):
        super().__init__()
        self._proof = proof

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(self._proof.free(1, "takes"))
        m.d.comb += [self.o.valid.eq(self._proof.free(1, "gives")), self.o.payload.eq(self._proof.free(32, "given"))]
        return m


def core(hw):
    p = Proof()
    device = hw("link.device")
    fabric, device.Fabric = device.Fabric, lambda config, reset: AnyFabric(p)
    try:
        p.m.submodules.dut = dut = device.FabricCore(hw.config())
        inner = dut.elaborate(None)
        dut.elaborate = lambda platform: inner
    finally:
        device.Fabric = fabric
    p.gives_stream(dut.i, "i")
    p.m.d.comb += [dut.o.ready.eq(p.free(1, "ready")), dut.reset.eq(p.free(1, "reset"))]
    late = p.past(p.past(dut.reset))
    waits = p.past(dut.o.valid & ~dut.o.ready & ~dut.reset & ~late)
    p.check(~p.started | ~waits | (dut.o.valid & (dut.o.payload == p.past(dut.o.payload))))
    return p


CASES = {
    ("stream_buffer.py", "StreamBuffer", "i o"): Case(
        name="a StreamBuffer keeps words and order",
        make=buffer,
        cycles=8,
        faults=(
            Fault(
                file="stream_buffer.py",
                old="self.i.ready.eq(free)",
                new="self.i.ready.eq(free | self.o.ready)",
                what="ready although the spare register is taken",
            ),
            Fault(
                file="stream_buffer.py",
                old="with m.If(self.o.ready | ~valid):",
                new="with m.If(self.o.ready | ~held):",
                what="a waiting word is replaced",
            ),
        ),
    ),
    ("in_turn.py", "InTurn", "first second o"): Case(
        name="words leave as they were taken",
        make=in_turn,
        cycles=9,
        faults=(
            Fault(
                file="in_turn.py",
                old="(turn & there) | (first_turn & ~here & self.second.valid)",
                new="(turn & there) | (first_turn & ~self.first.valid & self.second.valid)",
                what="the second's turn comes while a word of the first's waits",
            ),
            Fault(
                file="in_turn.py",
                old="sender.ready.eq(buffer.i.ready & takes)",
                new="sender.ready.eq(buffer.i.ready)",
                what="a word is taken that nobody keeps",
            ),
        ),
    ),
    ("readahead.py", "ReadAhead", "o"): Case(
        name="ReadAhead gives every word of a piece",
        make=read_ahead,
        cycles=12,
        faults=(
            Fault(file="readahead.py", old="ahead < depth - 2", new="ahead <= depth", what="words that find no room"),
            Fault(file="readahead.py", old="more.eq(unread != 1)", new="more.eq(unread != 2)", what="the last word is missing"),
        ),
    ),
    ("loader.py", "Loader", "i weights channels depthwise starts"): Case(
        name="the loader passes streams on",
        make=loader,
        cycles=6,
        induction=True,
        faults=(
            Fault(
                file="loader.py",
                old='"weights": (self.weights.ready, [',
                new='"weights": (1, [',
                what="weights that are not taken are lost",
            ),
        ),
    ),
    ("store.py", "Store", "o"): Case(
        name="a store sends its packet",
        make=store,
        cycles=18,
        faults=(
            Fault(
                file="store.py",
                old="room, taken = ~self.o.valid | self.o.ready,",
                new="room, taken = ~self.o.valid | 1,",
                what="a word that nobody took is gone",
            ),
            Fault(file="store.py", old="last.eq(unsent == 2)", new="last.eq(unsent == 3)", what="a word short"),
        ),
    ),
    ("compact/store.py", "CompactStore", "o"): Case(
        name="a compact store sends its packet",
        make=compact_store,
        cycles=20,
        faults=(
            Fault(file="compact/store.py", old="with m.If(unsent == 1):", new="with m.If(unsent == 2):", what="a word short"),
            Fault(
                file="compact/store.py",
                old='with m.State("UPPER"):\n                m.d.sync += lower.eq(self.i_half)',
                new='with m.State("UPPER"):\n                m.d.sync += self.half.eq(self.half + 1)',
                what="the upper half moves while it is on offer",
            ),
        ),
    ),
    ("sequencer.py", "Sequencer", "starts o"): Case(
        name="the sequencer's answer waits",
        make=sequencer,
        cycles=38,
        slow=True,
        faults=(
            Fault(
                file="sequencer.py",
                old='m.State("HEADER"), m.If(self.o.ready):',
                new='m.State("HEADER"), m.If(1):',
                what="the header is gone before it is taken",
            ),
        ),
    ),
    ("compact/sequencer.py", "CompactSequencer", "starts o"): Case(
        name="the compact sequencer's answer waits",
        make=compact_sequencer,
        cycles=28,
        slow=True,
        faults=(
            Fault(
                file="compact/sequencer.py",
                old="self.o.payload.eq(header)]\n                with m.If(self.o.ready):",
                new="self.o.payload.eq(header)]\n                with m.If(1):",
                what="the header is gone before it is taken",
            ),
        ),
    ),
    ("link/sender.py", "FrameSender", "o"): Case(
        name="a frame's bytes wait",
        make=sender,
        cycles=6,
        induction=True,
        faults=(
            Fault(
                file="link/sender.py",
                old="waiting = (bytes_left == 0) & counted & ~self.idle",
                new="waiting = (bytes_left != 2) & counted & ~self.idle",
                what="the next pair comes before the last byte has gone",
            ),
        ),
    ),
    ("link/endpoint.py", "Endpoint", "i i_words o o_words"): Case(
        name="the endpoint's bytes and words wait",
        make=endpoint,
        cycles=7,
        induction=True,
        faults=(
            Fault(
                file="link/endpoint.py",
                old="with m.If(self.o_words.valid & self.o_words.ready):",
                new="with m.If(self.o_words.valid):",
                what="a word that nobody took is gone",
            ),
        ),
    ),
    ("link/packets.py", "PauseMarker", "i o"): Case(
        name="a byte of a packet waits",
        make=marker,
        cycles=4,
        induction=True,
        faults=(
            Fault(
                file="link/packets.py",
                old="self.i.ready.eq(~full | self.o.ready)",
                new="self.i.ready.eq(~full | paused)",
                what="a byte is replaced while it waits",
            ),
        ),
    ),
    ("link/device.py", "FabricCore", "i o"): Case(
        name="a core's words wait",
        make=core,
        cycles=3,
        induction=True,
        faults=(
            Fault(
                file="link/device.py",
                old="with m.Elif(self.o.ready | resetting):",
                new="with m.Else():",
                what="a word that nobody took is gone",
            ),
        ),
    ),
    ("link/uart.py", "UartReceiver", "o"): Case(
        name="a byte from a wire waits for a while",
        make=receiver,
        cycles=100,
        faults=(
            Fault(
                file="link/uart.py",
                old="with m.If(self.o.ready):\n            m.d.sync += self.o.valid.eq(0)",
                new="with m.If(self.o.ready | tick):\n            m.d.sync += self.o.valid.eq(0)",
                what="a byte is gone after a bit",
            ),
        ),
    ),
}


@needs_solver
@pytest.mark.parametrize("case", holding(CASES.values()))
def test_streams_keep_their_contract(case):
    case.check()


@needs_solver
@pytest.mark.parametrize(("case", "fault"), refuted(CASES.values(), quick=3))
def test_a_fault_breaks_it(case, fault):
    case.check_fault(fault)

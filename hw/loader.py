"""Carries out the packets from the host, in order."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .config import STREAM_BYTES, FabricConfig
from .isa import Command, Header
from .memory.activations import ActivationWrite


class ProgramWrite(wiring.Signature):
    """One write into program memory."""

    def __init__(self, config: FabricConfig):
        super().__init__({"enable": Out(1), "address": Out(range(config.program_words)), "data": Out(32)})


class Loader(wiring.Component):
    """Takes the host's stream apart.

    Members: `i` is the stream from the host; `activations`, `weights`, `channels`, `depthwise` and `program` get the
    payloads, `load_*` and `load_address` where they begin; `set_ring` is high for one cycle with `load_address`;
    `starts` gives the programs to run; `waited` says that all of them have ended, or `wait_for` layers of the last one, where
    that is not 0. `ring` and `whole` say of weights whether they go into the ring, and whether they are of 16 bits.
    """

    LOOK_CYCLES = 3
    """Cycles from a change of `wait_for` until WAIT looks at `waited`: whoever compares lies far away."""

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(32)),
                "activations": Out(ActivationWrite(config)),
                "activations_ready": In(1),
                "weights": Out(stream.Signature(32)),
                "ring": Out(1),
                "whole": Out(1),
                "channels": Out(stream.Signature(32)),
                "depthwise": Out(stream.Signature(32)),
                "program": Out(ProgramWrite(config)),
                "load_weights": Out(1),
                "load_channels": Out(1),
                "load_depthwise": Out(1),
                "load_address": Out(32),
                "set_ring": Out(1),
                "starts": Out(stream.Signature(range(config.program_words))),
                "wait_for": Out(range(config.record_depth + 1)),
                "waited": In(1),
            }
        )
        self.steady = Signal()  # for proofs: a receiver is waited for only while a payload comes

    def elaborate(self, platform):
        m = Module()

        def among(command, commands):
            return Cat(command == each for each in commands).any()

        payload = self.i.payload
        command = Signal(Command)
        left = Signal(24)  # words of the payload
        some, last = Signal(), Signal()  # there are some, and one is left: of a payload that begins, and while it comes
        holds = Signal()  # nothing is taken behind the address
        address = Signal(32)
        incoming = Header(payload)
        m.d.comb += [
            self.activations.address.eq(address),
            self.activations.count.eq(STREAM_BYTES),
            Cat(self.activations.data[i] for i in range(STREAM_BYTES)).eq(payload),
            self.weights.payload.eq(payload),
            self.channels.payload.eq(payload),
            self.depthwise.payload.eq(payload),
            self.program.address.eq(address),
            self.program.data.eq(payload),
            self.load_address.eq(payload),
            self.starts.payload.eq(address),
            self.wait_for.eq(address),
        ]
        # What an address does is known before it comes.
        loads, streams, whole = [Command.LOAD_WEIGHTS], [Command.STREAM_WEIGHTS], []
        if self._config.doubles:
            whole = [Command.LOAD_WHOLE_WEIGHTS, Command.STREAM_WHOLE_WEIGHTS]
            loads.append(whole[0])
            streams.append(whole[1])
        begins = {  # by the commands that it follows
            "set_ring": [Command.SET_RING],
            "load_weights": loads,
            "load_channels": [Command.LOAD_CHANNELS],
            "load_depthwise": [Command.LOAD_DEPTHWISE],
        }
        expects = {name: Signal(name=f"expects_{name}") for name in begins}  # while the address comes
        m.d.comb += [getattr(self, name).eq(expected & self.i.valid) for name, expected in expects.items()]
        # Registers decide which receiver a word waits for: ready has many readers, and the receivers are far away.
        takes = Signal(init=1)
        looks = Signal(self.LOOK_CYCLES)  # a one walks through it
        receivers = {  # of words; program memory takes what comes
            "activations": (self.activations_ready, [Command.LOAD_ACTIVATIONS]),
            "weights": (self.weights.ready, [*loads, *streams]),
            "channels": (self.channels.ready, [Command.LOAD_CHANNELS]),
            "depthwise": (self.depthwise.ready, [Command.LOAD_DEPTHWISE]),
        }
        waits_for = {name: Signal(name=f"waits_for_{name}") for name in receivers}
        blocked = Cat(waits_for[name] & ~ready for name, (ready, _) in receivers.items()).any()
        m.d.comb += self.i.ready.eq(takes & ~blocked)
        taken = self.i.valid & self.i.ready
        # A receiver is waited for while its words come, and no longer.
        m.d.comb += [
            self.activations.enable.eq(self.i.valid & waits_for["activations"]),
            self.weights.valid.eq(self.i.valid & waits_for["weights"]),
            self.channels.valid.eq(self.i.valid & waits_for["channels"]),
            self.depthwise.valid.eq(self.i.valid & waits_for["depthwise"]),
        ]
        with m.FSM() as fsm:
            with m.State("HEADER"), m.If(self.i.valid):
                m.d.sync += [command.eq(incoming.command), left.eq(incoming.count)]
                m.d.sync += [some.eq(incoming.count != 0), last.eq(incoming.count == 1)]
                m.d.sync += holds.eq(among(incoming.command, [Command.START, Command.WAIT]))
                m.d.sync += [self.ring.eq(among(incoming.command, streams)), self.whole.eq(among(incoming.command, whole))]
                m.d.sync += [expects[name].eq(among(incoming.command, begun_by)) for name, begun_by in begins.items()]
                m.next = "ADDRESS"
            with m.State("ADDRESS"), m.If(self.i.valid):
                m.d.sync += [address.eq(payload), *(expected.eq(0) for expected in expects.values())]
                with m.If(holds):
                    m.d.sync += [takes.eq(0), looks.eq(0)]
                    m.next = "HOLD"
                with m.Elif(some):
                    for name, (_, commands) in receivers.items():
                        m.d.sync += waits_for[name].eq(among(command, commands))
                    m.next = "PAYLOAD"
                with m.Else():
                    m.next = "HEADER"
            with m.State("HOLD"):
                m.d.comb += self.starts.valid.eq(command == Command.START)
                m.d.sync += looks.eq(Cat(1, looks))
                with m.If(Mux(command == Command.START, self.starts.ready, looks[-1] & self.waited)):
                    m.d.sync += takes.eq(1)
                    m.next = "HEADER"
                    with m.If(some):
                        m.next = "PAYLOAD"
            with m.State("PAYLOAD"):
                m.d.comb += self.program.enable.eq(self.i.valid & (command == Command.LOAD_PROGRAM))
                with m.If(taken):
                    unit = Mux(waits_for["activations"], STREAM_BYTES, 1)
                    m.d.sync += [address.eq(address + unit), left.eq(left - 1), last.eq(left == 2)]
                    with m.If(last):
                        m.d.sync += [signal.eq(0) for signal in waits_for.values()]
                        m.next = "HEADER"
        if platform is None:
            m.d.comb += self.steady.eq(fsm.ongoing("PAYLOAD") | ~Cat(waits_for.values()).any())
        return m

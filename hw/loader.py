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
    `starts` gives the programs to run; `idle` says that all of them have ended.
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(32)),
                "activations": Out(ActivationWrite(config)),
                "activations_ready": In(1),
                "weights": Out(stream.Signature(32)),
                "ring": Out(1),
                "channels": Out(stream.Signature(32)),
                "depthwise": Out(stream.Signature(32)),
                "program": Out(ProgramWrite(config)),
                "load_weights": Out(1),
                "load_channels": Out(1),
                "load_depthwise": Out(1),
                "load_address": Out(32),
                "set_ring": Out(1),
                "starts": Out(stream.Signature(range(config.program_words))),
                "idle": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        payload = self.i.payload
        header = Signal(Header)
        left = Signal(24)
        address = Signal(32)
        incoming = Header(payload)
        m.d.comb += [
            self.activations.address.eq(address),
            self.activations.count.eq(STREAM_BYTES),
            Cat(self.activations.data[i] for i in range(STREAM_BYTES)).eq(payload),
            self.weights.payload.eq(payload),
            self.ring.eq(header.command == Command.STREAM_WEIGHTS),
            self.channels.payload.eq(payload),
            self.depthwise.payload.eq(payload),
            self.program.address.eq(address),
            self.program.data.eq(payload),
            self.load_address.eq(payload),
            self.starts.payload.eq(payload),
        ]
        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [header.eq(incoming), left.eq(incoming.count)]
                    m.next = "ADDRESS"
            with m.State("ADDRESS"):
                m.d.comb += self.i.ready.eq(1)
                with m.Switch(header.command):
                    with m.Case(Command.START):
                        m.d.comb += [self.starts.valid.eq(self.i.valid), self.i.ready.eq(self.starts.ready)]
                    with m.Case(Command.WAIT):
                        m.d.comb += self.i.ready.eq(self.idle)
                    with m.Case(Command.SET_RING):
                        m.d.comb += self.set_ring.eq(self.i.valid)
                    with m.Case(Command.LOAD_WEIGHTS):
                        m.d.comb += self.load_weights.eq(self.i.valid)
                    with m.Case(Command.LOAD_CHANNELS):
                        m.d.comb += self.load_channels.eq(self.i.valid)
                    with m.Case(Command.LOAD_DEPTHWISE):
                        m.d.comb += self.load_depthwise.eq(self.i.valid)
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += address.eq(payload)
                    m.next = "PAYLOAD"
                    with m.If(left == 0):
                        m.next = "HEADER"
            with m.State("PAYLOAD"):
                m.d.comb += self.i.ready.eq(1)
                with m.Switch(header.command):
                    with m.Case(Command.LOAD_ACTIVATIONS):
                        m.d.comb += [
                            self.activations.enable.eq(self.i.valid),
                            self.i.ready.eq(self.activations_ready),
                        ]
                    with m.Case(Command.LOAD_WEIGHTS, Command.STREAM_WEIGHTS):
                        m.d.comb += [self.weights.valid.eq(self.i.valid), self.i.ready.eq(self.weights.ready)]
                    with m.Case(Command.LOAD_CHANNELS):
                        m.d.comb += [self.channels.valid.eq(self.i.valid), self.i.ready.eq(self.channels.ready)]
                    with m.Case(Command.LOAD_DEPTHWISE):
                        m.d.comb += [self.depthwise.valid.eq(self.i.valid), self.i.ready.eq(self.depthwise.ready)]
                    with m.Case(Command.LOAD_PROGRAM):
                        m.d.comb += self.program.enable.eq(self.i.valid)
                with m.If(self.i.valid & self.i.ready):
                    unit = Mux(header.command == Command.LOAD_ACTIVATIONS, STREAM_BYTES, 1)
                    m.d.sync += [address.eq(address + unit), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.next = "HEADER"
        return m

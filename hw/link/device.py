"""The fabric behind its link: what a board's top level joins to its pins."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..config import FabricConfig
from ..delay import delay
from ..fabric import Fabric
from .endpoint import Endpoint
from .uart import UartReceiver, UartTransmitter

_RESET_LATENCY = 2


class UartFabric(wiring.Component):
    """A fabric at the end of two wires, all in the domain `sync`.

    Members: `rx` is the pin on which the host sends, `tx` the one on which it listens; both are 1 while nothing is sent.
    `rx` may be asynchronous. Both are plain signals: pads and levels are the board's.

    Parameters
    ----------
    clock_hz: frequency of `sync`.
    baud: rate of the line, up to clock_hz / 4.

    Raises ValueError where the clock is too slow for the rate.
    """

    def __init__(self, config: FabricConfig, *, clock_hz: float, baud: float):
        self.config = config
        self.clock_hz = clock_hz
        self.baud = baud
        self._receiver = UartReceiver(clock_hz=clock_hz, baud=baud)
        self._transmitter = UartTransmitter(clock_hz=clock_hz, baud=baud)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = self._receiver
        m.submodules.transmitter = transmitter = self._transmitter
        m.submodules.linked = linked = LinkedFabric(self.config)
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx)]
        connect(m, receiver.o, linked.i)
        connect(m, linked.o, transmitter.i)
        return m


class LinkedFabric(wiring.Component):
    """A fabric behind two streams of bytes: what `UartFabric` has between its receiver and its transmitter."""

    def __init__(self, config: FabricConfig):
        self.config = config
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.endpoint = endpoint = Endpoint(self.config)
        m.submodules.core = core = FabricCore(self.config)
        connect(m, flipped(self.i), endpoint.i)
        connect(m, endpoint.o, flipped(self.o))
        connect(m, endpoint.o_words, core.i)
        connect(m, core.o, endpoint.i_words)
        m.d.comb += core.reset.eq(endpoint.reset)
        return m


class FabricCore(wiring.Component):
    """A fabric with registers at its outputs, which may lie far from whoever feeds it: a word every other cycle.

    Members: `i` and `o` as the fabric's; `reset` puts it back to its beginning, memories aside, when it is high for as many
    cycles as the longest pipeline has registers.
    """

    def __init__(self, config: FabricConfig):
        self.config = config
        super().__init__({"i": In(stream.Signature(32)), "o": Out(stream.Signature(32)), "reset": In(1)})

    def elaborate(self, platform):
        m = Module()
        reset = delay(m, self.reset, _RESET_LATENCY, name="reset")  # the endpoint may lie far away
        resetting = self.reset | reset
        m.submodules.fabric = fabric = Fabric(self.config, reset=reset)
        m.d.comb += [
            fabric.i.valid.eq(self.i.valid & ~self.i.ready),  # `ready` tells of the word that was taken a cycle ago
            fabric.i.payload.eq(self.i.payload),
            fabric.o.ready.eq(~self.o.valid),
        ]
        m.d.sync += self.i.ready.eq(fabric.i.valid & fabric.i.ready & ~resetting)
        with m.If(~self.o.valid):
            m.d.sync += [self.o.payload.eq(fabric.o.payload), self.o.valid.eq(fabric.o.valid & ~resetting)]
        with m.Elif(self.o.ready | resetting):
            m.d.sync += self.o.valid.eq(0)
        return m

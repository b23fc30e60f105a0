"""The fabric behind its link: every word once and in order through the registers of its core, and a network over the wires."""

import networks
import numpy as np
import wires
from celosia.host import reference
from celosia.host.driver import FabricDevice
from celosia.host.frontends.tflite import parse
from celosia.host.passes import simplify
from celosia.host.transport.link import Link
from celosia.hw.link import device
from celosia.hw.presets import preset


def test_words_through_the_core(bench, stalls, monkeypatch):
    """With an echo in the fabric's place: the n-th word comes back plus n."""
    monkeypatch.setattr(device, "Fabric", lambda config, reset: _Echo(reset))
    core = device.FabricCore(preset("mini"))
    words = bench.rng.integers(0, 1 << 31, 120).tolist()
    received = []

    async def sender(ctx):
        await bench.send(ctx, core.i, words, bench.pauses(stalls))

    async def receiver(ctx):
        received.extend(await bench.receive(ctx, core.o, len(words), bench.pauses(str(bench.rng.choice(["none", "random"])))))

    bench.run(core, sender, receiver)
    assert received == [word + number for number, word in enumerate(words)]


def test_reset_forgets_what_is_under_way(bench, monkeypatch):
    monkeypatch.setattr(device, "Fabric", lambda config, reset: _Echo(reset))
    core = device.FabricCore(preset("mini"))

    async def testbench(ctx):
        bench.put(ctx, core.i, valid=1, payload=7)
        await bench.ticks(ctx, 4)
        assert ctx.get(core.o.valid)
        bench.put(ctx, core, reset=1)
        await bench.ticks(ctx, 6)
        assert not ctx.get(core.o.valid)
        assert not ctx.get(core.i.ready)
        bench.put(ctx, core, reset=0)
        ctx.set(core.o.ready, 1)
        (word,) = await bench.until(ctx, core.o.valid, core.o.payload)
        assert word == 7, "the count did not begin anew"

    bench.run(core, testbench)


def _Echo(reset):  # a fabric's streams, and a count that a reset clears
    from amaranth.hdl import Module, Signal
    from amaranth.lib import stream, wiring
    from amaranth.lib.wiring import In, Out

    class Echo(wiring.Component):
        i: In(stream.Signature(32))
        o: Out(stream.Signature(32))

        def elaborate(self, platform):
            m = Module()
            count = Signal(32)
            m.d.comb += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload + count)]
            m.d.comb += self.i.ready.eq(self.o.ready)
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += count.eq(count + 1)
            with m.If(reset):
                m.d.sync += count.eq(0)
            return m

    return Echo()


def test_a_network_over_the_wires():
    """On the compact fabric, the smallest one that has all of it."""
    config = preset("up5k")
    model = networks.conv(1, (1, 4, 4, 3), 5, (3, 3))
    graph = simplify(parse(model))
    x = networks.random_input(model, 1, samples=2)
    (name,), (output,) = graph.inputs, graph.outputs
    for sample in x[:, np.newaxis]:
        port = wires.WirePort(wires.fabric(config))
        fabric = FabricDevice(graph, config, Link(port, name="up5k", baud=wires.BAUD, clock=port.clock, patience=0.01))
        np.testing.assert_array_equal(fabric.infer({name: sample})[output], reference.run(graph, {name: sample})[output])

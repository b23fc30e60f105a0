"""The whole fabric, driven by the host's own code: layers of every kind, bit for bit as the golden models have them."""

import cocotb
import networks
import numpy as np
from celosia.host import reference
from celosia.host.driver import FabricDevice
from celosia.host.emit import emit
from celosia.host.frontends.tflite import parse
from celosia.host.passes import simplify
from celosia.host.schedule import schedule
from cocotb.task import bridge, resume
from stalls import STALLS

from .blocks import FABRICS
from .rig import TIMEOUT, Rig, effort

LAYERS = {
    "conv": lambda seed: networks.conv(seed, (1, 5, 6, 3), 7, (3, 3)),
    "strided": lambda seed: networks.conv(seed, (1, 6, 5, 2), 5, (2, 3), stride=(2, 2)),
    "depthwise": lambda seed: networks.depthwise(seed, (1, 5, 6, 6), (3, 3)),
    "fully connected": lambda seed: networks.fully_connected(seed, (1, 37), 9),
    "streamed": lambda seed: networks.fully_connected(seed, (1, 130), 17),
    "add": lambda seed: networks.add(seed, (1, 3, 4, 5)),
    "max": lambda seed: networks.pool(seed, (1, 4, 6, 5), "max", (2, 2)),
    "average": lambda seed: networks.pool(seed, (1, 4, 6, 5), "average", (2, 3)),
}

ON_COMPACT = ("conv", "strided", "fully connected")


class Streams:
    """The fabric's two streams as the driver's transport: its calls come from a thread, and time passes while they wait."""

    def __init__(self, rig, stalls):
        self._rig = rig
        self._out, self._in = [], []
        self._tasks = [
            cocotb.start_soon(self._send(stalls)),
            cocotb.start_soon(rig.receive("o", stalls, self._give)),
        ]

    async def _send(self, stalls):
        while True:
            while not self._out:
                await self._rig.ticks()
            words, self._out = self._out, []
            await self._rig.send("i", words, stalls)

    def _give(self, word):
        self._in.append(word)
        return False

    def write(self, words):
        self._out += words.tolist()

    def read(self, count):
        return self._wait(count)

    @resume
    async def _wait(self, count):
        while len(self._in) < count:
            await self._rig.ticks()
        words, self._in = self._in[:count], self._in[count:]
        return np.array(words, np.uint32)

    def close(self):
        for task in self._tasks:
            task.cancel()
        self._rig.set(i__valid=0, o__ready=0)


@bridge
def infer(graph, config, transport, samples):
    """What the device answers, and its counters."""
    device = FabricDevice(graph, config, transport)
    (name,) = graph.inputs
    answers = [device.infer({name: sample[np.newaxis]})[graph.outputs[0]] for sample in samples]
    return np.concatenate(answers), device.counters()


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(layer=list(LAYERS), stalls=STALLS)
async def layers(top, layer, stalls):
    await check(top, "fabric", layer, stalls)


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(layer=ON_COMPACT, stalls=STALLS)
async def layers_on_compact(top, layer, stalls):
    await check(top, "compact", layer, stalls)


async def check(top, fabric, layer, stalls):
    """One layer, some samples: results and counters; before it, half a program and a reset."""
    config = FABRICS[fabric]
    async with Rig(top, "fabric", fabric) as rig:
        model = LAYERS[layer](int(rig.rng.integers(1 << 30)))
        graph = simplify(parse(model))
        plan = schedule(graph, config)
        commands = emit(plan)
        start = np.concatenate([commands.setup, commands.programs[0][0].before, commands.programs[0][0].start])
        await rig.send("i", start[: int(rig.rng.integers(2, len(start) + 1))].tolist(), "none")
        await rig.ticks(int(rig.rng.integers(200)))
        await rig.reset()
        rig.cover(fabric=fabric, reset="mid-stream", layer=layer)

        samples = networks.random_input(model, int(rig.rng.integers(1 << 30)), effort(2))
        samples[0] = (-128, 127)[int(rig.rng.integers(2))]
        transport = Streams(rig, stalls)
        results, counters = await infer(graph, config, transport, samples)
        transport.close()
        (name,) = graph.inputs
        np.testing.assert_array_equal(results, reference.run(graph, {name: samples})[graph.outputs[0]])
        assert counters.samples == len(samples)
        for record in counters.layers.values():
            assert record.cycles == record.busy + record.weights + record.activations + record.output
        streamed = any(job.streamed for segment in plan.segments for job in segment.jobs)
        rig.cover(fabric=fabric, layer=layer, stalls=stalls)
        rig.cover(weights="streamed" if streamed else "resident")

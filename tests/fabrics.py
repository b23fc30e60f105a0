"""Simulated fabrics for tests, built once."""

from fcntl import LOCK_EX, flock
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from zlib import crc32

import networks
import numpy as np
from celosia.host import reference
from celosia.host.cost.model import estimate
from celosia.host.device import Counters
from celosia.host.driver import FabricDevice
from celosia.host.emit import activations_packet, emit, packet
from celosia.host.frontends.tflite import parse
from celosia.host.ir import Graph
from celosia.host.passes import simplify
from celosia.host.programs import PACKET_WORDS
from celosia.host.schedule import Segment, schedule
from celosia.hw.config import FabricConfig
from celosia.hw.isa import Command
from celosia.hw.presets import preset
from celosia.sim.engine import Simulator, build

STARVED = "mini,weight_depth=8,partial_depth=8,tile_depth=8,program_words=144,record_depth=5,depthwise_tiles=2"
"""Nothing fits: weights stream, sums wait, programs are cut."""

SMALL = "mini,activation_bytes=8192"
"""`networks.filling` fills it."""

BINARY = "mini,rows=8,cols=8,requant_lanes=8,xnor_pixels=4"
"""With an XNOR engine that takes up to four planes of bits, as small as that can be."""

WIDE = "mini,widest_bits=16"
"""Takes numbers of 16 bits."""


@cache
def fabric_of(name: str) -> FabricConfig:
    """The fabric, its simulator built: by one worker while the others wait."""
    config = preset(name)
    with open(Path(gettempdir(), f"celosia-tests-{crc32(name.encode()):x}.lock"), "w") as lock:
        flock(lock, LOCK_EX)
        build(config)
    return config


def run_samples(graph: Graph, name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, Counters]:
    """The graph's one output for samples of its input, of the fabric and of the golden models, and what was counted."""
    config = fabric_of(name)
    (source,) = graph.inputs
    device = FabricDevice(graph, config, Simulator(config))
    try:
        found = np.concatenate([device.infer({source: sample[np.newaxis]})[graph.outputs[0]] for sample in x])
        counted = device.counters()
    finally:
        device.close()
    return found, reference.run(graph, {source: x})[graph.outputs[0]], counted


def check_cycles(graph: Graph, name: str, counted: Counters, count: int) -> None:
    """What `count` samples were counted to take is what the cost model says: of every descriptor, and in all."""
    cost = estimate(schedule(graph, fabric_of(name)))
    for record, predicted in zip(counted.descriptors, cost.counters.descriptors, strict=True):
        for part in ("cycles", "busy", "weights", "activations", "output"):
            assert getattr(record, part) == count * getattr(predicted, part)
    assert counted.cycles == count * cost.cycles
    assert counted.bytes_in == count * 4 * cost.words_in


def check_network(model: bytes, fabric: str, *, seed: int = 1, samples: int = 2) -> Counters:
    """A network on a simulated fabric: every output equals golden, every record sums up. Gives the counters."""
    graph = simplify(parse(model))
    simulator = Simulator(fabric_of(fabric))
    device = FabricDevice(graph, fabric_of(fabric), simulator)
    (name,) = graph.inputs
    x = networks.random_input(model, seed, samples=samples)
    expected = reference.run(graph, {name: x})
    outputs = device.infer({name: x})
    for output in graph.outputs:
        np.testing.assert_array_equal(outputs[output], expected[output])
    counters = device.counters()
    cycles = simulator.cycles
    device.close()
    for layer in counters.layers.values():
        assert layer.cycles == layer.busy + layer.weights + layer.activations + layer.output
    assert sum(layer.cycles for layer in counters.layers.values()) <= counters.cycles <= cycles
    return counters


def check_stream(model: bytes, fabric: str, *, samples: int = 3) -> None:
    """A network's inferences in one stream, sent by a host that waits for no answer: the fabric itself makes them wait.

    All of the network is on the fabric, in one segment.
    """
    graph = simplify(parse(model))
    plan = schedule(graph, fabric_of(fabric))
    (step,) = plan.steps
    assert isinstance(step, Segment)
    commands = emit(plan)
    programs = commands.programs[0]
    x = networks.random_input(model, 1, samples=samples)
    words = [commands.setup]
    for sample in x[:, np.newaxis]:
        value = sample.transpose(0, 2, 1, 3) if step.transposed else sample
        words += [programs[0].again if len(programs[0].again) else packet(Command.WAIT, 0)]
        words += [activations_packet(step.memory.addresses[graph.inputs[0]], value)]
        words += [part for program in programs for part in (program.before, program.start, program.after)]
    simulator = Simulator(fabric_of(fabric))
    simulator.write(np.concatenate(words))
    expected = reference.run(graph, {graph.inputs[0]: x})[graph.outputs[0]]
    for answer in expected:
        *_, last = (simulator.read(program.answer_words) for program in programs)
        payload = last[PACKET_WORDS : PACKET_WORDS + programs[-1].results[0].words].view(np.int8)
        np.testing.assert_array_equal(payload[: answer.size].reshape(answer.shape), answer)
    simulator.close()

"""Nonsense for a fabric behind its link, then a new session: the hello is answered, and a good network computes as golden does.

Nonsense is bytes on the wire, whole frames of random words, and packets that the loader takes for real: programs of random
descriptors, started in the middle, weights without end, waits for what never comes.
"""

import contextlib
from functools import cache

import networks
import numpy as np
import wires
from amaranth.hdl import Shape
from amaranth.lib import data
from celosia.host import reference
from celosia.host.driver import FabricDevice
from celosia.host.emit import packet
from celosia.host.frontends.tflite import parse
from celosia.host.passes import simplify
from celosia.host.transport.link import Link
from celosia.hw.config import FabricConfig
from celosia.hw.isa import DESCRIPTOR_WORDS, Command, Descriptor, Operation
from celosia.hw.presets import preset
from celosia.sim.errors import DeviceError
from fabrics import BINARY, WIDE

COUNT = 400
"""Rounds of the long run."""

FABRICS = ("mini", "up5k", BINARY, WIDE)
_ROUNDS = 4  # of nonsense before one good network
_NETWORKS = (networks.conv(1, (1, 4, 4, 3), 5, (3, 3)), networks.fully_connected(2, (1, 24), 6), networks.pool(3, (1, 4, 4, 3)))


@cache
def _graph(index: int):
    return simplify(parse(_NETWORKS[index]))


def random_words(rng: np.random.Generator, config: FabricConfig) -> np.ndarray:
    """Packets, most of them well formed, and among them words that are none."""
    parts = []
    for _ in range(rng.integers(1, 12)):
        command = rng.choice([*Command, Command.START, Command.LOAD_PROGRAM])
        count = int(rng.choice([0, 1, 3, 8, 40]))
        address = int(rng.integers(0, 1 << int(rng.choice([4, 10, 32]))))
        if rng.random() < 0.1:  # no packet
            parts.append(rng.integers(0, 1 << 32, count, dtype=np.uint32))
        elif command is Command.LOAD_PROGRAM:
            descriptors = [_descriptor(rng) for _ in range(rng.integers(1, 5))]
            begin = int(rng.choice([0, DESCRIPTOR_WORDS, address % config.program_words]))
            parts.append(packet(command, begin, np.concatenate(descriptors)))
        elif command in (Command.START, Command.WAIT, Command.SET_RING, Command.NOP):
            near = int(rng.choice([0, DESCRIPTOR_WORDS, address]))
            parts.append(packet(command, near))
        else:
            parts.append(packet(command, address, rng.integers(0, 1 << 32, count, dtype=np.uint32)))
    words = np.concatenate(parts).astype(np.uint32)
    return words[: rng.integers(len(words) + 1)] if rng.random() < 0.3 else words


def _descriptor(rng: np.random.Generator) -> list[int]:
    """Noise, or noise around an operation that there is and loops that end."""
    bits = int.from_bytes(rng.bytes(4 * DESCRIPTOR_WORDS), "little")
    if rng.random() < 0.7:
        sizes = {name: int(rng.choice([1, 1, 2, 3, 5])) for name in _LOOPS}
        operation = Operation(int(rng.integers(len(Operation))))
        bits = bits & ~_SET | Descriptor.const({"operation": operation, **sizes}).as_value().value
    return [bits >> 32 * word & 0xFFFFFFFF for word in range(DESCRIPTOR_WORDS)]


_LOOPS = ("kernel_rows", "kernel_columns", "chunks", "output_columns", "output_rows", "tiles", "length")
_SET = sum(
    ((1 << Shape.cast(field.shape).width) - 1) << field.offset
    for name, field in data.Layout.cast(Descriptor)
    if name in (*_LOOPS, "operation")
)
"""The bits of those fields."""


def nonsense(rng: np.random.Generator, simulator, config: FabricConfig) -> str:
    """One piece of it; gives its kind."""
    kind = str(rng.choice(["bytes", "words", "torn"]))
    if kind == "bytes":
        noise = rng.bytes(int(rng.integers(1, 600)))
        simulator.exchange(noise, len(noise) * 10 * wires.CYCLES_PER_BIT + int(rng.integers(2000)))
        return kind
    link = _open(simulator, config)
    link.write(random_words(rng, config))
    if kind == "torn":
        simulator.exchange(rng.bytes(int(rng.integers(1, 60))), 4000)
    else:
        with contextlib.suppress(DeviceError):  # where it has nothing to say
            link.read(int(rng.integers(1, 4)))
    simulator.exchange(b"", int(rng.integers(1, 30_000)))
    return kind


def _open(simulator, config: FabricConfig) -> Link:
    port = wires.WirePort(simulator)
    return Link(port, name=config.name, baud=wires.BAUD, clock=port.clock, patience=0.01, timeout=0.05)


def check_commands(seed: int, fabric: str | None = None) -> None:
    """Some rounds of nonsense, then a good network. A failure names the seed."""
    rng = np.random.default_rng(seed)
    config = preset(fabric or FABRICS[seed % len(FABRICS)])
    simulator = wires.fabric(config)
    kinds = []
    try:
        for _ in range(_ROUNDS):
            kinds.append(nonsense(rng, simulator, config))
            index = int(rng.integers(len(_NETWORKS)))
            _check_network(simulator, config, index, seed)
    except Exception as error:
        raise AssertionError(f"check_commands({seed}) on {config.name}, after {', '.join(kinds)}: {error}") from error
    finally:
        simulator.close()


def _check_network(simulator, config: FabricConfig, index: int, seed: int) -> None:
    graph = _graph(index)
    port = wires.WirePort(simulator)
    link = Link(port, name=config.name, baud=wires.BAUD, clock=port.clock, patience=0.01, timeout=2.0)
    device = FabricDevice(graph, config, link)
    x = networks.random_input(_NETWORKS[index], seed)
    (name,), (output,) = graph.inputs, graph.outputs
    np.testing.assert_array_equal(device.infer({name: x})[output], reference.run(graph, {name: x})[output])

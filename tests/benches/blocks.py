"""Which bench has which blocks. To add a bench: an entry here, its plan in `plan.toml`, its tests in `bench_NAME.py`.

All blocks are in one simulator, each with a clock of its own, so that it is built once; those that a bench leaves alone cost
it nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from celosia.hw.compact.columns import Columns
from celosia.hw.fabric import Fabric
from celosia.hw.link.endpoint import Endpoint
from celosia.hw.link.uart import UartReceiver, UartTransmitter
from celosia.hw.mac.array import SystolicArray
from celosia.hw.mac.cell import PairCell
from celosia.hw.mac.depthwise import DepthwiseUnit
from celosia.hw.memory.walker import WindowWalker
from celosia.hw.memory.weights import WeightBuffer
from celosia.hw.post.post import PostProcessor
from celosia.hw.post.requantize import RequantizeLane
from celosia.hw.post.vector import VectorUnit
from celosia.hw.presets import preset
from celosia.hw.xnor.engine import XnorEngine
from celosia.sim.verilog import verilog_of

from .netlists import Synthesised, modelled, synthesise

Blocks = dict[str, Callable[[], Any]]

CELL_DEPTH = 128  # on the ECP5 a block RAM: distributed memory is not as deep

MINI = replace(preset("mini"), weight_depth=8, activation_bytes=4096, tile_depth=8, depthwise_tiles=4, line_depth=16)

ARRAYS = {  # by size: a block's name, and its configuration
    "4x4 with carries": ("array_4", replace(MINI, carry_rows=1)),
    "8x8 in three groups": ("array_8", replace(MINI, rows=8, cols=8, row_groups=3)),
    "4x4 of 16 bits": ("array_of_16", replace(MINI, widest_bits=16)),
}

DEPTHWISE = {  # by cycles in which the requantizer takes a result
    "1": ("depthwise", replace(MINI, requant_lanes=4)),
}

WALKERS = {  # by the same
    "1": ("walker_1", replace(MINI, requant_lanes=4)),
    "4": ("walker_4", replace(MINI, requant_lanes=1)),
}

POSTS = {
    "2": ("post_2", MINI),
    "4": ("post_4", replace(MINI, requant_lanes=1)),
}

POST_OF_16 = replace(MINI, widest_bits=16, partial_depth=32)

XNORS = {  # by pixels
    "1": ("xnor_1", replace(MINI, rows=16, cols=16, requant_lanes=8, xnor_pixels=1, weight_depth=256)),
    "2": ("xnor_2", replace(MINI, rows=8, cols=8, requant_lanes=8, row_groups=3, xnor_pixels=2, weight_depth=256)),
}

UARTS = {  # by cycles a bit
    "4": ("uart_4", 4.0),
    "10.4": ("uart_10", 10.4),
}

FABRIC = replace(
    MINI,
    name="bench",
    weight_depth=128,
    tile_depth=16,
    partial_depth=16,
    program_words=256,
    record_depth=8,
)


COMPACT = replace(preset("up5k"), name="bench compact", weight_depth=256, activation_bytes=4096, tile_depth=16)

FABRICS = {"fabric": FABRIC, "compact": COMPACT}  # by the block's name

SYNTHESISED: dict[
    str, tuple[str, Callable[[], Any]]
] = {  # by name: blocks that the benches see as netlists, and for which chip
    "cell_on_ecp5": ("ecp5", lambda: PairCell(rows=4, depth=CELL_DEPTH)),
    "columns_on_ice40": ("ice40", lambda: Columns(COMPACT)),
}


class UartLoop(wiring.Component):
    """Transmitter and receiver at the ends of one wire, which `flip` turns over."""

    i: In(stream.Signature(8))
    o: Out(stream.Signature(8))
    flip: In(1)

    def __init__(self, cycles: float):
        self._rates = {"clock_hz": cycles, "baud": 1.0}
        super().__init__()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.transmitter = transmitter = UartTransmitter(**self._rates)
        m.submodules.receiver = receiver = UartReceiver(**self._rates)
        connect(m, flipped(self.i), transmitter.i)
        connect(m, receiver.o, flipped(self.o))
        m.d.comb += receiver.rx.eq(transmitter.tx ^ self.flip)
        return m


BENCHES: dict[str, Blocks] = {
    "mac": {
        "cell": lambda: PairCell(rows=4, depth=CELL_DEPTH),
        "carry_cell": lambda: PairCell(rows=4, depth=CELL_DEPTH, carries=True),
        **{name: partial(SystolicArray, config) for name, config in ARRAYS.values()},
    },
    "depthwise": {name: partial(DepthwiseUnit, config) for name, config in DEPTHWISE.values()},
    "weights": {
        "weights": lambda: WeightBuffer(MINI, step_latency=WindowWalker.LATENCY + SystolicArray.read_latency_of(MINI)),
    },
    "walker": {name: partial(WindowWalker, config) for name, config in WALKERS.values()},
    "requantize": {
        "lane_2": lambda: RequantizeLane(multipliers=2),
        "lane_1": lambda: RequantizeLane(multipliers=1),
        "lane_0": lambda: RequantizeLane(multipliers=0),
    },
    "post": {
        **{name: partial(PostProcessor, config) for name, config in POSTS.values()},
        "post_of_bits": lambda: PostProcessor(XNORS["2"][1]),
        "post_of_16": lambda: PostProcessor(POST_OF_16),
    },
    "vector": {"vector": lambda: VectorUnit(MINI), "vector_of_bits": lambda: VectorUnit(XNORS["2"][1])},
    "xnor": {name: partial(XnorEngine, config, word_latency=SystolicArray.LEVEL_LATENCY) for name, config in XNORS.values()},
    "link": {
        "endpoint": lambda: Endpoint(preset("mini")),
        **{name: partial(UartLoop, cycles) for name, cycles in UARTS.values()},
    },
    "fabric": {name: partial(Fabric, config) for name, config in FABRICS.items()},
    "netlist": {name: partial(Synthesised, make(), name, name) for name, (_, make) in SYNTHESISED.items()},
}


def verilog_of_benches(*benches: str) -> str:
    """The blocks of these benches, and the netlists among them, as Verilog."""
    blocks = {name: make() for bench in benches for name, make in BENCHES[bench].items()}
    netlists = [
        modelled(synthesise(name, make(), chip), chip, module=name)
        for name, (chip, make) in SYNTHESISED.items()
        if name in blocks
    ]
    return "\n".join([verilog_of(blocks), *netlists])

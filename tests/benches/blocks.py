"""Which bench has which blocks. To add a bench: an entry here, its plan in `plan.toml`, its tests in `bench_NAME.py`.

All blocks are in one simulator, each with a clock of its own, so that it is built once; those that a bench leaves alone cost
it nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from celosia.hw.config import preset
from celosia.hw.mac.array import SystolicArray
from celosia.hw.mac.cell import PairCell
from celosia.hw.mac.depthwise import DepthwiseUnit
from celosia.hw.memory.walker import WindowWalker
from celosia.hw.memory.weights import WeightBuffer
from celosia.hw.post.post import PostProcessor
from celosia.hw.post.requantize import RequantizeLane
from celosia.hw.post.vector import VectorUnit

Blocks = dict[str, Callable[[], Any]]

CELL_DEPTH = 16

MINI = replace(preset("mini"), weight_depth=8, activation_bytes=4096, tile_depth=8, depthwise_tiles=4, line_depth=16)

ARRAYS = {  # by size: a block's name, and its configuration
    "4x4": ("array_4", MINI),
    "4x4 with carries": ("array_carries", replace(MINI, carry_rows=2)),
    "8x8 in three groups": ("array_8", replace(MINI, rows=8, cols=8, row_groups=3)),
}

DEPTHWISE = {  # by cycles in which the requantizer takes a result
    "1": ("depthwise_1", replace(MINI, requant_lanes=4)),
    "2": ("depthwise_2", MINI),
}

WALKERS = {  # by the same
    "1": ("walker_1", replace(MINI, requant_lanes=4)),
    "4": ("walker_4", replace(MINI, requant_lanes=1)),
}

POSTS = {
    "1": ("post_1", replace(MINI, requant_lanes=4, requant_multipliers=2)),
    "2": ("post_2", MINI),
}

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
        "lane": lambda: RequantizeLane(multipliers=True),
        "carry_lane": lambda: RequantizeLane(multipliers=False),
    },
    "post": {name: partial(PostProcessor, config) for name, config in POSTS.values()},
    "vector": {"vector": lambda: VectorUnit(MINI)},
}


def all_blocks() -> dict[str, Any]:
    """Every block of every bench, new."""
    return {name: make() for blocks in BENCHES.values() for name, make in blocks.items()}

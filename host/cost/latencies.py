"""Cycles that the fabric's units take besides their work, from the classes that take them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ...hw.config import FabricConfig
from ...hw.fabric import Fabric
from ...hw.isa import Operation
from ...hw.mac.array import SystolicArray
from ...hw.mac.depthwise import DepthwiseUnit
from ...hw.memory.walker import WindowWalker
from ...hw.memory.weights import WeightBuffer
from ...hw.post.post import PostProcessor
from ...hw.post.vector import VectorUnit
from ...hw.sequencer import Sequencer
from ...hw.store import Store
from ...hw.xnor.engine import XnorEngine
from ...hw.xnor.writer import XnorWriter


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """Cycles between events of one fabric.

    fetch       from a start, or from a descriptor's turn, to the next one's at the earliest
    launch      from a descriptor's turn to its unit's start
    start       from that to the walker's first step
    walk        from a step to its activations at the engines
    engine      from a result's last step to its sums, by operation
    post        from a layer's last sums to its last byte's being in memory, by whether the layer is wide
    kept        the same where the sums stay as partial sums
    store       cycles of STORE from its start on, besides one a word
    stored      from its last word to its end
    load        from the last stream word of a weight word in the ring to the first step that may take it
    release     from the last step that takes a ring word to the first stream word that may overwrite it
    """

    fetch: int
    launch: int
    start: int
    walk: int
    engine: Mapping[Operation, int]
    post: Mapping[bool, int]
    kept: int
    store: int
    stored: int
    load: int
    release: int

    def drain(self, operation: Operation, *, wide: bool = False, kept: bool = False) -> int:
        """Cycles from a layer's last step to the end of its descriptor, but for what the XNOR engine's last block takes."""
        if operation is Operation.XNOR:
            return self.walk + self.engine[operation] + XnorWriter.DONE_LATENCY
        return self.walk + self.engine[operation] + (self.kept if kept else self.post[wide])


@cache
def latencies_of(config: FabricConfig) -> Latencies:
    """The latencies of a fabric."""
    array = SystolicArray.latency_of(config)
    words = SystolicArray.LEVEL_LATENCY
    return Latencies(
        # The sequencer counts a turn as what follows it: a fetch ends before a turn, and a layer's end comes before one.
        fetch=Sequencer.FETCH_CYCLES + 1,
        launch=Sequencer.LAUNCH_CYCLES - 1,
        start=WindowWalker.START_LATENCY,
        walk=WindowWalker.LATENCY,
        engine={
            Operation.MAC: array,
            Operation.DEPTHWISE: DepthwiseUnit.LATENCY + Fabric.MERGE_LATENCY,
            **dict.fromkeys((Operation.MAX, Operation.ADD, Operation.OR), VectorUnit.LATENCY + Fabric.MERGE_LATENCY),
            Operation.XNOR: XnorEngine.latency_of(config, word_latency=words),
            Operation.SERIAL: XnorEngine.serial_latency_of(config, word_latency=words) + Fabric.MERGE_LATENCY,
        },
        post={wide: PostProcessor.latency_of(config, wide=wide) for wide in (False, True)},
        kept=PostProcessor.KEPT_LATENCY,
        store=Store.OVERHEAD_CYCLES,
        stored=Store.DONE_LATENCY,
        load=WeightBuffer.LOAD_LATENCY,
        release=Fabric.step_latency_of(config) + WeightBuffer.RELEASE_LATENCY,
    )

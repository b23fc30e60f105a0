"""From a graph to the jobs of a fabric: which nodes run there, where tensors lie, which weights stay, what streams.

    graph --> segments (runs of fabric nodes whose tensors fit) --> memory plan
                                                                --> residency of weights --> jobs (one descriptor each)

A job is one descriptor: a whole layer, or a part of one where its weights come through the ring.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..hw.config import FabricConfig
from .ir import Graph, Node, Reshape
from .jobs import Job, jobs_of
from .lower import Layer, lower_transposed
from .memory import MemoryPlan, plan_memory
from .placement import Placement, place


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """A run of nodes on the fabric, between tensors that the host sends and fetches."""

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    memory: MemoryPlan
    jobs: tuple[Job, ...] = ()

    @property
    def transposed(self) -> frozenset[str]:
        """Inputs that the host sends with height and width exchanged."""
        return frozenset(job.layer.inputs[0] for job in self.jobs if job.layer.transposed)


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """Everything that emission needs. `steps` alternates segments and nodes of the CPU, in the graph's order."""

    graph: Graph
    config: FabricConfig
    placements: tuple[Placement, ...]
    steps: tuple[Segment | Node, ...]
    ring_base: int
    ring_size: int

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments, in order."""
        return tuple(step for step in self.steps if isinstance(step, Segment))


def schedule(graph: Graph, config: FabricConfig) -> Schedule:
    """Plans a graph for a fabric."""
    placements = place(graph, config)
    layers = {placement.node.name: placement.layer for placement in placements if placement.layer is not None}
    steps = _cut(graph, config, placements)
    for step in steps:
        if isinstance(step, Segment):
            layers.update(_transposed(step, graph, config))
    order = [layers[node.name] for step in steps if isinstance(step, Segment) for node in step.nodes if node.name in layers]
    resident_tiles, ring_base = _residency(order, config)
    ring_size = config.weight_depth - ring_base
    planned: list[Segment | Node] = []
    for step in steps:
        if isinstance(step, Segment):
            jobs = [
                job
                for node in step.nodes
                if node.name in layers
                for job in jobs_of(layers[node.name], resident_tiles[node.name], ring_size, config)
            ]
            step = replace(step, jobs=tuple(jobs))
        planned.append(step)
    return Schedule(
        graph=graph,
        config=config,
        placements=placements,
        steps=tuple(planned),
        ring_base=ring_base,
        ring_size=ring_size,
    )


def _cut(graph: Graph, config: FabricConfig, placements: Sequence[Placement]) -> list[Segment | Node]:
    """Runs of fabric nodes as long as their tensors fit; CPU nodes in between. Reshapes go with their neighbours."""
    steps: list[Segment | Node] = []
    run: list[Node] = []
    done: Segment | None = None

    def close() -> None:
        nonlocal done
        if done is not None:
            steps.append(done)
        elif run:
            steps.extend(run)  # nothing but reshapes
        run.clear()
        done = None

    for placement in placements:
        node = placement.node
        if placement.engine == "cpu":
            close()
            steps.append(node)
            continue
        if isinstance(node, Reshape) and not run:
            steps.append(node)
            continue
        longer = _segment(graph, [*run, node], config)
        if longer is None:
            close()
            longer = _segment(graph, [node], config)
            assert longer is not None, "placement has checked that a node fits alone"
        run.append(node)
        done = longer
    close()
    return steps


def _segment(graph: Graph, nodes: Sequence[Node], config: FabricConfig) -> Segment | None:
    """The segment of these nodes, or None where its tensors do not fit."""
    made = {node.output for node in nodes}
    inputs = tuple(dict.fromkeys(name for node in nodes for name in node.inputs if name not in made))
    inside = {node.name for node in nodes}
    outputs = tuple(
        node.output
        for node in nodes
        if node.output in graph.outputs or any(user.name not in inside for user in graph.consumers(node.output))
    )
    memory = plan_memory(graph, nodes, inputs, outputs, config.activation_bytes)
    if memory is None:
        return None
    return Segment(nodes=tuple(nodes), inputs=inputs, outputs=outputs, memory=memory)


def _transposed(segment: Segment, graph: Graph, config: FabricConfig) -> dict[str, Layer]:
    """Better layers, by node name, for convolutions that alone read an input of the segment: the host turns it over."""
    better = {}
    for name in segment.inputs:
        readers = [node for node in segment.nodes if name in node.inputs]
        layer = lower_transposed(readers[0], graph, config) if len(readers) == 1 else None
        if layer is not None:
            better[readers[0].name] = layer
    return better


def _residency(layers: Sequence[Layer], config: FabricConfig) -> tuple[dict[str, int], int]:
    """How many tiles of each layer stay in the weight buffer (the first ones), and where the ring begins.

    Layers with many results a tile stream first: the array works on a tile for as long as the next one loads. Where there is
    none, a layer near the network's begin shares the ring with one near its end: the ring comes filled for the first, and has
    all the time between to fill for the second.
    """
    tiles = {layer.node.name: layer.tiles for layer in layers}
    # Pooling's identity word is kept once, whatever the number of pools.
    total = sum(layer.words for layer in layers if not layer.repeat) + any(layer.words for layer in layers if layer.repeat)
    if total <= config.weight_depth:
        return tiles, total

    def least_ring(layer: Layer) -> int:
        # Two tiles, so that one loads while the other works; a layer of one result a tile flows through any ring.
        return 2 * layer.steps if layer.results > 1 else 8

    pair = _two_ends(layers, total - config.weight_depth)
    if pair is not None:
        for layer, count in pair:
            tiles[layer.node.name] -= count
            total -= count * layer.steps
        return tiles, total

    ring = 0
    candidates = [layer for layer in reversed(layers) if layer.words and not layer.repeat]
    for layer in sorted(candidates, key=lambda layer: -layer.results):
        ring = min(config.weight_depth, max(ring, least_ring(layer)))
        resident = total - layer.words
        room = config.weight_depth - ring - resident
        if room >= 0:
            kept = min(room // layer.steps, layer.tiles)
            tiles[layer.node.name] = kept
            return tiles, resident + kept * layer.steps
        tiles[layer.node.name] = 0
        total = resident
    return tiles, total


def _two_ends(layers: Sequence[Layer], excess: int) -> list[tuple[Layer, int]] | None:
    """Two layers of one result a tile, and how many tiles of each to stream through a ring of one's share.

    None where a layer has more results (it hides its streaming better), or no two layers have room.
    """
    weighted = [layer for layer in layers if layer.words and not layer.repeat]
    if any(layer.results > 1 for layer in weighted):
        return None
    for steps in sorted({layer.steps for layer in weighted}):
        count = -(-excess // steps)
        fitting = [layer for layer in weighted if layer.steps == steps and layer.tiles >= count]
        if len(fitting) > 1:
            return [(fitting[0], count), (fitting[-1], count)]
    return None

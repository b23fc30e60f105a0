"""From a graph to the jobs of a fabric: which nodes run there, where tensors lie, which weights stay, what streams.

    graph --> segments (runs of fabric nodes whose tensors fit) --> memory plan
                                                                --> residency of weights --> jobs (one descriptor each)

A job is one descriptor: a whole layer, or a part of one where its weights come through the ring. Where there are several ways
to divide the weights between those that stay and those that stream, the cost model picks the one of fewest cycles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..hw.config import FabricConfig
from .cost.model import estimate
from .ir import Graph, Node, Reshape
from .jobs import Job, jobs_of
from .lowering import Layer, lower_transposed
from .memory import MemoryPlan, plan_memory
from .passes.pack_bits import pack_bits
from .placement import Placement, place
from .residency import Residency, residencies


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """A run of nodes on the fabric, between tensors that the host sends and fetches.

    Behind the first `again` nodes the inputs of the next inference may come; None where they cannot until it has ended.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    memory: MemoryPlan
    again: int | None = None
    jobs: tuple[Job, ...] = ()

    @property
    def jobs_before_next(self) -> int | None:
        """Jobs that are done before the inputs of the next inference may come."""
        if self.again is None:
            return None
        names = {node.name for node in self.nodes[: self.again]}
        return sum(job.layer.node.name in names for job in self.jobs)

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
    graph = pack_bits(graph, config)
    placements = place(graph, config)
    layers = {placement.node.name: placement.layer for placement in placements if placement.layer is not None}
    steps = _overlapped(_cut(graph, config, placements), graph, config)
    for step in steps:
        if isinstance(step, Segment):
            layers.update(_transposed(step, graph, config))
    order = [layers[node.name] for step in steps if isinstance(step, Segment) for node in step.nodes if node.name in layers]
    bare = Schedule(graph=graph, config=config, placements=placements, steps=tuple(steps), ring_base=0, ring_size=0)
    plans = [_with_jobs(bare, layers, choice) for choice in residencies(order, config)]
    return plans[0] if len(plans) == 1 else min(plans, key=_cost)


def _with_jobs(plan: Schedule, layers: Mapping[str, Layer], residency: Residency) -> Schedule:
    """The plan whose weights stay and stream as `residency` says."""
    ring_size = plan.config.weight_depth - residency.ring_base
    planned: list[Segment | Node] = []
    for step in plan.steps:
        if isinstance(step, Segment):
            jobs = [
                job
                for node in step.nodes
                if node.name in layers
                for job in jobs_of(layers[node.name], residency.tiles[node.name], ring_size, plan.config)
            ]
            step = replace(step, jobs=tuple(jobs))
        planned.append(step)
    return replace(plan, steps=tuple(planned), ring_base=residency.ring_base, ring_size=ring_size)


def _cost(plan: Schedule) -> tuple[int, int]:
    """Cycles of an inference with all that is sent ahead of it, the ring's first words too; then what streams in all."""
    cost = estimate(plan)
    return cost.cycles + sum(run.words_before for run in cost.runs), cost.words_in


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


def _overlapped(steps: list[Segment | Node], graph: Graph, config: FabricConfig) -> list[Segment | Node]:
    """The steps; a segment that is the only one has room for the next inputs as early as memory allows.

    With several, the fabric waits for the host between them, and the compact fabric does until a program has ended.
    """
    segments = [step for step in steps if isinstance(step, Segment)]
    if len(segments) != 1 or config.compact:
        return steps
    (segment,) = segments
    for again in range(1, len(segment.nodes)):
        memory = plan_memory(graph, segment.nodes, segment.inputs, segment.outputs, config.activation_bytes, again=again)
        if memory is not None:
            roomy = replace(segment, memory=memory, again=again)
            return [roomy if step is segment else step for step in steps]
    return steps


def _transposed(segment: Segment, graph: Graph, config: FabricConfig) -> dict[str, Layer]:
    """Better layers, by node name, for convolutions that alone read an input of the segment: the host turns it over."""
    better = {}
    for name in segment.inputs:
        readers = [node for node in segment.nodes if name in node.inputs]
        layer = lower_transposed(readers[0], graph, config) if len(readers) == 1 else None
        if layer is not None:
            better[readers[0].name] = layer
    return better

"""Memory plans: played step by step, no tensor is written over while somebody still needs it."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from celosia.host.ir import AveragePool2D, Graph, Node, Reshape, Tensor
from celosia.host.memory import plan_memory
from hypothesis import given
from hypothesis import strategies as st

PLENTY = 1 << 40


@dataclass(frozen=True)
class Segment:
    """A run of nodes with what it takes and gives."""

    graph: Graph
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def plan(self, size=PLENTY, again=None):
        return plan_memory(self.graph, self.graph.nodes, self.inputs, self.outputs, size, again=again)

    def holder(self, name):
        """The tensor whose bytes are `name`'s: a reshape moves none."""
        for node in reversed(self.graph.nodes):
            if isinstance(node, Reshape) and node.output == name:
                name = node.inputs[0]
        return name


def operation(name: str, inputs: tuple[str, ...], output: str) -> Node:
    """Any node that computes; the plan asks for no more than its tensors."""
    return AveragePool2D(name=name, inputs=inputs, output=output, kernel=(1, 1), stride=(1, 1))


@st.composite
def segments(draw):
    """Random graphs: operations of one or two inputs and reshapes, any of whose tensors may be an output."""
    inputs = [f"in{index}" for index in range(draw(st.integers(1, 3)))]
    sizes = {name: draw(st.integers(1, 50)) for name in inputs}
    nodes: list[Node] = []
    for step in range(draw(st.integers(1, 9))):
        sources = tuple(draw(st.lists(st.sampled_from(sorted(sizes)), min_size=1, max_size=2)))
        output = f"t{step}"
        if draw(st.integers(0, 3)) == 0:
            sizes[output] = sizes[sources[0]]
            nodes.append(Reshape(name=output, inputs=sources[:1], output=output, shape=(1, sizes[output])))
        else:
            sizes[output] = draw(st.integers(1, 50))
            nodes.append(operation(output, sources, output))
    outputs = draw(st.sets(st.sampled_from([node.output for node in nodes]), min_size=1))
    graph = Graph(
        name="random",
        tensors={name: Tensor(name=name, shape=(1, size)) for name, size in sizes.items()},
        nodes=tuple(nodes),
        inputs=tuple(inputs),
        outputs=tuple(sorted(outputs)),
    )
    return Segment(graph, tuple(inputs), tuple(sorted(outputs)))


def play(segment: Segment, addresses, again=None) -> None:
    """Runs the nodes on a memory that knows whose each byte is; the output of a node is written while its inputs are read.

    Behind the first `again` nodes the next inputs come, and are there at the end.
    """
    owner: dict[int, str] = {}
    name_of: dict[str, str] = {}  # a reshape's tensor is its input's bytes

    def write(name):
        name_of[name] = name
        for byte in range(segment.graph.tensors[name].size):
            owner[addresses[name] + byte] = name

    def check(name):
        for byte in range(segment.graph.tensors[name].size):
            assert owner[addresses[name] + byte] == name_of[name], f"{name} is written over"

    for name in segment.inputs:
        write(name)
    for step, node in enumerate((*segment.graph.nodes, None)):
        if step == again:
            for name in segment.inputs:
                write(name)
        if node is None:
            break
        if isinstance(node, Reshape):
            assert addresses[node.output] == addresses[node.inputs[0]]
            name_of[node.output] = name_of[node.inputs[0]]
            continue
        write(node.output)
        for name in node.inputs:
            check(name)
    for name in segment.outputs if again is None else (*segment.outputs, *segment.inputs):
        check(name)


@given(segments())
def test_nothing_is_written_over_while_it_is_needed(segment):
    plan = segment.plan()
    assert plan is not None
    assert set(plan.addresses) == set(segment.graph.tensors)
    assert all(address % 4 == 0 for address in plan.addresses.values()), "a packet's address is a multiple of 4"
    play(segment, plan.addresses)


@given(segments(), st.data())
def test_the_next_inputs_come_while_the_last_nodes_run(segment, data):
    """What is written behind the first nodes stays to the end, and nothing that is still needed lies there."""
    nodes = segment.graph.nodes
    again = data.draw(st.integers(1, len(nodes)))
    plan = segment.plan(again=again)
    needed = [segment.holder(name) for node in nodes[again:] for name in node.inputs]
    if {*needed, *map(segment.holder, segment.outputs)} & {*segment.inputs}:
        assert plan is None
    else:
        play(segment, plan.addresses, again)


@given(segments())
def test_used_is_what_it_takes(segment):
    plan = segment.plan()
    tensors = segment.graph.tensors
    assert plan.used == max(plan.addresses[name] + -(-tensors[name].size // 4) * 4 for name in plan.addresses)
    assert segment.plan(plan.used) == plan
    assert segment.plan(plan.used - 1) is None


def chain(*sizes: int) -> Segment:
    """A network without branches."""
    names = [f"t{index}" for index in range(len(sizes))]
    nodes = tuple(operation(b, (a,), b) for a, b in pairwise(names))
    tensors = {name: Tensor(name=name, shape=(1, size)) for name, size in zip(names, sizes, strict=True)}
    graph = Graph(name="chain", tensors=tensors, nodes=nodes, inputs=names[:1], outputs=names[-1:])
    return Segment(graph, (names[0],), (names[-1],))


@pytest.mark.parametrize("length", [2, 3, 8, 20])
def test_a_chain_takes_two_buffers(length):
    assert chain(*[100] * length).plan().used == 200


def test_a_chain_takes_its_largest_pair():
    assert chain(40, 400, 80, 100, 12).plan().used == 480


def test_sizes_are_rounded_up_to_words():
    plan = chain(5, 3, 1).plan()
    assert plan.used == 12
    assert sorted({plan.addresses["t0"], plan.addresses["t1"]}) in ([0, 4], [0, 8])


def test_a_skipped_tensor_waits():
    """A residual connection: the input lives through the branch, so three buffers; afterwards two again."""
    sizes = dict.fromkeys(("x", "a", "b", "sum", "y"), 64)
    nodes = (
        operation("a", ("x",), "a"),
        operation("b", ("a",), "b"),
        operation("sum", ("x", "b"), "sum"),
        operation("y", ("sum",), "y"),
    )
    graph = Graph(
        name="residual",
        tensors={name: Tensor(name=name, shape=(1, size)) for name, size in sizes.items()},
        nodes=nodes,
        inputs=("x",),
        outputs=("y",),
    )
    segment = Segment(graph, ("x",), ("y",))
    plan = segment.plan()
    assert plan.used == 3 * 64
    play(segment, plan.addresses)


def test_a_reshape_takes_nothing_and_keeps_its_input_alive():
    tensors = {name: Tensor(name=name, shape=(1, 64)) for name in ("x", "flat", "a", "b")}
    nodes = (
        Reshape(name="flat", inputs=("x",), output="flat", shape=(1, 64)),
        operation("a", ("x",), "a"),
        operation("b", ("flat", "a"), "b"),
    )
    graph = Graph(name="reshape", tensors=tensors, nodes=nodes, inputs=("x",), outputs=("b",))
    segment = Segment(graph, ("x",), ("b",))
    plan = segment.plan()
    assert plan.used == 3 * 64
    play(segment, plan.addresses)

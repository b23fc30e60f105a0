"""Where the tensors of a segment lie in activation memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..hw.config import STREAM_BYTES
from .ir import Graph, Node, Reshape


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Byte address of each tensor, and the bytes used. A reshape's output has its input's address."""

    addresses: Mapping[str, int]
    used: int


def plan_memory(
    graph: Graph,
    nodes: Sequence[Node],
    inputs: Sequence[str],
    outputs: Sequence[str],
    size: int,
    *,
    again: int | None = None,
) -> MemoryPlan | None:
    """Addresses for the tensors of `nodes`, so that none overlaps another while both are alive, or None if `size` is too small.

    Inputs are alive from the beginning, outputs to the end. Behind the first `again` nodes, where that is not None, inputs are
    alive once more, which are those of the next inference; None if one of them is still read then. The largest tensor is placed
    first, each at the lowest address that is free for its whole life.
    """
    holder: dict[str, str] = {name: name for name in inputs}
    born: dict[str, int] = dict.fromkeys(inputs, 0)
    dies: dict[str, int] = dict.fromkeys(inputs, 0)
    for step, node in enumerate(nodes):
        for name in node.inputs:
            dies[holder[name]] = step
        if isinstance(node, Reshape):
            holder[node.output] = holder[node.inputs[0]]
        else:
            holder[node.output] = node.output
            born[node.output] = step
        dies[holder[node.output]] = step
    for name in outputs:
        dies[holder[name]] = len(nodes)

    lives = {name: [(born[name], dies[name])] for name in born}
    if again is not None:
        if any(dies[name] >= again for name in inputs):
            return None
        for name in inputs:
            lives[name].append((again, len(nodes)))

    addresses: dict[str, int] = {}
    placed: list[tuple[int, int, str]] = []
    used = 0
    for name in sorted(born, key=lambda name: (-graph.tensors[name].stored_bytes, born[name])):
        need = -(-graph.tensors[name].stored_bytes // STREAM_BYTES) * STREAM_BYTES
        address = 0
        for begin, end, other in sorted(placed):
            if begin < address + need and address < end and _meet(lives[name], lives[other]):
                address = end
        addresses[name] = address
        placed.append((address, address + need, name))
        used = max(used, address + need)
    if used > size:
        return None
    return MemoryPlan(addresses={name: addresses[owner] for name, owner in holder.items()}, used=used)


def _meet(lives: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> bool:
    """Whether two tensors are alive at one step, each from the first to the last of its steps."""
    return any(begin <= last and first <= end for begin, end in lives for first, last in others)

"""Where every node of a graph runs, and if not on the fabric, why and what would help."""

from dataclasses import dataclass

from .ir import Graph, Node


@dataclass(frozen=True, kw_only=True)
class Placement:
    """One node's place. `engine` is "mac" (the systolic array), "vector" (add, max pooling), "cpu" (the golden model)
    or "none" (costs nothing: a reshape). `reason` says why it is not on the fabric and `advice` what would help."""

    node: Node
    engine: str
    reason: str = ""
    advice: str = ""


def place(graph: Graph, config: object) -> tuple[Placement, ...]:
    """One placement a node, in the graph's order."""
    return tuple(Placement(node=node, engine="cpu", reason="TODO") for node in graph.nodes)

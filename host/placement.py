"""Where every node of a graph runs, and if not on the fabric, why and what would help."""

from dataclasses import dataclass, field

from ..hw.config import FabricConfig
from ..hw.isa import Operation
from .ir import Graph, Node, Reshape
from .lowering import Layer, Unsupported, lower
from .passes.pack_bits import pack_bits

_ENGINES = {
    Operation.MAC: "mac",
    Operation.DEPTHWISE: "depthwise",
    Operation.MAX: "vector",
    Operation.ADD: "vector",
    Operation.OR: "vector",
    Operation.XNOR: "xnor",
    Operation.SERIAL: "xnor",
}


@dataclass(frozen=True, kw_only=True)
class Placement:
    """One node's place.

    `engine` is "mac" (the systolic array), "depthwise" (its unit), "vector" (add, max pooling), "xnor" (the engine of binary
    layers and of those of few bits), "cpu" (the golden model) or "none" (costs nothing: a reshape). `reason` says why it is
    not on the fabric and `advice` what would help; `layer` is what the fabric runs.
    """

    node: Node
    engine: str
    reason: str = ""
    advice: str = ""
    layer: Layer | None = field(default=None, repr=False)

    @property
    def products(self) -> int:
        """Binary products that a multiply-accumulate takes on the XNOR engine; 1 elsewhere."""
        return 1 if self.layer is None else self.layer.planes.products


def place(graph: Graph, config: FabricConfig) -> tuple[Placement, ...]:
    """One placement a node, in the graph's order."""
    graph = pack_bits(graph, config)
    return tuple(_place(node, graph, config) for node in graph.nodes)


def _place(node: Node, graph: Graph, config: FabricConfig) -> Placement:
    if isinstance(node, Reshape):
        return Placement(node=node, engine="none")
    try:
        layer = lower(node, graph, config)
    except Unsupported as unsupported:
        return Placement(node=node, engine="cpu", reason=unsupported.reason, advice=unsupported.advice)
    return Placement(node=node, engine=_ENGINES[layer.operation], layer=layer)

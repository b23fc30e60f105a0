"""Passes over the graph: small rewrites that leave its outputs as they are, bit for bit."""

from ..ir import Graph
from .fold_constant_channels import fold_constant_channels
from .fold_pad import fold_pad

__all__ = ["fold_constant_channels", "fold_pad", "simplify"]


def simplify(graph: Graph) -> Graph:
    """The graph after all passes: what the schedule and the CPU run."""
    return fold_constant_channels(fold_pad(graph))

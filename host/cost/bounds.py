"""Where a layer's cycles go, and what it would have to have more of.

    array           cycles that its multiply-accumulates take where every cell works
    idle cells      the rest of the steps: chunks, tiles and kernel rows that do not fill the array
    weights         waiting for weights that stream
    latency         waiting for its descriptor, filling and draining the pipeline
    requantizer     waiting for room for results

On the depthwise unit, the vector unit and the XNOR engine the first of these has the unit's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ...hw.config import FabricConfig
from ...hw.mac.depthwise_lane import TAPS
from .walk import Cycles

UNITS = {"mac": "array", "depthwise": "depthwise unit", "vector": "vector unit", "xnor": "XNOR engine"}
"""What an engine of a placement is called here."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A layer's cycles by what they went to, in this order of parts."""

    parts: Mapping[str, float]

    @property
    def bound(self) -> str:
        """The part that took most."""
        return max(self.parts, key=lambda part: self.parts[part])


def macs_per_cycle(engine: str, config: FabricConfig, *, products: int = 1) -> int:
    """Multiply-accumulates that an engine can do in a cycle, of so many binary `products` each."""
    return {
        "mac": config.macs_per_cycle,
        "depthwise": TAPS * config.cols,
        "xnor": config.binary_macs_per_cycle // products,
    }.get(engine, 0)


def measure_of(engine: str, config: FabricConfig, *, products: int = 1) -> int:
    """Multiply-accumulates a cycle that a layer's utilization refers to: the array's, on the XNOR engine that one's."""
    return macs_per_cycle("xnor" if engine == "xnor" else "mac", config, products=products)


def bounds_of(engine: str, macs: int, cycles: Cycles, config: FabricConfig, *, products: int = 1) -> Bounds:
    """The parts of a layer's cycles; `engine` and `products` are its placement's."""
    rate = macs_per_cycle(engine, config, products=products)
    ideal = min(macs / rate if rate and macs else cycles.busy, cycles.busy)
    return Bounds(
        parts={
            UNITS[engine]: ideal,
            "idle cells": cycles.busy - ideal,
            "weights": cycles.weights,
            "latency": cycles.activations,
            "requantizer": cycles.output,
        }
    )

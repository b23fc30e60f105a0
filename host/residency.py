"""Which weights stay in the weight buffer, and which stream through the ring: the ways that may be best.

Layers with many results a tile stream first: the array works on a tile for as long as the next one loads. Where there is none,
a layer near the network's begin shares the ring with one near its end: the ring comes filled for the first, and has all the
time between to fill for the second. A longer ring loads further ahead and leaves room for fewer weights that stay.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..hw.config import FabricConfig
from .lowering import Layer

_LEAST_TILES = (2, 4, 8)
"""Tiles of a streaming layer that the ring holds: of two, one loads while the other works."""

_FLOW_WORDS = 4
"""Words for each of those where a tile has one result: its words flow through any ring."""


@dataclass(frozen=True, kw_only=True)
class Residency:
    """How many tiles of each layer stay in the weight buffer (the first ones), and where the ring begins."""

    tiles: Mapping[str, int]
    ring_base: int


def residencies(layers: Sequence[Layer], config: FabricConfig) -> list[Residency]:
    """The ways to choose from, at least one; only one where all weights stay."""
    weighted = [layer for layer in layers if layer.words and not layer.repeat]
    # Pooling's identity word is kept once, whatever the number of pools.
    identity = any(layer.words for layer in layers if layer.repeat)
    total = sum(layer.words for layer in weighted) + identity
    everything = {layer.node.name: layer.tiles for layer in layers}
    if total <= config.weight_depth:
        return [Residency(tiles=everything, ring_base=total)]
    ways = [*_two_ends(weighted, everything, total, config)]
    for least_tiles in _LEAST_TILES:
        way = _longest_first(weighted, everything, total, least_tiles, config)
        if way not in ways:
            ways.append(way)
    return ways


def _longest_first(
    weighted: Sequence[Layer], everything: Mapping[str, int], total: int, least_tiles: int, config: FabricConfig
) -> Residency:
    """Streams the layers of most results a tile, as few as will do."""
    tiles = dict(everything)
    ring = 0
    for layer in sorted(weighted, key=lambda layer: layer.results)[::-1]:
        least_ring = least_tiles * (layer.steps if layer.results > 1 else _FLOW_WORDS)
        ring = min(config.weight_depth, max(ring, least_ring))
        resident = total - layer.words
        room = config.weight_depth - ring - resident
        if room >= 0:
            kept = min(room // layer.steps, layer.tiles)
            tiles[layer.node.name] = kept
            return Residency(tiles=tiles, ring_base=resident + kept * layer.steps)
        tiles[layer.node.name] = 0
        total = resident
    return Residency(tiles=tiles, ring_base=total)


def _two_ends(
    weighted: Sequence[Layer], everything: Mapping[str, int], total: int, config: FabricConfig
) -> Iterator[Residency]:
    """Two layers of one result a tile that stream through a ring of one's share, where no layer has more results."""
    if any(layer.results > 1 for layer in weighted):
        return
    for steps in sorted({layer.steps for layer in weighted}):
        count = -(-(total - config.weight_depth) // steps)
        fitting = [layer for layer in weighted if layer.steps == steps and layer.tiles >= count]
        if len(fitting) > 1:
            tiles = dict(everything)
            for layer in (fitting[0], fitting[-1]):
                tiles[layer.node.name] -= count
            yield Residency(tiles=tiles, ring_base=total - 2 * count * steps)

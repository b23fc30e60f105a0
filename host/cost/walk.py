"""Cycles of the window walker, and of what comes behind it, for one descriptor.

The hardware is deterministic and its data do not matter, so these are not estimates: a step a cycle, a result at most every
`beats` cycles (or twice that), a tile's end at most every `tile_cycles`, then the pipeline's latency.

    take --launch--> steps of result 1, result 2, ... | pushes (depthwise) | walk + engine + post latencies --> end
"""

from dataclasses import dataclass

from ...hw.config import FabricConfig
from ...hw.isa import Operation
from .latencies import latencies_of


@dataclass(frozen=True, kw_only=True)
class Cycles:
    """Where cycles go, as a record of the fabric counts them: see `hw.isa.Record`."""

    busy: int = 0
    weights: int = 0
    activations: int = 0
    output: int = 0

    @property
    def cycles(self) -> int:
        """All of them."""
        return self.busy + self.weights + self.activations + self.output

    def __add__(self, other: "Cycles") -> "Cycles":
        return Cycles(
            busy=self.busy + other.busy,
            weights=self.weights + other.weights,
            activations=self.activations + other.activations,
            output=self.output + other.output,
        )


@dataclass(frozen=True, kw_only=True)
class WindowWalk:
    """What matters of the depthwise unit's window: the map's columns, and the centres that give results."""

    map_columns: int
    rows: int
    columns: int
    row: int
    column: int
    stride: int

    @property
    def last_word(self) -> int:
        """Words of a map, and of what is pushed behind it, up to the one that completes the last result."""
        return self._word(self.row + (self.rows - 1) * self.stride, self.column + (self.columns - 1) * self.stride)

    @property
    def first_word(self) -> int:
        """Words up to the one that completes the first result."""
        return self._word(self.row, self.column)

    def _word(self, row: int, column: int) -> int:
        """The window around a centre is complete with the word one row below it and one to the right."""
        return (row + 1) * self.map_columns + column + 2


@dataclass(frozen=True, kw_only=True)
class BlockWalk:
    """What matters of the XNOR engine's blocks: least cycles from the end of one to that of the next, and those that the last
    one takes behind its sums."""

    pace: int
    last_cycles: int


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What the walker does for one descriptor.

    steps       a result
    results     a tile
    repeat      one weight word and one entry of channel parameters serve all: no pause between tiles
    wide        each result takes two passes of the requantizer
    kept        its results stay as partial sums
    streamed    its weight words come through the ring
    writes      of each result, a cycle each
    """

    operation: Operation
    steps: int
    results: int
    tiles: int
    repeat: bool = False
    wide: bool = False
    kept: bool = False
    streamed: bool = False
    window: WindowWalk | None = None
    blocks: BlockWalk | None = None
    writes: int = 1

    @property
    def words(self) -> int:
        """Weight words that it takes."""
        return self.steps * self.tiles

    def result_pace(self, config: FabricConfig) -> int:
        """Least cycles from the end of a result to that of the next."""
        if self.blocks is not None:
            return self.blocks.pace
        window, pace = self.window, max(config.result_pace(wide=self.wide), self.writes)
        if window is not None and pace <= window.stride != 1 and (window.row or window.column + 1 >= pace):
            return 1  # where the window skips centres the unit's results come less often than the walker's
        return pace

    def result_cycles(self, config: FabricConfig) -> int:
        """Cycles from the end of a result to that of the next of the same tile."""
        return max(self.steps, self.result_pace(config))

    def tile_cycles(self, config: FabricConfig) -> int:
        """Cycles from the end of a tile to that of the next, where no weights are waited for."""
        return max(self.results * self.result_cycles(config), 0 if self.repeat else config.tile_cycles)

    def resident(self, config: FabricConfig) -> Cycles:
        """Steps and stalls where all weights are there."""
        first_tile = self.steps + (self.results - 1) * self.result_cycles(config)
        busy = self.steps * self.results * self.tiles
        return Cycles(busy=busy, output=first_tile + (self.tiles - 1) * self.tile_cycles(config) - busy)

    def drain(self, config: FabricConfig) -> int:
        """Cycles from the last step to the end of the descriptor."""
        drain = latencies_of(config).drain(self.operation, wide=self.wide, kept=self.kept) + self.writes - 1
        if self.blocks is not None:
            return drain + self.blocks.last_cycles
        if self.window is None:
            return drain
        behind = self.window.last_word - self.results
        return drain + behind * (config.result_pace(wide=self.wide) if behind > 0 else self.result_cycles(config))

    def alone(self, config: FabricConfig) -> int:
        """Cycles of the descriptor with its weights there and its successor fetched: what one way of many costs."""
        latencies = latencies_of(config)
        return latencies.launch + latencies.start + self.resident(config).cycles + self.drain(config)

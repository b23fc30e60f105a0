"""What unit test and bench of the weight-buffer controller share: the walker's layers, and when the array's banks are used."""

from dataclasses import dataclass

from celosia.hw.mac.array import SystolicArray
from celosia.hw.memory.walker import WindowWalker

WRITE_DELAY = 3
"""Cycles from the load port to the first read that sees the weights: the array's two registers, and the bank.

As both travel along the array alike, their way to a cell does not count, but for a step's way down the rows.
"""

STEP_LATENCY = WindowWalker.LATENCY + SystolicArray.INPUT_LATENCY
"""Cycles from a step to its read in the first row."""


@dataclass(frozen=True)
class Layer:
    """What the walker does: `tiles` times `results` times `steps`. `base` where resident, None through the ring."""

    tiles: int
    results: int
    steps: int
    base: int | None = None
    repeat: bool = False

    @property
    def mode(self):
        return "repeat" if self.repeat else "ring" if self.base is None else "resident"

    @property
    def words(self):
        return 1 if self.repeat else self.tiles * self.steps

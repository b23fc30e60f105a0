"""What a build ends with: figures for people and for programs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..host.cost.resources import Resources
from .timing import Clock, Path


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """One build of one board.

    board, fabric       names
    seed                of the placer
    clock_mhz           the clock that the bitstream runs at
    clocks              every clock of the design, the fabric's first
    used, there         resources of the design and of the chip
    macs_per_cycle      of the fabric
    bitstream           path of the file
    seconds             of the whole build, on the clock on the wall
    stages              seconds by tool
    path                the slowest path of the fabric's clock
    tools               versions
    date                of the end of the build, UTC
    """

    board: str
    fabric: str
    seed: int
    clock_mhz: float
    clocks: tuple[Clock, ...]
    used: Resources
    there: Resources
    macs_per_cycle: int
    bitstream: str
    seconds: float
    stages: Mapping[str, float]
    path: Path | None
    tools: Mapping[str, str]
    date: str

    @property
    def fmax_mhz(self) -> float:
        """The fastest clock of the fabric that the placer confirms."""
        return self.clocks[0].fmax_mhz

    @property
    def missed(self) -> tuple[Clock, ...]:
        """Clocks that the design is too slow for."""
        return tuple(clock for clock in self.clocks if not clock.is_met)

    @property
    def peak_gops(self) -> float:
        """Billions of operations a second at `fmax_mhz`, a multiply-accumulate being two."""
        return 2 * self.macs_per_cycle * self.fmax_mhz / 1000

    def as_dict(self) -> dict[str, Any]:
        """For JSON: flat figures first."""
        return {
            "board": self.board,
            "fabric": self.fabric,
            "fmax_mhz": round(self.fmax_mhz, 2),
            "clock_mhz": round(self.clock_mhz, 3),
            "met": not self.missed,
            "lut4": self.used.lut4,
            "ff": self.used.ff,
            "dsp": self.used.dsp,
            "bram": self.used.bram,
            "there": {"lut4": self.there.lut4, "ff": self.there.ff, "dsp": self.there.dsp, "bram": self.there.bram},
            "macs_per_cycle": self.macs_per_cycle,
            "peak_gops": round(self.peak_gops, 2),
            "bitstream": self.bitstream,
            "seconds": round(self.seconds, 1),
            "seed": self.seed,
            "stages": {name: round(seconds, 1) for name, seconds in self.stages.items()},
            "critical_path": self.path.as_dict() if self.path else None,
            "tools": dict(self.tools),
            "date": self.date,
        }

    def to_json(self) -> str:
        """The report as text."""
        return json.dumps(self.as_dict(), indent=2) + "\n"

"""Random networks through import, compile and fabric: every output of every sample as golden has it."""

from dataclasses import dataclass

import networks
from celosia import CapacityError
from fabrics import STARVED, check_network

COUNT = 2000
"""Networks of the long run."""

COMPACT = "up5k"

FABRICS = ("mini", STARVED, COMPACT, "mini,depthwise_tiles=0,requant_lanes=1,weight_depth=64")
"""All of it; nothing fits; a row at a time; weights that stream beside some that stay, one lane."""


@dataclass(frozen=True)
class Draw:
    """What a seed stands for."""

    seed: int

    @property
    def size(self) -> str:
        return "small" if self.seed % 8 == 7 else "tiny"

    @property
    def fabric(self) -> str:
        return FABRICS[self.seed % 4 if self.size == "tiny" else self.seed // 8 % 2]

    def model(self) -> bytes:
        return networks.random_network(self.seed, size=self.size, branches=True)

    def check(self) -> bool:
        """Runs two samples; whether the network fits the fabric. A failure names the seed."""
        try:
            check_network(self.model(), self.fabric, seed=self.seed)
            return True
        except CapacityError:
            return False
        except Exception as error:
            raise AssertionError(f"random_network({self.seed}, size={self.size!r}, branches=True) on {self.fabric}") from error

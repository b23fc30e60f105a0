"""Simulated fabrics for tests, built once."""

from fcntl import LOCK_EX, flock
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from zlib import crc32

from celosia.hw.config import FabricConfig, preset
from celosia.sim.engine import build

STARVED = "mini,weight_depth=8,partial_depth=8,tile_depth=8,program_words=144,record_depth=5,depthwise_tiles=2"
"""Nothing fits: weights stream, sums wait, programs are cut."""


@cache
def fabric_of(name: str) -> FabricConfig:
    """The fabric, its simulator built: by one worker while the others wait."""
    config = preset(name)
    with open(Path(gettempdir(), f"celosia-tests-{crc32(name.encode()):x}.lock"), "w") as lock:
        flock(lock, LOCK_EX)
        build(config)
    return config

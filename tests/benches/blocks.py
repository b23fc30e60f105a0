"""Which bench has which blocks. To add a bench: an entry here, its plan in `plan.toml`, its tests in `bench_NAME.py`.

All blocks are in one simulator, each with a clock of its own, so that it is built once; those that a bench leaves alone cost
it nothing.
"""

from collections.abc import Callable
from typing import Any

from celosia.hw.post.requantize import RequantizeLane

Blocks = dict[str, Callable[[], Any]]

BENCHES: dict[str, Blocks] = {
    "requantize": {
        "lane": lambda: RequantizeLane(multipliers=True),
        "carry_lane": lambda: RequantizeLane(multipliers=False),
    },
}


def all_blocks() -> dict[str, Any]:
    """Every block of every bench, new."""
    return {name: make() for blocks in BENCHES.values() for name, make in blocks.items()}

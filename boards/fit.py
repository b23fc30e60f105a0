"""Whether a fabric fits a board, before any tool runs."""

from dataclasses import fields

from ..host.cost.resources import Resources, estimate_resources
from ..hw.config import FabricConfig
from ..hw.presets import presets
from ..sim.errors import CapacityError
from .board import Board

_NAMES = {"lut4": "LUT4", "ff": "flip-flops"}


def shortages(board: Board, config: FabricConfig) -> tuple[str, ...]:
    """Resources that the board has too few of: need against have, in words."""
    need, have = estimate_resources(config, board.chip.family), board.chip.resources
    names = {**_NAMES, "dsp": board.chip.dsp, "bram": board.chip.bram}
    return tuple(
        f"{getattr(need, item.name):,} {names[item.name]} of {getattr(have, item.name):,}"
        for item in fields(Resources)
        if getattr(need, item.name) > getattr(have, item.name)
    )


def largest_fit(board: Board) -> FabricConfig | None:
    """The preset of most MAC a cycle that fits, and of those the one with the largest memories."""
    largest_first = sorted(
        presets(),
        key=lambda config: (config.macs_per_cycle, config.weight_bytes, config.activation_bytes),
        reverse=True,
    )
    return next((config for config in largest_first if not shortages(board, config)), None)


def check_fit(board: Board, config: FabricConfig) -> None:
    """Raises CapacityError where `config` is too large for the board: what it needs, what is there, what would fit."""
    short = shortages(board, config)
    if not short:
        return
    largest = largest_fit(board)
    advice = f"the largest preset that fits is {largest.name}" if largest else "no preset fits it"
    raise CapacityError(f"fabric {config.name} is too large for {board.name}: it needs {', '.join(short)}; {advice}")

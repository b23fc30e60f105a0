"""Radiona ULX3S: an ECP5 of four sizes, 25 MHz, FT231X (USB serial up to 3 Mbaud)."""

from . import chips
from .board import Board, Link
from .floorplan import lfe5u_85

_SIZES = {  # chip, preset, clock, seed
    "12F": (chips.LFE5U_12F, "ecp5-25", 75_000_000, 1),
    "25F": (chips.LFE5U_25F, "ecp5-25", 75_000_000, 1),
    "45F": (chips.LFE5U_45F, "ecp5-45", 50_000_000, 1),
    "85F": (chips.LFE5U_85F, "ecp5-85", 140_000_000, 3),  # of seeds 2 and 3: 140.8 and 141.6 MHz
}

BOARDS = tuple(
    Board(
        name=f"ulx3s-{size.lower()}",
        title=f"Radiona ULX3S, {chip.name}",
        platform=("amaranth_boards.ulx3s", f"ULX3S_{size}_Platform"),
        chip=chip,
        oscillator=("clk25", 25_000_000),
        clock_hz=clock_hz,
        seed=seed,
        link=Link(baud=3_000_000, via="FT231X on the board, US1"),
        preset=preset,
        led=("led", 0),
        floorplan=lfe5u_85 if chip is chips.LFE5U_85F else None,
        loader=("--board", "ulx3s"),
    )
    for size, (chip, preset, clock_hz, seed) in _SIZES.items()
)

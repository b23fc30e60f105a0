"""Radiona ULX3S: an ECP5 of four sizes, 25 MHz, FT231X (USB serial up to 3 Mbaud)."""

from . import chips
from .board import Board, Link
from .floorplan import lfe5u_85

_SIZES = {
    "12F": (chips.LFE5U_12F, "ecp5-25", 75_000_000),
    "25F": (chips.LFE5U_25F, "ecp5-25", 75_000_000),
    "45F": (chips.LFE5U_45F, "ecp5-45", 50_000_000),
    "85F": (chips.LFE5U_85F, "ecp5-85", 130_000_000),
}

BOARDS = tuple(
    Board(
        name=f"ulx3s-{size.lower()}",
        title=f"Radiona ULX3S, {chip.name}",
        platform=("amaranth_boards.ulx3s", f"ULX3S_{size}_Platform"),
        chip=chip,
        oscillator=("clk25", 25_000_000),
        clock_hz=clock_hz,
        link=Link(baud=3_000_000, via="FT231X on the board, US1"),
        preset=preset,
        led=("led", 0),
        floorplan=lfe5u_85 if chip is chips.LFE5U_85F else None,
        loader=("--board", "ulx3s"),
    )
    for size, (chip, preset, clock_hz) in _SIZES.items()
)

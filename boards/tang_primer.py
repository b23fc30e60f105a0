"""Sipeed Tang Primer 20K in its Dock: a GW2A-18, 27 MHz, BL616 (USB serial)."""

from . import chips
from .board import Board, Link

BOARDS = (
    Board(
        name="tang-primer-20k",
        title="Sipeed Tang Primer 20K (Dock), GW2A-18C",
        platform=("amaranth_boards.tang_primer_20k", "TangPrimer20kDockPlatform"),
        chip=chips.GW2A_18,
        oscillator=("clk27", 27_000_000),
        clock_hz=54_000_000,
        link=Link(baud=115_200, via="BL616 on the dock"),
        preset="gw2a-18",
        loader=("--board", "tangprimer20k"),
    ),
)

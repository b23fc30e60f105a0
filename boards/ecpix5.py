"""LambdaConcept ECPIX-5: an LFE5UM5G-85F of speed grade 8, 100 MHz, FT2232H (USB serial)."""

from . import chips
from .board import Board, Link
from .floorplan import lfe5u_85

BOARDS = (
    Board(
        name="ecpix5-85f",
        title="LambdaConcept ECPIX-5, LFE5UM5G-85F",
        platform=("amaranth_boards.ecpix5", "ECPIX585Platform"),
        chip=chips.LFE5UM5G_85F,
        oscillator=("clk100", 100_000_000),
        clock_hz=100_000_000,
        link=Link(baud=3_000_000, via="FT2232H on the board"),
        preset="ecp5-85",
        floorplan=lfe5u_85,
        loader=("--board", "ecpix5"),
    ),
)

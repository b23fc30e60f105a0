"""Colorlight 5A-75B, version 7.0: an LFE5U-25F on a receiver card of LED walls, 25 MHz. The serial port is on J19."""

from . import chips
from .board import Board, Link

BOARDS = (
    Board(
        name="colorlight-5a-75b",
        title="Colorlight 5A-75B v7.0, LFE5U-25F",
        platform=("amaranth_boards.colorlight_5a75b_r7_0", "Colorlight_5A75B_R70Platform"),
        chip=chips.LFE5U_25F,
        oscillator=("clk25", 25_000_000),
        clock_hz=75_000_000,
        link=Link(baud=115_200, via="an adapter of 3.3 V on J19: its TX on KEY+, its RX on DATA_LED-"),
        preset="ecp5-25",
        loader=("--board", "colorlight"),
    ),
)

"""OrangeCrab r0.2: an ECP5 on a Feather board, 48 MHz. Its USB goes to the FPGA itself: the serial port is on pins."""

from . import chips
from .board import Board, Link
from .floorplan import lfe5u_85

_SIZES = {
    "25F": (chips.LFE5U_25F, "ecp5-25", 72_000_000),
    "85F": (chips.LFE5U_85F, "ecp5-85", 140_000_000),
}

BOARDS = tuple(
    Board(
        name=f"orangecrab-{size.lower()}",
        title=f"OrangeCrab r0.2, {chip.name}",
        platform=(".platforms", f"OrangeCrab{size}"),
        chip=chip,
        oscillator=("clk", 48_000_000),
        clock_hz=clock_hz,
        link=Link(baud=3_000_000, via="an adapter of 3.3 V: its TX on pin 0, its RX on pin 1"),
        preset=preset,
        floorplan=lfe5u_85 if chip is chips.LFE5U_85F else None,
        loader=("--board", "orangeCrab"),
        wake="hold its button while you do",
        options={
            "nextpnr": ("--router", "router2", *(() if chip is chips.LFE5U_85F else ("--placer", "static"))),
            "pack": ("--freq", "38.8"),  # MHz at which the chip reads its flash
        },
    )
    for size, (chip, preset, clock_hz) in _SIZES.items()
)

"""OrangeCrab r0.2: an ECP5 on a Feather board, 48 MHz. Its USB goes to the FPGA itself, which is a serial port there."""

from . import chips
from .board import Board, Link
from .floorplan import lfe5u_85

_SIZES = {
    "25F": (chips.LFE5U_25F, "ecp5-25", 72_000_000),
    "85F": (chips.LFE5U_85F, "ecp5-85", 72_000_000),
}

BOARDS = tuple(
    Board(
        name=f"orangecrab-{size.lower()}",
        title=f"OrangeCrab r0.2, {chip.name}",
        platform=("amaranth_boards.orangecrab_r0_2", f"OrangeCrabR0_2_{size}Platform"),
        chip=chip,
        oscillator=("clk", 48_000_000),
        clock_hz=clock_hz,
        link=Link(resource=("usb", 0), baud=12_000_000, via="its own USB socket: /dev/ttyACM0", usb=True),
        preset=preset,
        floorplan=lfe5u_85 if chip is chips.LFE5U_85F else None,
        loader=("--board", "orangeCrab"),
        wake="hold its button while you do",
        options={"pack": ("--freq", "38.8")},  # MHz at which the chip reads its flash
    )
    for size, (chip, preset, clock_hz) in _SIZES.items()
)

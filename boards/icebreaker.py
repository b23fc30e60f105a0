"""1BitSquared iCEBreaker: an iCE40UP5K, 12 MHz, FT2232H (USB serial)."""

from . import chips
from .board import Board, Link

BOARDS = (
    Board(
        name="icebreaker",
        title="1BitSquared iCEBreaker, iCE40UP5K",
        platform=("amaranth_boards.icebreaker", "ICEBreakerPlatform"),
        chip=chips.ICE40UP5K,
        oscillator=("clk12", 12_000_000),
        clock_hz=24_000_000,
        link=Link(baud=3_000_000, via="FT2232H on the board"),
        preset="up5k",
        led=("led_g", 0),
        loader=("--board", "ice40_generic"),
        loads_chip=False,
        seed=5,  # the best of five: 18.6 to 24.4 MHz
        options={"nextpnr": ("--router", "router2")},  # the other one does not end on a chip that is this full
    ),
)

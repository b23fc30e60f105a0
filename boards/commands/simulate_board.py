"""`celosia simulate-board`: a board that is not there, behind a pseudo-terminal."""

import argparse
import contextlib
import logging
from pathlib import Path

from ...host.commands.arguments import DEFAULT_FABRIC, fabric_of, positive
from .arguments import add_board

SUMMARY = "simulate a board at its pins, and offer it as a serial port to any program"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_board(parser)
    parser.add_argument("--fabric", metavar="PRESET", help="another fabric than the one that is meant for the board")
    parser.add_argument(
        "--baud",
        metavar="N",
        type=positive,
        help="another rate of the line: the simulation takes as long for a bit as the clock has cycles in it (the board's own)",
    )
    parser.add_argument("--link", metavar="PATH", type=Path, help="a name for the port that stays the same from run to run")


def execute(arguments: argparse.Namespace) -> int:
    """Prints the port's name, then simulates until it is interrupted."""
    from dataclasses import replace

    from ...sim.board import SimulatedBoard
    from ...sim.pins import PinSimulator
    from ..catalogue import find
    from ..simulation import board_design

    board = find(arguments.board)
    fabric = fabric_of(arguments.fabric or board.preset)
    if arguments.baud:
        board = replace(board, link=replace(board.link, baud=arguments.baud))
    settings = board.pll(None)
    cycles_per_bit = settings.clock_hz / board.link.baud
    simulator = PinSimulator(
        board_design(board, fabric, settings), cycles_per_bit=cycles_per_bit, notify=logging.getLogger("celosia").info
    )
    with (
        contextlib.suppress(KeyboardInterrupt),
        SimulatedBoard(simulator, cycles_per_bit=cycles_per_bit, link=arguments.link) as simulated,
    ):
        device = f"serial://{arguments.link or simulated.path}?baud={board.link.baud}"
        option = "" if fabric == fabric_of(DEFAULT_FABRIC) else f"--fabric {arguments.fabric or board.preset} "
        print(
            f"{board.name}, fabric {fabric.name}, {settings.clock_hz / 1e6:g} MHz, {board.link.baud:,} baud, is simulated at\n"
            f"{device}\n"
            "until it is interrupted (Ctrl-C). In another terminal:\n"
            f"celosia run MODEL --input X.npy {option}--device {device}",
            flush=True,
        )
        simulated.run()
    return 0

"""`celosia simulate-board`: a board that is not there, behind a pseudo-terminal."""

import argparse
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ...host.commands.arguments import DEFAULT_FABRIC, UsageError, fabric_of, positive
from .arguments import add_board

if TYPE_CHECKING:
    from ...host.measure import LinkSpeed
    from ...sim.pins import PinSimulator
    from ..board import Board

SUMMARY = "simulate a board at its pins, and offer it as a serial port to any program"

_PACKETS, _FEW_PACKETS = 4, 1  # of 4 KB, each way: seconds to minutes of simulation
_SLOW = 100  # cycles of a bit from which there are few


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
    parser.add_argument(
        "--measure", action="store_true", help="offer no port: measure the link in the board's own time, and end"
    )
    parser.add_argument("--link", metavar="PATH", type=Path, help="a name for the port that stays the same from run to run")


def execute(arguments: argparse.Namespace) -> int:
    """Prints the port's name, then simulates until it is interrupted."""
    from dataclasses import replace

    from ...sim.board import SimulatedBoard
    from ..catalogue import find
    from ..simulation import simulate

    board = find(arguments.board)
    fabric = fabric_of(arguments.fabric or board.preset)
    if arguments.baud:
        if board.link.usb:
            raise UsageError(f"--baud is for boards with a UART: the port of {board.name} is USB, which has one rate")
        board = replace(board, link=replace(board.link, baud=arguments.baud))
    simulator, cycles_per_bit = simulate(board, fabric, notify=logging.getLogger("celosia").info)
    rate = "USB" if board.link.usb else f"{board.link.baud:,} baud"
    what = f"{board.name}, fabric {fabric.name}, {board.pll().clock_hz / 1e6:g} MHz, {rate}"
    if arguments.measure:
        print(f"{what}: {_measure(board, simulator, cycles_per_bit)}")
        return 0
    with (
        contextlib.suppress(KeyboardInterrupt),
        SimulatedBoard(simulator, cycles_per_bit=cycles_per_bit, link=arguments.link) as simulated,
    ):
        device = f"serial://{arguments.link or simulated.path}{board.link.address}"
        option = "" if fabric == fabric_of(DEFAULT_FABRIC) else f"--fabric {arguments.fabric or board.preset} "
        print(
            f"{what}, is simulated at\n"
            f"{device}\n"
            "until it is interrupted (Ctrl-C). In another terminal:\n"
            f"celosia run MODEL --input X.npy {option}--device {device}",
            flush=True,
        )
        simulated.run()
    return 0


def _measure(board: "Board", simulator: "PinSimulator", cycles_per_bit: float) -> "LinkSpeed":
    """The link's speed in the simulated board's own time, in which the host costs nothing."""
    from ...host.commands.terminal import status
    from ...host.measure import measure
    from ...host.transport.link import Link
    from ...sim.port import SimulatedPort

    clock_hz = cycles_per_bit * board.link.baud
    port = SimulatedPort(simulator, clock_hz=clock_hz, cycles_per_bit=cycles_per_bit)
    with status(f"measuring the link of {board.name}"):
        link = Link(port, name=board.name, baud=board.link.baud, clock=port.clock)
        try:
            return measure(
                link,
                baud=board.link.baud,
                clock=port.clock,
                packets_at_most=_PACKETS if cycles_per_bit < _SLOW else _FEW_PACKETS,
            )
        finally:
            link.close()

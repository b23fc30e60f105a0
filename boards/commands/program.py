"""`celosia program`: a bitstream goes onto a board."""

import argparse
from pathlib import Path

from .arguments import add_board

SUMMARY = "load a bitstream onto a board"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_board(parser)
    parser.add_argument("--flash", action="store_true", help="into the memory that the chip starts from, not the chip alone")
    parser.add_argument("file", metavar="FILE", help="the bitstream that `celosia build` made")


def execute(arguments: argparse.Namespace) -> int:
    """Checks the file, then runs openFPGALoader."""
    from ..catalogue import find

    board = find(arguments.board)

    from ...host.commands.terminal import output, status
    from ..program import program

    with status(f"programming {board.name}"):
        program(board, Path(arguments.file), flash=arguments.flash)
    output().print(f"{board.name} runs {arguments.file}")
    return 0

"""Arguments that more than one of these commands takes."""

import argparse


def add_board(parser: argparse.ArgumentParser) -> None:
    """--board."""
    parser.add_argument("--board", metavar="B", required=True, help="the board: `celosia boards` lists them")

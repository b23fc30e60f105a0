"""`celosia estimate`, with boards: the clock, the link and the chip that an estimate is for, and the largest fabric for it."""

import argparse
from dataclasses import fields
from typing import TYPE_CHECKING

from ...host.commands import estimate
from ...host.commands.arguments import DEFAULT_FABRIC, UsageError, add_model, fabric_of
from ...sim.errors import CapacityError

if TYPE_CHECKING:
    from ...host.cost.summary import Clock, Need
    from ...hw.config import FabricConfig
    from ..board import Board

SUMMARY = estimate.SUMMARY


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_model(parser)
    parser.add_argument("--board", metavar="B", help="the board, with its fabric and clock: `celosia boards` lists them")
    parser.add_argument(
        "--fabric", metavar="P", help=f"the fabric's preset (default: the board's, without a board {DEFAULT_FABRIC})"
    )
    parser.add_argument("--fit", action="store_true", help="take the largest preset that fits the board")
    estimate.add_outputs(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Prints the estimate for a board, or for a fabric alone."""
    if arguments.board is None:
        if arguments.fit:
            raise UsageError("--fit finds the largest fabric for a board: name one with --board")
        arguments.fabric = arguments.fabric or DEFAULT_FABRIC
        return estimate.execute(arguments)
    if arguments.fit and arguments.fabric:
        raise UsageError("--fit chooses the fabric, and --fabric names one: leave one of them out")

    from ...host.cost.summary import Target
    from ..catalogue import find
    from ..fit import largest_fit

    board = find(arguments.board)
    if arguments.fit:
        fabric = largest_fit(board)
        if fabric is None:
            raise CapacityError(
                f"no preset fits {board.name}: change the sizes of the smallest, --fabric mini,weight_depth=256"
            )
    else:
        fabric = fabric_of(arguments.fabric or board.preset)
    target = Target(
        fabric=fabric,
        board=board.name,
        clock=_clock(board, fabric, arguments.clock),
        baud=board.link.baud,
        resources=_resources(board, fabric),
        note=_shortage(board, fabric),
    )
    return estimate.show(arguments, target)


def _clock(board: "Board", fabric: "FabricConfig", asked: float | None) -> "Clock":
    """What was asked for, else what a build confirmed for this very fabric, else what the board is meant to run at."""
    from ...host.cost.summary import Clock
    from ..measured import measured

    if asked is not None:
        return Clock(mhz=asked, source="as asked for")
    result = measured().get(board.name)
    if result is not None and result["fabric"] == fabric.name:
        mhz = min(float(result["clock_mhz"]), float(result["fmax_mhz"]))
        return Clock(mhz=mhz, source=f"confirmed by the build of {result['date'][:10]}")
    return Clock(mhz=board.clock_hz / 1e6, source="wanted; no build has confirmed it for this fabric")


def _shortage(board: "Board", fabric: "FabricConfig") -> str:
    """Why the fabric does not fit the board; empty where it does. The rest of the estimate is worth reading all the same."""
    from ..fit import check_fit

    try:
        check_fit(board, fabric)
    except CapacityError as error:
        return str(error)
    return ""


def _resources(board: "Board", fabric: "FabricConfig") -> "tuple[Need, ...]":
    from ...host.cost.resources import Resources, estimate_resources
    from ...host.cost.summary import Need

    names = {"lut4": "LUT4", "ff": "flip-flops", "dsp": board.chip.dsp, "bram": board.chip.bram}
    need, have = estimate_resources(fabric, board.chip.family), board.chip.resources
    return tuple(
        Need(name=names[item.name], used=getattr(need, item.name), available=getattr(have, item.name))
        for item in fields(Resources)
    )

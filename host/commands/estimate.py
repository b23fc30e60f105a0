"""`celosia estimate`: cycles, time, memory and where the time goes, without building or simulating."""

import argparse
import math
import os
from typing import TYPE_CHECKING

from .arguments import UsageError, add_fabric, add_model, fabric_of

if TYPE_CHECKING:
    from ..cost.summary import Target

SUMMARY = "predict cycles, time, memory and resources of a network, without building or simulating"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_model(parser)
    add_fabric(parser)
    add_outputs(parser)


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """--clock, --json."""
    parser.add_argument("--clock", metavar="MHZ", type=megahertz, help="the fabric's clock, for milliseconds")
    parser.add_argument("--json", metavar="F.json", help="the estimate, for programs")


def execute(arguments: argparse.Namespace) -> int:
    """Prints the estimate for a fabric alone."""
    from ..cost.summary import Clock, Target

    clock = None if arguments.clock is None else Clock(mhz=arguments.clock, source="as asked for")
    return show(arguments, Target(fabric=fabric_of(arguments.fabric), clock=clock))


def show(arguments: argparse.Namespace, target: "Target") -> int:
    """Writes --json, then prints the table and the totals."""
    from ..cost.summary import summarize
    from ..files import OutputFiles
    from ..schedule import schedule
    from ..session import input_of, load_model
    from .terminal import output

    if arguments.json and os.path.realpath(arguments.json) == os.path.realpath(arguments.model):
        raise UsageError(f"--json names the same file as the model: {arguments.json}")
    if target.fabric.compact:
        raise UsageError(
            f"fabric {target.fabric.name} is a compact one, and the cost model does not describe those yet: count its cycles "
            f"with `celosia run --fabric {target.fabric.name}`"
        )
    with OutputFiles() as files:
        if arguments.json:
            files.claim(arguments.json)
        graph = load_model(arguments.model)
        input_of(graph)
        summary = summarize(schedule(graph, target.fabric), target)
        if arguments.json:
            files.write(arguments.json, summary.to_json().encode())
        files.commit()
    console = output()
    console.print(summary.table())
    for line in summary.lines():
        console.print(line, soft_wrap=True)
    return 0


def megahertz(text: str) -> float:
    """A clock in MHz."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 10_000:
        raise argparse.ArgumentTypeError(f"must be a clock in MHz, above 0 and not above 10000, not {text!r}")
    return value

"""`celosia quantize`: a float ONNX network becomes a quantized one, its widths given or searched for."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import UsageError, add_fabric, fabric_of, positive
from .run import Interrupted

if TYPE_CHECKING:
    from ..files import OutputFiles

SUMMARY = "quantize a float .onnx network after training, with given widths or the best mix of them"

_OUTPUTS = ("out", "picture", "json")
_INPUTS = ("model", "data", "labels")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("model", metavar="FLOAT.onnx", help="the network, in floating point")
    parser.add_argument(
        "--data",
        metavar="X.npy",
        required=True,
        help="samples in the first axis, float32 as the network takes them; .npz: `inputs`",
    )
    parser.add_argument("--labels", metavar="Y.npy", help="each sample's class; without them the float network's answers count")
    parser.add_argument(
        "--bits", type=_bits, default=8, help="of all weights, 2 to 8; auto searches for the best mix (default: %(default)s)"
    )
    parser.add_argument(
        "--activations", metavar="BITS", type=_width, help="of all activations between layers, 2 to 8 (default: as --bits)"
    )
    parser.add_argument("--out", metavar="OUT.onnx", help="the quantized network (default: FLOAT-8bit.onnx or FLOAT-auto.onnx)")
    add_fabric(parser)
    parser.add_argument(
        "--calibrate", metavar="N", type=positive, default=512, help="samples to find scales by (default: %(default)s)"
    )
    parser.add_argument(
        "--scales", choices=("mse", "percentile", "max"), default="mse",
        help="activations' scales: least mean square of what is lost, 99.99 %% or all values unclipped (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--max-loss", metavar="PERCENT", type=_percent, default=0.01, help="auto: what it may lose (default: 1)"
    )
    parser.add_argument(
        "--sampler", choices=("tpe", "nsga2", "cmaes"), default="tpe", help="auto: Optuna's sampler (default: %(default)s)"
    )
    parser.add_argument("--trials", metavar="N", type=positive, default=100, help="auto: mixes to try (default: %(default)s)")
    parser.add_argument(
        "--seed", type=_seed, default=0, help="of the search and of what calibration keeps (default: %(default)s)"
    )
    parser.add_argument("--picture", metavar="P.png", help="auto: the Pareto front (.png, .svg, .pdf)")
    parser.add_argument("--json", metavar="R.json", help="the result, for programs")


def execute(arguments: argparse.Namespace) -> int:
    """Quantizes, writes the files, then prints the tables."""
    automatic = arguments.bits == "auto"
    if arguments.out is None:
        stem = Path(arguments.model).with_suffix("")
        arguments.out = f"{stem}-{'auto' if automatic else f'{arguments.bits}bit'}.onnx"
    _check(arguments, automatic)
    fabric = fabric_of(arguments.fabric)
    if fabric.compact:
        raise UsageError(f"fabric {fabric.name} is a compact one, which the cost model does not describe: take another for it")

    from ..files import OutputFiles
    from ..quantize.task import Task
    from .terminal import output, progress_bar, status

    done = ""
    try:
        with OutputFiles() as files:
            drawn_as = _claim(files, arguments)
            with status("reading the network and the data"):
                task = Task.read(arguments.model, arguments.data, arguments.labels)
            with progress_bar("calibrating") as show:
                bench = task.bench(fabric, arguments.calibrate, arguments.scales, arguments.seed, show)
            if automatic:
                with progress_bar("searching") as show:

                    def advance(tried: int, total: int) -> None:
                        nonlocal done
                        done = f" after {tried} of {total} trials"
                        show(tried, total)

                    result = task.search(
                        bench, sampler=arguments.sampler, trials=arguments.trials, seed=arguments.seed,
                        max_loss=arguments.max_loss, tell=advance,
                    )  # fmt: skip
            else:
                with status("quantizing"):
                    result = task.uniform(bench, arguments.bits, arguments.activations or arguments.bits)
            with progress_bar("judging on the golden models") as show:
                result = task.judged(result, show)
            files.write(arguments.out, result.data)
            if arguments.json:
                files.write(arguments.json, result.to_json().encode())
            if arguments.picture:
                files.write(arguments.picture, result.picture(drawn_as))
            files.commit()
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted{done}; nothing written") from error
    console = output()
    for table in result.tables():
        console.print(table)
    for line in result.lines():
        console.print(line, soft_wrap=True)
    console.print(f"written: {arguments.out}", soft_wrap=True)
    return 0


def _claim(files: "OutputFiles", arguments: argparse.Namespace) -> str:
    """Claims the output files; the picture's format."""
    drawn_as = ""
    if arguments.picture:
        from ..picture import picture_format

        drawn_as = picture_format(arguments.picture)
    for name in _OUTPUTS:
        if getattr(arguments, name):
            files.claim(getattr(arguments, name))
    return drawn_as


def _check(arguments: argparse.Namespace, automatic: bool) -> None:
    """Refuses what does not go together, to write one file twice, or over what is read."""
    if automatic and arguments.activations:
        raise UsageError("--bits auto chooses the activations' widths itself: leave --activations out")
    if arguments.picture and not automatic:
        raise UsageError("--picture shows a search: take --bits auto")
    if Path(arguments.out).suffix != ".onnx":
        raise UsageError(f"--out must end in .onnx, by which Celosia knows the format, not be {arguments.out!r}")
    taken = {os.path.realpath(path): name for name in _INPUTS if (path := getattr(arguments, name))}
    for name in _OUTPUTS:
        path = getattr(arguments, name)
        if not path:
            continue
        real = os.path.realpath(path)
        if real in taken and (os.path.isfile(real) or not os.path.exists(real)):
            raise UsageError(f"--{name} names the same file as {taken[real]}: {path}")
        taken[real] = f"--{name}"


def _width(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 2 <= int(text) <= 8):
        raise argparse.ArgumentTypeError(f"must be one of 2 to 8, not {text!r}")
    return int(text)


def _bits(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return _width(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"must be auto, or one of 2 to 8, not {text!r}") from error


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / 100
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a percentage of 0 to 100, not {text!r}")
    return value


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 1 << 32):
        raise argparse.ArgumentTypeError(f"must be a whole number of 0 to 2**32 - 1, not {text!r}")
    return int(text)

"""Classifies handwritten digits on the simulated fabric, and shows how well and where the cycles went.

    python -m celosia.host.demo

The network and its 450 test images lie beside this file; `train.py` made them.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ...sim.errors import CelosiaError, ToolError
from ..device import Array
from ..ir import Int8Array
from ..labels import accuracy
from ..session import Session

HERE = Path(__file__).parent
MODEL = HERE / "digits.tflite"
PICTURE = "digits-cycles.png"


@dataclass(frozen=True, kw_only=True, eq=False)
class Digits:
    """Test images (N, 8, 8, 1), what they show, and what LiteRT's reference kernels answer, (N, 10)."""

    inputs: Int8Array
    labels: Int8Array
    outputs: Int8Array

    def accuracy(self, outputs: Array) -> float:
        """Share of the images whose greatest output is the right one."""
        return accuracy(outputs, self.labels[: len(outputs)])


def load_digits() -> Digits:
    """The held-out images that the network was not trained on."""
    with np.load(HERE / "digits.npz", allow_pickle=False) as stored:
        return Digits(inputs=stored["inputs"], labels=stored["labels"], outputs=stored["outputs"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; 0 if every output equals its reference, 1 if not or if it could not run."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)  # a log has room for the table
    try:
        return _run(options, console)
    except CelosiaError as error:
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False)
        return error.exit_code


def _run(options: argparse.Namespace, console: Console) -> int:
    digits = load_digits()
    inputs = digits.inputs[: options.limit]
    if options.device == "sim":
        console.print(f"Building the simulator of fabric {options.fabric}; once, then it comes from the cache.")
    with Session(MODEL, device=options.device, fabric=options.fabric) as session:
        with _progress(console) as bar:
            task = bar.add_task("digits", total=len(inputs))
            outputs = session.run(inputs, progress=lambda done, total: bar.update(task, completed=done, total=total))
        report = session.report
    assert isinstance(outputs, np.ndarray), "the network has one output"
    console.print(report.table())
    console.print(report.summary(), highlight=False)
    console.print(f"accuracy: {digits.accuracy(outputs):.2%} of {len(inputs)} images", highlight=False)
    if report.cycles is not None:
        console.print(f"cycles per image: {report.cycles:,.0f}", highlight=False)
        picture = _folder(options.output) / PICTURE
        report.picture(picture)
        console.print(f"picture of the layers' cycles: {picture}", highlight=False)
    different = int((outputs != digits.outputs[: len(inputs)]).any(axis=1).sum())
    if different:
        console.print(f"{different} of {len(inputs)} images differ from the reference", style="bold red")
        return 1
    console.print("all outputs equal those of TensorFlow Lite's reference kernels, bit for bit", style="bold green")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m celosia.host.demo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="sim", help="what to run on: sim or golden (default: sim)")
    parser.add_argument("--fabric", default="ecp5-25", help="preset of the fabric (default: ecp5-25)")
    parser.add_argument("--limit", type=_positive, metavar="N", help="only the first N images")
    parser.add_argument(
        "--output", type=Path, default=Path("build/demo"), metavar="DIR", help="where the picture goes (build/demo)"
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text!r}")
    return value


def _progress(console: Console) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console)


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"cannot make the directory {path}: {error.strerror or error}") from error
    return path


if __name__ == "__main__":
    sys.exit(main())

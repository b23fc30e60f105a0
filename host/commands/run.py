"""`celosia run`: a network, a batch of inputs, the answers, and where the cycles went."""

import argparse
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import UsageError, add_fabric, add_model, fabric_of, positive

if TYPE_CHECKING:
    from ..device import Array

SUMMARY = "run a network on inputs, and report every layer's cycles"

_OUTPUTS = ("output", "json", "trace", "picture", "timeline", "roofline")
_CYCLES = ("picture", "timeline", "roofline")  # show cycles, which device golden has none of


class Interrupted(Exception):
    """The user stopped the run: one sentence, exit code 1."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_model(parser)
    parser.add_argument(
        "--input",
        metavar="X.npy",
        required=True,
        help="samples in the first axis, int8 or real values; of a .npz file the array `inputs`, or the only one",
    )
    parser.add_argument(
        "--labels",
        metavar="L.npy",
        help="the samples' classes: prints how many answers are right; of a .npz file the array `labels`, or the only one",
    )
    parser.add_argument("--output", metavar="Y.npy", help="the answers; .npz for a network of several outputs")
    add_fabric(parser)
    parser.add_argument(
        "--device",
        action="append",
        help="sim, the fabric simulated cycle by cycle; golden, the golden models; serial:///dev/ttyUSB0?baud=N, a board; "
        "several times to spread the samples over several (default: sim)",
    )
    parser.add_argument("--limit", metavar="N", type=positive, help="run the first N samples alone")
    parser.add_argument("--json", metavar="R.json", help="the report, for programs")
    parser.add_argument("--trace", metavar="F", help="waveforms of the fabric")
    parser.add_argument("--picture", metavar="P.png", help="each layer's cycles as bars (.png, .svg, .pdf)")
    parser.add_argument(
        "--timeline", metavar="T.json", help="which unit was busy when: .json for Perfetto or Chrome, .png or .svg as a picture"
    )
    parser.add_argument(
        "--roofline", metavar="R.png", help="what each layer reached of what its traffic allows (.png, .svg, .json)"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Runs, writes the files, then prints the table."""
    _check_paths(arguments)
    fabric = fabric_of(arguments.fabric)
    devices = arguments.device or ["sim"]

    from .. import labels, samples
    from ..charts import chart, chart_format
    from ..files import OutputFiles
    from ..session import Session, input_of, load_model
    from .terminal import output, progress_bar, status

    progress = [0, 0]
    try:
        with OutputFiles() as files:
            if arguments.picture:
                from ..picture import draw, picture_format

                drawn_as = picture_format(arguments.picture)
            charts = {name: chart_format(path) for name in ("timeline", "roofline") if (path := getattr(arguments, name))}
            places = {name: files.claim(path) for name in _OUTPUTS if (path := getattr(arguments, name))}
            x = samples.read(arguments.input)
            graph = load_model(arguments.model)
            x = samples.prepare(x[: arguments.limit] if x.ndim else x, input_of(graph))
            classes = None
            if arguments.labels:
                known = samples.read(arguments.labels, "labels")
                shape = graph.tensors[graph.outputs[0]].shape
                classes = labels.check(known[: arguments.limit] if known.ndim else known, samples=len(x), shape=shape)
            if len(graph.outputs) > 1 and arguments.output and not _is_npz(arguments.output):
                raise UsageError(f"{graph.name} has {len(graph.outputs)} outputs: --output must name a .npz file")
            progress[1] = len(x)
            with status(f"preparing {', '.join(devices)}"):
                session = Session(graph, devices, fabric, places.get("trace"))
            with session, progress_bar(graph.name) as show:

                def advance(done: int, total: int) -> None:
                    progress[:] = done, total
                    show(done, total)

                y = session.run(x, advance)
            report = session.report
            if classes is not None:
                report = replace(report, accuracy=labels.accuracy(y[0] if isinstance(y, tuple) else y, classes))
            if arguments.output:
                files.write(arguments.output, _numpy_file(y, _is_npz(arguments.output)))
            if arguments.json:
                files.write(arguments.json, report.to_json().encode())
            if arguments.picture:
                files.write(arguments.picture, draw(report, drawn_as))
            for name, form in charts.items():
                found = session.timeline() if name == "timeline" else session.roofline()
                files.write(getattr(arguments, name), chart(found, form))
            files.commit()
    except KeyboardInterrupt as error:
        done, total = progress
        after = f" after {done} of {total} samples" if total else ""
        raise Interrupted(f"interrupted{after}; nothing written") from error
    console = output()
    console.print(report.table())
    console.print(report.summary())
    if len(report.devices) > 1:
        for device in report.devices:
            console.print(str(device))
    return 0


def _check_paths(arguments: argparse.Namespace) -> None:
    """Refuses to write one file twice, or over what is read."""
    taken = {os.path.realpath(arguments.model): "the model", os.path.realpath(arguments.input): "--input"}
    for name in _OUTPUTS:
        path = getattr(arguments, name)
        if path is None:
            continue
        if not path:
            raise UsageError(f"--{name} needs the name of a file")
        real = os.path.realpath(path)
        if real in taken and (os.path.isfile(real) or not os.path.exists(real)):
            raise UsageError(f"--{name} names the same file as {taken[real]}: {path}")
        taken[real] = f"--{name}"
    for name in _CYCLES:
        if getattr(arguments, name) and "golden" in (arguments.device or ()):
            raise UsageError(f"--{name} shows cycles, and device golden counts none: take device sim")


def _is_npz(path: str) -> bool:
    return Path(path).suffix == ".npz"


def _numpy_file(y: "Array | tuple[Array, ...]", archive: bool) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    if not archive:
        np.save(buffer, y, allow_pickle=False)
    elif isinstance(y, tuple):
        named = {f"output_{index}": value for index, value in enumerate(y)}
        np.savez(buffer, allow_pickle=False, **named)
    else:
        np.savez(buffer, outputs=y)
    return buffer.getvalue()

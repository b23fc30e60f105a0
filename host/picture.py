"""The picture of a run: a bar for each layer, its busy cycles and its stalls apart."""

import io
import os
import warnings
from pathlib import Path

from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from ..sim.errors import DeviceError, ToolError
from .report import STALLS, LayerReport, Report, percent, short

_COLOURS = {"busy": "#2a9d8f", "weights": "#e9c46a", "activations": "#f4a261", "output": "#e76f51"}


def picture_format(path: str | os.PathLike[str]) -> str:
    """The format that the ending of `path` names. Raises ToolError where it names none that can be drawn."""
    known = sorted(FigureCanvasAgg.get_supported_filetypes())
    ending = Path(path).suffix.removeprefix(".").lower()
    if ending not in known:
        raise ToolError(f"cannot draw {path}: its ending must be one of {', '.join(known)}, not {ending!r}")
    return ending


def draw(report: Report, file_format: str) -> bytes:
    """The picture as the content of a file. Raises DeviceError where the run counted no cycles."""
    if report.cycles is None:
        raise DeviceError(f"device {report.device} counts no cycles to draw: take device sim")
    layers = [layer for layer in report.layers if layer.on_fabric]
    parts = {"busy": [_busy(layer) for layer in layers]}
    parts |= {stall: [float(layer.stalls[stall] or 0) for layer in layers] for stall in STALLS}
    figure = Figure(figsize=(9, 1.6 + 0.26 * max(len(layers), 1)), layout="constrained")
    axes = figure.subplots()
    ends = [0.0] * len(layers)
    for part, cycles in parts.items():
        label = part if part == "busy" else f"waits for {part}"
        axes.barh(range(len(layers)), cycles, left=ends, color=_COLOURS[part], label=label)
        ends = [end + length for end, length in zip(ends, cycles, strict=True)]
    for row, (layer, end) in enumerate(zip(layers, ends, strict=True)):
        if layer.macs:
            axes.text(end, row, f" {percent(layer.utilization)}", va="center", fontsize=8)
    axes.set_yticks(range(len(layers)), [short(layer.name) for layer in layers], fontsize=8)
    plain(axes.yaxis)
    axes.invert_yaxis()
    axes.margins(x=0.1, y=0.01)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel(f"cycles per inference, {report.cycles:,.0f} in all; beside the bars: utilisation of the array")
    axes.set_title(f"{report.model} on {report.fabric.name}, device {report.device}", parse_math=False)
    axes.legend(loc="best", fontsize=8)
    return saved(figure, file_format)


def saved(figure: Figure, file_format: str) -> bytes:
    """A figure as the content of a file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # names in a script that the font lacks are drawn as boxes
        figure.savefig(buffer, format=file_format, dpi=120)
    return buffer.getvalue()


def plain(axis: Axis) -> None:
    """Prints an axis' labels as they are: `$` and `_` of a layer's name are no mathematics."""
    for tick in axis.get_ticklabels():
        tick.set_parse_math(False)


def _busy(layer: LayerReport) -> float:
    return float(layer.cycles or 0) - sum(float(layer.stalls[stall] or 0) for stall in STALLS)

"""The picture of a roofline: roofs as lines, each layer at its MAC per byte and its measured MAC/cycle."""

import numpy as np
from matplotlib.figure import Figure

from .picture import saved
from .report import short
from .roofline import KINDS, Roofline

_COLOURS = {"weights": "#e9c46a", "activations": "#2a9d8f", "host": "#e76f51"}
_PEAKS = {"mac": "array", "depthwise": "depthwise unit", "xnor": "XNOR engine"}


def draw(found: Roofline, file_format: str) -> bytes:
    """The picture as the content of a file."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    places = [value for point in found.points for value in point.intensity.values()]
    low, high = min([0.1, *places]) / 2, max([100.0, *places]) * 2
    span = np.geomspace(low, high, 200)
    top = max([1, *found.peaks.values()])
    for kind in KINDS:
        width = found.bandwidths[kind]
        label = f"{kind}: {width} bytes a cycle"
        axes.plot(span, np.minimum(span * width, top), color=_COLOURS[kind], linewidth=1.2, label=label)
    for engine, peak in found.peaks.items():
        axes.axhline(peak, color="black", linewidth=0.8, linestyle=":")
        name, _, products = engine.partition("/")
        unit = f"{_PEAKS[name]}, {products} bit products a MAC" if products else _PEAKS[name]
        axes.text(high, peak, f"{unit}: {peak} MAC/cycle ", ha="right", va="bottom", fontsize=8)
    labels: dict[tuple[float, float], list[str]] = {}
    for index, point in enumerate(found.points):
        for kind, intensity in point.intensity.items():
            binding = kind == point.roof
            axes.plot(
                intensity, point.measured, "o", color=_COLOURS[kind], markersize=6 if binding else 4,
                markeredgecolor="black" if binding else "none", alpha=1 if binding else 0.6,
            )  # fmt: skip
        anchor = point.intensity.get("activations", next(iter(point.intensity.values()), low))
        labels.setdefault((round(anchor, 2), round(point.measured)), []).append(str(index))
    for place, numbers in labels.items():
        axes.annotate(", ".join(numbers), place, textcoords="offset points", xytext=(6, -3), fontsize=7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_xlabel("MAC per byte moved")
    axes.set_ylabel("MAC/cycle, measured")
    axes.set_title(f"{found.model} on {found.fabric}, device {found.device}", parse_math=False)
    rows = [
        f"{index} {short(point.name)}: {point.measured:.1f} of {point.attainable:.1f}"
        for index, point in enumerate(found.points)
    ]
    axes.legend(loc="upper left", fontsize=7)
    text = axes.text(
        1.02, 1, "\n".join(["measured of attainable MAC/cycle", *rows]), transform=axes.transAxes, va="top", fontsize=6
    )
    text.set_parse_math(False)
    return saved(figure, file_format)

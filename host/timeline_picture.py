"""The picture of a timeline: a row for each unit, a colour for each layer."""

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from .picture import plain, saved
from .report import short
from .timeline import DESCRIPTORS, UNITS, Timeline

_COLOURS = 20
_LETTERS = 190  # of the labels' size, across the whole picture
_LEAST_LETTERS = 5  # what has no room for so many has no label
_GREY = "#9aa0a6"


def draw(found: Timeline, file_format: str) -> bytes:
    """The picture as the content of a file."""
    figure = Figure(figsize=(14, 0.9 + 0.5 * len(UNITS)), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(item.name for item in found.activities if item.unit == DESCRIPTORS))
    palette = colormaps["tab20"]
    width = max((float(item.end) for item in found.activities), default=1.0)
    for item in found.activities:
        row, length = UNITS.index(item.unit), float(item.end - item.begin)
        colour = palette(names.index(item.name) % _COLOURS) if item.name in names else _GREY
        alpha = 1.0 if item.measured else 0.7
        axes.broken_barh([(float(item.begin), length)], (row - 0.4, 0.8), facecolors=colour, alpha=alpha, linewidth=0)
        letters = int(_LETTERS * length / width)
        if item.unit == DESCRIPTORS and letters >= _LEAST_LETTERS:
            middle = float(item.begin) + length / 2
            label = axes.text(middle, row, short(item.name)[:letters], ha="center", va="center", fontsize=6)
            label.set_parse_math(False)
    axes.set_yticks(range(len(UNITS)), UNITS, fontsize=8)
    plain(axes.yaxis)
    axes.invert_yaxis()
    axes.set_xlim(0, width)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel(
        f"cycles; {float(found.cycles):,.0f} counted by the fabric, {found.cycles_load:,} of loading before. "
        "Descriptors are measured, units within them modelled"
    )
    axes.set_title(f"{found.model} on {found.fabric}, device {found.device}", parse_math=False)
    return saved(figure, file_format)

"""Timelines and rooflines as files: the ending says whether figures (.json) or a picture (.png, .svg, ...)."""

import os
from pathlib import Path

from ..sim.errors import ToolError
from .roofline import Roofline
from .timeline import Timeline


def chart_format(path: str | os.PathLike[str]) -> str:
    """The format that the ending of `path` names. Raises ToolError where it names none."""
    if Path(path).suffix.lower() == ".json":
        return "json"
    from .picture import picture_format

    try:
        return picture_format(path)
    except ToolError as error:
        raise ToolError(str(error).replace("must be one of ", "must be one of json, ")) from error


def chart(found: Timeline | Roofline, file_format: str) -> bytes:
    """The content of the file."""
    if file_format == "json":
        return found.to_json().encode()
    if isinstance(found, Timeline):
        from .timeline_picture import draw as draw_timeline

        return draw_timeline(found, file_format)
    from .roofline_picture import draw as draw_roofline

    return draw_roofline(found, file_format)

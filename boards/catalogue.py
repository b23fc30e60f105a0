"""Every board, by name."""

from difflib import get_close_matches

from ..host.commands.arguments import UsageError
from . import colorlight, ecpix5, icebreaker, orangecrab, tang_primer, ulx3s
from .board import Board

_MODULES = (ulx3s, ecpix5, orangecrab, colorlight, icebreaker, tang_primer)
_BOARDS = {board.name: board for module in _MODULES for board in module.BOARDS}


def boards() -> tuple[Board, ...]:
    """All boards."""
    return tuple(_BOARDS.values())


def find(name: str) -> Board:
    """The board of that name. Raises UsageError where there is none."""
    if name not in _BOARDS:
        near = get_close_matches(name.lower(), _BOARDS, n=1)
        hint = f": did you mean {near[0]}?" if near else ":"
        raise UsageError(f"unknown board {name!r}{hint} choose one of {', '.join(_BOARDS)}")
    return _BOARDS[name]

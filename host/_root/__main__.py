"""The command `celosia`, also as `python -m celosia`: joins the commands of the rooms."""

import sys
from collections.abc import Sequence

from .boards.commands import COMMANDS as BOARD_COMMANDS
from .host import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    return cli.main(argv, {**cli.COMMANDS, **BOARD_COMMANDS})


if __name__ == "__main__":
    sys.exit(main())

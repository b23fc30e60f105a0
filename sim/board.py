"""A simulated board behind a pseudo-terminal: any program talks to it as to a board at a serial port."""

import contextlib
import os
import select
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ..hw.link.uart import BITS_PER_BYTE
from .errors import ToolError
from .pins import PinSimulator

_LOOK = 0.2  # seconds between looks at whether to stop
_BLOCK = 4096  # bytes read at once
_SLICE = 4096  # cycles between looks at the terminal
_QUIET = 64  # bytes' time without a byte after which a fabric at rest has nothing more to say
_LIMIT = 1 << 16  # bytes that wait for a reader; what comes then is lost, as at any serial port


class SimulatedBoard:
    """A pseudo-terminal with a simulated device at its other end.

    Parameters
    ----------
    cycles_per_bit: of the device's serial port.
    link: name for the terminal, a symbolic link; its own name is new each time.

    Raises ToolError where this system has no pseudo-terminals, or the link cannot be made.
    """

    def __init__(self, simulator: PinSimulator, *, cycles_per_bit: float, link: Path | None = None):
        try:
            import pty
            import tty

            self._ours = -1
            self._ours, self._theirs = pty.openpty()
            tty.setraw(self._theirs)
        except (ImportError, OSError) as error:
            raise ToolError(f"no pseudo-terminal to be had: {error}; a simulated board needs Linux or macOS") from error
        os.set_blocking(self._ours, False)
        self._simulator = simulator
        self._quiet_cycles = round(_QUIET * BITS_PER_BYTE * cycles_per_bit)
        self._to_board = b""
        self._to_reader = b""
        self._link = link
        self._heard = 0  # cycle of the last byte in or out
        if link is not None:
            try:
                os.symlink(self.path, link)
            except OSError as error:
                self._link = None
                self.close()
                raise ToolError(f"cannot make the link {link}: {error.strerror}; give another name") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    @property
    def path(self) -> str:
        """The terminal's name: what programs open."""
        return os.ttyname(self._theirs)

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Simulates until it is told to stop; costs nothing while the board rests and nobody sends."""
        while not until():
            resting = self._rests()
            readable, _, _ = select.select([self._ours], [], [], _LOOK if resting else 0)
            if readable:
                self._to_board += self._read()
            elif resting:
                continue
            taken, data, _ = self._simulator.exchange(self._to_board, _SLICE)
            self._to_board = self._to_board[taken:]
            if taken or data:
                self._heard = self._simulator.cycles
            self._to_reader = (self._to_reader + data)[:_LIMIT]
            self._write()

    def close(self) -> None:
        """Takes the terminal away, as a plug is pulled. May be called twice."""
        if self._ours >= 0:
            os.close(self._ours)
            os.close(self._theirs)
            self._ours = -1
        if self._link is not None:
            self._link.unlink(missing_ok=True)
            self._link = None

    def _rests(self) -> bool:
        """Whether nothing goes on until somebody sends."""
        quiet = self._simulator.cycles - self._heard > self._quiet_cycles
        return quiet and not self._to_board and self._simulator.is_asleep

    def _read(self) -> bytes:
        try:
            return os.read(self._ours, _BLOCK)
        except BlockingIOError:
            return b""

    def _write(self) -> None:
        if self._to_reader:
            with contextlib.suppress(BlockingIOError):  # nobody reads: later
                self._to_reader = self._to_reader[os.write(self._ours, self._to_reader) :]

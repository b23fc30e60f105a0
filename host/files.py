"""Output files that appear whole or not at all.

with OutputFiles() as files:
    files.claim("y.npy")  # now it is known that the place can be written
    ...                   # the long work
    files.write("y.npy", data)
    files.commit()        # now they appear, all of them
"""

import os
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from ..sim.errors import ToolError


class OutputFiles:
    """Files that a piece of work leaves behind when it succeeds.

    Each is written beside its destination under a hidden name, and moved there by `commit`; leaving the context without
    `commit` removes them all. A destination that is no regular file (a pipe, /dev/null) is written in place.

    Raises ToolError where a place cannot be written.
    """

    def __init__(self) -> None:
        self._temporary: dict[Path, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for path, temporary in self._temporary.items():
            if temporary != _destination(path):
                temporary.unlink(missing_ok=True)

    def claim(self, path: str | os.PathLike[str]) -> Path:
        """Makes sure that `path` can be written, and returns the path to write to until `commit`."""
        path = Path(path)
        target = _destination(path)
        if target.is_dir():
            raise ToolError(f"cannot write {path}: it is a directory")
        if not target.parent.is_dir():
            raise ToolError(f"cannot write {path}: there is no directory {target.parent}, make it first")
        if target.exists() and not os.access(target, os.W_OK):
            raise ToolError(f"cannot write {path}: permission denied")
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            self._temporary[path] = target
            return target
        try:
            handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
        except OSError as error:
            raise ToolError(f"cannot write {path}: {error.strerror or error}") from error
        os.close(handle)
        self._temporary[path] = Path(name)
        return Path(name)

    def write(self, path: str | os.PathLike[str], data: bytes) -> None:
        """Puts `data` into the claimed file."""
        path = Path(path)
        try:
            with self._temporary[path].open("wb") as file:
                file.write(data)
                file.flush()
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    os.fsync(file.fileno())  # some disks tell only now that they are full
        except OSError as error:
            raise ToolError(f"cannot write {path}: {error.strerror or error}") from error

    def commit(self) -> None:
        """Moves every file to its destination."""
        for path, temporary in list(self._temporary.items()):
            target = _destination(path)
            if temporary != target:
                try:
                    temporary.chmod(0o666 & ~_umask())
                    temporary.replace(target)
                except OSError as error:
                    raise ToolError(f"cannot write {path}: {error.strerror or error}") from error
            del self._temporary[path]


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes one file, whole or not at all. Raises ToolError."""
    with OutputFiles() as files:
        files.claim(path)
        files.write(path, data)
        files.commit()


def _destination(path: Path) -> Path:
    return Path(os.path.realpath(path))  # a link stays, and what it names is written


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

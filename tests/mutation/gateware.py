"""The gateware with a fault in it: a changed copy of the tree, under a name of its own or in the real one's place."""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

HW = Path(__file__).resolve().parents[2] / "hw"

_numbers = itertools.count()


class PatternError(LookupError):
    """A fault's text is not where it was: the gateware has changed, and the fault must follow it."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Replaces `old`, which must stand exactly once in `file` (a path below `hw/`), by `new`; `what` says what that breaks."""

    file: str
    old: str
    new: str
    what: str

    def apply(self, source: str) -> str:
        """The file with the fault. Raises PatternError."""
        found = source.count(self.old)
        if found != 1:
            raise PatternError(
                f"the fault {self.what!r} replaces {self.old!r}, which stands {found} times in hw/{self.file}, not once: "
                "adapt it to the gateware as it is now"
            )
        return source.replace(self.old, self.new)

    def __str__(self) -> str:
        return f"{Path(self.file).stem}: {self.what}".replace(" ", "-")


class Gateware:
    """The modules of a tree: `gateware("mac.cell").PairCell`."""

    def __init__(self, package: str = "celosia.hw") -> None:
        self._package = package

    def __call__(self, module: str) -> ModuleType:
        return importlib.import_module(f"{self._package}.{module}")

    def config(self, **sizes: Any) -> Any:
        """The configuration `mini` with other sizes."""
        return replace(self("presets").preset("mini"), **sizes)


def write_copy(folder: Path, file: str, source: str) -> None:
    """The tree `hw` in `folder`, with another text in one of its files."""
    shutil.copytree(HW, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / file).write_text(source)


@contextlib.contextmanager
def planted(*faults: Fault) -> Iterator[Gateware]:
    """A copy of the gateware with these faults, beside the real one."""
    if not faults:
        yield Gateware()
        return
    package = f"faulty_gateware_{next(_numbers)}"
    with tempfile.TemporaryDirectory(prefix="celosia-fault-") as name:
        folder = Path(name, "hw")
        shutil.copytree(HW, folder, ignore=shutil.ignore_patterns("__pycache__"))
        for fault in faults:
            (folder / fault.file).write_text(fault.apply((folder / fault.file).read_text()))
        finder = _Finder(package, folder)
        sys.meta_path.insert(0, finder)
        try:
            yield Gateware(package)
        finally:
            sys.meta_path.remove(finder)
            for module in [module for module in sys.modules if module.split(".")[0] == package]:
                del sys.modules[module]


def put_in_place(folder: Path) -> None:
    """From now on, in this process, `celosia.hw` is the tree in `folder`."""
    assert "celosia.hw" not in sys.modules, "the real gateware is imported already"
    sys.meta_path.insert(0, _Finder("celosia.hw", folder))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one package in a folder."""

    def __init__(self, package: str, folder: Path) -> None:
        self._package, self._folder = package, folder

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name != self._package:
            return None
        places = [str(self._folder)]
        return importlib.util.spec_from_file_location(name, self._folder / "__init__.py", submodule_search_locations=places)

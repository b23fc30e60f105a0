"""The commands that know boards."""

from types import ModuleType

from . import boards, build, program

COMMANDS: dict[str, ModuleType] = {"boards": boards, "build": build, "program": program}

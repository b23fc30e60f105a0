"""The commands that know boards."""

from types import ModuleType

from . import boards, build, program, simulate_board

COMMANDS: dict[str, ModuleType] = {
    "boards": boards,
    "build": build,
    "program": program,
    "simulate-board": simulate_board,
}

"""The commands that know boards; `estimate` takes the place of the one of `host`, which knows fabrics alone."""

from types import ModuleType

from . import boards, build, estimate, program, simulate_board

COMMANDS: dict[str, ModuleType] = {
    "boards": boards,
    "build": build,
    "estimate": estimate,
    "program": program,
    "simulate-board": simulate_board,
}

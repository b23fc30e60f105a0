"""What each family's flow offers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...host.cost.resources import Resources
from ..board import Board
from ..stage import Stage, ends_like_json
from ..tools import YOSYS

NAME = "top"
"""Stem of the files that the tools read and write, and name of the top module."""

HIDE_ELEMENTS = r"rename -hide w:*\[*"
"""Amaranth gives elements of an array wires of their own, `x[1]` beside `x`. ABC9 knows the bit 1 of `x` by that name, too, and
Yosys then takes the one for the other, or ends with `Assert GetSize(conn.first) == GetSize(conn.second)`."""

_OWN_LOG = "yosys.own.log"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What one build chooses: the seed of the placer, and the fabric's clock in Hz, as the PLL makes it."""

    seed: int
    clock_hz: float


class Flow(Protocol):
    """One family's flow.

    suffix          of a bitstream
    """

    suffix: str

    def stages(self, board: Board, platform: Any, choices: Choices) -> tuple[Stage, ...]:
        """Synthesis, place and route, packing: the files of Amaranth's build plan lie in the folder of the build."""

    def used(self, utilization: Mapping[str, int], cells: Mapping[str, int]) -> Resources:
        """What the design takes, from the placer's counts and the synthesised netlist's cells by type."""

    def is_whole(self, content: bytes) -> bool:
        """True of a bitstream that reaches its end."""

    def chip_of(self, content: bytes) -> str | None:
        """Name of the chip that a bitstream is for, as far as it tells; None of what is no bitstream of this family."""


def flow_of(family: str) -> Flow:
    """The flow of a family."""
    from . import ecp5, gowin, ice40

    flows: dict[str, Flow] = {"ecp5": ecp5.FLOW, "ice40": ice40.FLOW, "gowin": gowin.FLOW}
    return flows[family]


def synthesis(command: str, then: Callable[[Path], object] | None = None) -> Stage:
    """Reads the design, synthesises it, writes the netlist, and then, as proof of having come so far, its statistics.

    What the WebAssembly build prints while and after logic is mapped is lost, errors too, but not what it logs itself.
    """
    script = (
        f"read_rtlil {NAME}.il",
        HIDE_ELEMENTS,
        command,
        f"write_json {NAME}.json",
        f"tee -q -o {NAME}.stat.json stat -json",
    )
    return Stage(
        title="synthesis",
        tool=YOSYS,
        arguments=("-q", "-l", _OWN_LOG, "-p", "; ".join(script)),
        outputs={f"{NAME}.json": ends_like_json, f"{NAME}.stat.json": ends_like_json},
        own_log=_OWN_LOG,
        then=then,
    )

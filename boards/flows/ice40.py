"""Lattice iCE40: synth_ice40, nextpnr-ice40, icepack."""

from collections.abc import Mapping
from typing import Any

from ...host.cost.resources import Resources
from ..board import Board
from ..stage import Stage, ends_like_json, is_not_empty
from ..tools import ICEPACK, NEXTPNR_ICE40
from .flow import NAME, Choices, synthesis

_SIZES = {"iCE40UP5K": "--up5k"}
_SYNTHESIS = {"iCE40UP5K": ("-device", "u")}
_PREAMBLE = b"\x7e\xaa\x99\x7e"
_WIDTH, _HEIGHT = b"\x62", b"\x72"  # commands, followed by two bytes
_CHIPS = {(691, 336): "iCE40UP5K"}  # by the size of a bank of configuration memory, as those commands give it


class Ice40Flow:
    """The flow of `icestorm`: a `.bin` file."""

    suffix = ".bin"

    def stages(self, board: Board, platform: Any, choices: Choices) -> tuple[Stage, ...]:
        """The gateware instances its multipliers itself: none is inferred."""
        options = (*_SYNTHESIS[platform.device], *board.options.get("synth", ()))
        return (
            synthesis(" ".join(("synth_ice40", *options, "-top", NAME))),
            Stage(
                title="place and route",
                tool=NEXTPNR_ICE40,
                arguments=(
                    _SIZES[platform.device],
                    *("--package", platform.package.lower()),
                    *("--json", f"{NAME}.json"),
                    *("--pcf", f"{NAME}.pcf"),
                    *("--asc", f"{NAME}.asc"),
                    *("--report", f"{NAME}.report.json"),
                    *("--seed", str(choices.seed)),
                    "--timing-allow-fail",
                    *board.options.get("nextpnr", ()),
                ),
                outputs={f"{NAME}.report.json": ends_like_json, f"{NAME}.asc": is_not_empty},
            ),
            Stage(
                title="packing",
                tool=ICEPACK,
                arguments=(*board.options.get("pack", ()), f"{NAME}.asc", f"{NAME}{self.suffix}"),
                outputs={f"{NAME}{self.suffix}": self.is_whole},
            ),
        )

    def used(self, utilization: Mapping[str, int], cells: Mapping[str, int]) -> Resources:
        """A logic cell is a LUT4 with its flip-flop; the flip-flops are counted in the netlist."""
        return Resources(
            lut4=utilization["ICESTORM_LC"],
            ff=sum(count for cell, count in cells.items() if cell.startswith("SB_DFF")),
            dsp=utilization["ICESTORM_DSP"],
            bram=utilization["ICESTORM_RAM"],
        )

    def is_whole(self, content: bytes) -> bool:
        """From the preamble to the command that starts the design."""
        return _PREAMBLE in content[:256] and b"\x01\x06" in content[-16:]

    def chip_of(self, content: bytes) -> str | None:
        """By the size of its configuration memory: nothing in it names the chip."""
        begin = content.find(_PREAMBLE, 0, 256)
        if begin < 0:
            return None
        head = content[begin : begin + 32]
        width, height = (head.find(command) + 1 for command in (_WIDTH, _HEIGHT))
        size = int.from_bytes(head[width : width + 2], "big"), int.from_bytes(head[height : height + 2], "big")
        return _CHIPS.get(size, f"a chip of {size[0]} x {size[1]} bits a bank")


FLOW = Ice40Flow()

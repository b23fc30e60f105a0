"""Gowin: synth_gowin, nextpnr-himbaechel, gowin_pack."""

from collections.abc import Mapping
from typing import Any

from ...host.cost.resources import Resources
from ..board import Board
from ..stage import Stage, ends_like_json
from ..tools import GOWIN_PACK, NEXTPNR_GOWIN
from .flow import NAME, Choices, synthesis

_MEGA = 1e6


class GowinFlow:
    """The flow of `apycula`: a `.fs` file."""

    suffix = ".fs"

    def stages(self, board: Board, platform: Any, choices: Choices) -> tuple[Stage, ...]:
        """Amaranth's platform still calls a tool that is gone; its constraints file is good."""
        family = platform.family
        return (
            synthesis(" ".join(("synth_gowin", "-family", "gw2a", *board.options.get("synth", ()), "-top", NAME))),
            Stage(
                title="place and route",
                tool=NEXTPNR_GOWIN,
                arguments=(
                    *("--device", platform.part),
                    *("--vopt", f"family={family}"),
                    *("--vopt", f"cst={NAME}.cst"),
                    *("--json", f"{NAME}.json"),
                    *("--write", f"{NAME}.pnr.json"),
                    *("--report", f"{NAME}.report.json"),
                    *("--freq", f"{choices.clock_hz / _MEGA:.6f}"),
                    *("--seed", str(choices.seed)),
                    "--timing-allow-fail",
                    *board.options.get("nextpnr", ()),
                ),
                outputs={f"{NAME}.report.json": ends_like_json, f"{NAME}.pnr.json": ends_like_json},
            ),
            Stage(
                title="packing",
                tool=GOWIN_PACK,
                arguments=(
                    *("-d", family),
                    *("-o", f"{NAME}{self.suffix}"),
                    *board.options.get("pack", ()),
                    f"{NAME}.pnr.json",
                ),
                outputs={f"{NAME}{self.suffix}": self.is_whole},
            ),
        )

    def used(self, utilization: Mapping[str, int], cells: Mapping[str, int]) -> Resources:
        """An adder bit is a LUT4."""
        return Resources(
            lut4=utilization["LUT4"] + utilization.get("ALU", 0),
            ff=utilization["DFF"],
            dsp=sum(count for cell, count in utilization.items() if cell.startswith("MULT") and "18X18" in cell),
            bram=utilization["BSRAM"],
        )

    def is_whole(self, content: bytes) -> bool:
        """Text of zeros and ones, to its last line, of ones alone."""
        last = content.rstrip().rpartition(b"\n")[2]
        return bool(last) and not last.strip(b"1") and self.chip_of(content) is not None

    def chip_of(self, content: bytes) -> str | None:
        """By the identification code in its head."""
        for line in content[:4096].splitlines():
            if line.startswith(b"00000110") and len(line) == 64 and not line.strip(b"01"):
                code = int(line[32:], 2)
                return {0x0000_081B: "GW2A-18"}.get(code, f"a chip with the code {code:#010x}")
        return None


FLOW = GowinFlow()

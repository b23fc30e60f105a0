"""Lattice ECP5: synth_ecp5, nextpnr-ecp5, ecppack."""

import re
from collections.abc import Mapping
from typing import Any

from ...host.cost.resources import Resources
from ..board import Board
from ..stage import Patience, Stage, ends_like_json, is_not_empty
from ..tools import ECPPACK, NEXTPNR_ECP5
from .carries import open_carries
from .flow import NAME, Choices, synthesis

_SIZES = {"LFE5U-12F": "--12k", "LFE5U-25F": "--25k", "LFE5U-45F": "--45k", "LFE5U-85F": "--85k", "LFE5UM5G-85F": "--um5g-85k"}
_PACKAGES = {"BG256": "CABGA256", "MG285": "CSFBGA285", "BG381": "CABGA381", "BG554": "CABGA554", "BG756": "CABGA756"}
_CHIPS = {  # identification codes: Lattice FPGA-TN-02039, table of device IDs
    0x2111_1043: "LFE5U-12F",
    0x4111_1043: "LFE5U-25F",
    0x4111_2043: "LFE5U-45F",
    0x4111_3043: "LFE5U-85F",
    0x8111_3043: "LFE5UM5G-85F",
}
_ITERATION = re.compile(r"iter=(\d+) .*tmgfail=(\d+)")  # of the router: its number, connections that are too slow
_ITERATIONS = 250
_RIPUP = "--tmg-ripup"
PLACE_AND_ROUTE = ("--placer", "static", "--router", "router2", _RIPUP)
"""How nextpnr works: `Ecp5Flow.stages` says why."""
_PREAMBLE = b"\xff\xff\xbd\xb3"
_VERIFY_ID = b"\xe2\x00\x00\x00"
_PROGRAM_DONE = b"\x5e\x00\x00\x00"


def _is_endless(said: str) -> bool:
    """True of a line of the router that still finds connections too slow after so many attempts."""
    iteration = _ITERATION.search(said)
    return iteration is not None and int(iteration[1]) > _ITERATIONS and int(iteration[2]) > 0


PATIENCE = Patience(over=_is_endless, without=(_RIPUP,))
"""With a router that does not meet its clock."""


class Ecp5Flow:
    """The flow of `prjtrellis`: a `.bit` file."""

    suffix = ".bit"

    def stages(self, board: Board, platform: Any, choices: Choices) -> tuple[Stage, ...]:
        """Wide multiplexers cost more than they save here: `-nowidelut`. On a chip as full as these nextpnr's default placer
        ends late and leaves what does not route; its static placer spreads the design first.

        Routing makes detours, and without `--tmg-ripup` the router takes none of them back for being too slow: a fabric of
        256 MAC a cycle that was placed for 99 MHz gets 84 or 99 by chance. With it the router goes on until all are fast
        enough, and the same placement gives 108. Where none can be it would go on for hours.
        """
        synth = " ".join(("synth_ecp5", "-nowidelut", *board.options.get("synth", ()), "-top", NAME))
        return (
            synthesis(synth, then=lambda folder: open_carries(folder / f"{NAME}.json")),
            Stage(
                title="place and route",
                tool=NEXTPNR_ECP5,
                arguments=(
                    _SIZES[platform.device],
                    *("--package", _PACKAGES[platform.package]),
                    *("--speed", platform.speed),
                    *("--json", f"{NAME}.json"),
                    *("--lpf", f"{NAME}.lpf"),
                    *("--textcfg", f"{NAME}.config"),
                    *("--report", f"{NAME}.report.json"),
                    *("--seed", str(choices.seed)),
                    *PLACE_AND_ROUTE,
                    "--timing-allow-fail",  # it is for us to say that a clock is missed
                    *board.options.get("nextpnr", ()),
                ),
                outputs={f"{NAME}.report.json": ends_like_json, f"{NAME}.config": is_not_empty},
                patience=PATIENCE,
            ),
            Stage(
                title="packing",
                tool=ECPPACK,
                arguments=(
                    "--compress",
                    *board.options.get("pack", ()),
                    *("--input", f"{NAME}.config"),
                    *("--bit", f"{NAME}{self.suffix}"),
                ),
                outputs={f"{NAME}{self.suffix}": self.is_whole},
            ),
        )

    def used(self, utilization: Mapping[str, int], cells: Mapping[str, int]) -> Resources:
        """A LUT4 that is a carry or a word of distributed memory is one."""
        return Resources(
            lut4=utilization["TRELLIS_COMB"],
            ff=utilization["TRELLIS_FF"],
            dsp=utilization["MULT18X18D"],
            bram=utilization["DP16KD"],
        )

    def is_whole(self, content: bytes) -> bool:
        """From the preamble to the command that starts the design."""
        return _PREAMBLE in content and _PROGRAM_DONE in content[-64:]

    def chip_of(self, content: bytes) -> str | None:
        """By the identification code that the chip itself compares."""
        begin = content.find(_PREAMBLE)
        at = content.find(_VERIFY_ID, begin) if begin >= 0 else -1
        if at < 0:
            return None
        code = int.from_bytes(content[at + 4 : at + 8], "big")
        return _CHIPS.get(code, f"a chip with the code {code:#010x}")


FLOW = Ecp5Flow()

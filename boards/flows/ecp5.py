"""Lattice ECP5: synth_ecp5, nextpnr-ecp5, ecppack."""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...host.cost.resources import Resources
from ..board import Board
from ..stage import Attempt, Patience, Stage, ends_like_json, is_not_empty
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
_RIPUP = "--tmg-ripup"
_PLACE_AND_ROUTE = ("--placer", "static", "--router", "router2")
_ITERATION = re.compile(r"iter=(\d+) .*overused=(\d+) .*tmgfail=(\d+)")  # of the router: its number, and what is left to do
_ITERATIONS_WITHOUT_GAIN = 80
_REPORT = f"{NAME}.report.json"
_LPF, _ASKED_LPF = f"{NAME}.lpf", f"{NAME}.asked.lpf"
_FREQUENCY = re.compile(r'(FREQUENCY (?:NET|PORT) "[^"]*" )([0-9.]+)( HZ;)')
_ASKED = (1.005, 0.98, 0.92)
"""Of the clock, what the router is asked for, one after the other. It does not count what a wire's other readers cost, so a
part of what it believes to have reached may not be confirmed: some per cent or nothing. More is not asked for, as an attempt
in vain costs a placement: of the 85F's, seeds 1 and 2 were given up at 142.8 MHz; 2 reaches 140, and 3 140.7."""
_PREAMBLE = b"\xff\xff\xbd\xb3"
_VERIFY_ID = b"\xe2\x00\x00\x00"
_PROGRAM_DONE = b"\x5e\x00\x00\x00"


class Gain:
    """Watches the router, which with `--tmg-ripup` has no end of its own where a connection stays too slow."""

    def __init__(self) -> None:
        self._least: int | None = None  # wires that are overused and connections too slow, at best
        self._since = 0  # the iteration that it was
        self._is_slow = False  # since then

    def __call__(self, said: str) -> bool:
        """True of a line of the log after too many iterations that gained nothing, some connections being too slow."""
        match = _ITERATION.search(said)
        if match is None:
            return False
        iteration, overused, slow = map(int, match.groups())
        if self._least is None or overused + slow < self._least:
            self._least, self._since, self._is_slow = overused + slow, iteration, False
        self._is_slow = self._is_slow or slow > 0
        return self._is_slow and iteration - self._since > _ITERATIONS_WITHOUT_GAIN


def place_and_route(*arguments: str, outputs: Mapping[str, Callable[[bytes], bool]] | None = None) -> Stage:
    """nextpnr, from the netlist `NAME`.json and the constraints `NAME`.lpf to `NAME`.report.json and `outputs`.

    On a chip as full as these its default placer ends late and leaves what does not route; its static placer spreads the
    design first. Routing makes detours, and without `--tmg-ripup` the router takes none of them back for being too slow: a
    fabric of 256 MAC a cycle that was placed for 99 MHz gets 84 or 99 by chance. With it the router goes on until all are fast
    enough, and the same placement gives 108.

    Where all cannot be fast enough it would go on for ever. Somewhat less is asked for then, and at last whatever comes. The
    report has the clock as it was. The placement does not depend on the clock that is asked for, and is made anew all the same:
    a netlist that was written where it is placed, and read again, has lost what ties the free ports of multipliers and block
    RAMs (`CIB.JCE0MUX 1` and the like), and nextpnr makes another bitstream of it without a word.
    """
    common = (
        *("--json", f"{NAME}.json", "--lpf", _ASKED_LPF, "--report", _REPORT, *arguments, *_PLACE_AND_ROUTE),
        "--timing-allow-fail",  # it is for us to say that a clock is missed
    )
    first, *others = (
        Attempt(
            what=f"for {part:.0%} of the clock",
            arguments=(*common, _RIPUP),
            prepare=partial(_ask, part=part),
            then=partial(_restore, part=part),
        )
        for part in _ASKED
    )
    last = Attempt(what=f"without {_RIPUP}", arguments=common, prepare=partial(_ask, part=1), then=partial(_restore, part=1))
    return Stage(
        title="place and route",
        tool=NEXTPNR_ECP5,
        arguments=first.arguments,
        prepare=first.prepare,
        outputs={_REPORT: ends_like_json, **(outputs or {})},
        then=first.then,
        patience=Patience(watch=Gain, others=(*others, last)),
    )


def _ask(folder: Path, part: float) -> None:
    """Asks for `part` of every clock."""
    text = (folder / _LPF).read_text()
    asked = _FREQUENCY.sub(lambda match: f"{match[1]}{float(match[2]) * part:.1f}{match[3]}", text)
    (folder / _ASKED_LPF).write_text(asked)


def _restore(folder: Path, part: float) -> None:
    """Lets the report say what every clock is, not what was asked for."""
    report = json.loads((folder / _REPORT).read_text())
    for clock in report["fmax"].values():
        clock["constraint"] /= part
    (folder / _REPORT).write_text(json.dumps(report))


class Ecp5Flow:
    """The flow of `prjtrellis`: a `.bit` file."""

    suffix = ".bit"

    def stages(self, board: Board, platform: Any, choices: Choices) -> tuple[Stage, ...]:
        """Wide multiplexers cost more than they save here: `-nowidelut`."""
        synth = " ".join(("synth_ecp5", "-nowidelut", *board.options.get("synth", ()), "-top", NAME))
        return (
            synthesis(synth, then=lambda folder: open_carries(folder / f"{NAME}.json")),
            place_and_route(
                _SIZES[platform.device],
                *("--package", _PACKAGES[platform.package]),
                *("--speed", platform.speed),
                *("--textcfg", f"{NAME}.config"),
                *("--seed", str(choices.seed)),
                *board.options.get("nextpnr", ()),
                outputs={f"{NAME}.config": is_not_empty},
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

"""A board and a fabric become a bitstream: Amaranth, yosys, nextpnr, the family's packer."""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..host.files import write_whole
from ..hw.config import FabricConfig
from ..sim.errors import ToolError
from . import timing
from .board import Board
from .clock import PllSettings
from .fit import check_fit
from .flows.flow import NAME, Choices, flow_of
from .result import BuildResult

Notify = Callable[[str, str], None]
"""Hears the stage that runs, and what its tool said last."""

_MEGA = 1e6


def build(
    board: Board,
    config: FabricConfig,
    *,
    out: Path,
    seed: int | None = None,
    clock_hz: int | None = None,
    keep: bool = False,
    notify: Notify | None = None,
) -> BuildResult:
    """Builds `config` for `board` into the folder `out`: the bitstream, `build.json` and the tools' logs.

    Nothing of an earlier build is touched until this one has succeeded, but for the logs. With `keep` the files between the
    tools stay too, in `out`/work, also where a tool fails. A clock that is missed is no error here: `BuildResult.missed` tells.

    Raises CapacityError where the fabric is too large or the PLL makes no such clock, ToolError where a tool is missing or
    fails or `out` cannot be written.
    """
    began = time.monotonic()
    check_fit(board, config)
    settings = board.pll(clock_hz)
    flow = flow_of(board.chip.family)
    seed = board.seed if seed is None else seed
    choices = Choices(seed=seed, clock_hz=settings.clock_hz)
    platform = board.make_platform(config)
    stages = flow.stages(board, platform, choices)
    tools = {stage.tool.name: stage.tool.version() for stage in stages}
    seconds: dict[str, float] = {}

    with _folder(out, keep) as work:
        if notify:
            notify("elaboration", "amaranth")
        start = time.monotonic()
        elaborate(board, config, settings, platform, work)
        seconds["amaranth"] = time.monotonic() - start
        for stage in stages:
            title = f"{stage.title} ({stage.tool.name})"
            if notify:
                notify(title, "")
            show = None if notify is None else lambda said, title=title: notify(title, said)
            seconds[stage.tool.name] = stage.run(work, out, show)

        report = json.loads((work / f"{NAME}.report.json").read_text())
        cells = _cells(json.loads((work / f"{NAME}.stat.json").read_text()))
        clocks = _fabric_first(timing.clocks(report), settings)
        bitstream = out / f"{board.name}{flow.suffix}"
        content = (work / f"{NAME}{flow.suffix}").read_bytes()
        result = BuildResult(
            board=board.name,
            fabric=config.name,
            seed=seed,
            clock_mhz=settings.clock_hz / _MEGA,
            clocks=clocks,
            used=flow.used({name: entry["used"] for name, entry in report["utilization"].items()}, cells),
            there=board.chip.resources,
            macs_per_cycle=config.macs_per_cycle,
            bitstream=str(bitstream),
            seconds=time.monotonic() - began,
            stages=seconds,
            path=timing.critical_path(report, clocks[0].name),
            tools=tools,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_whole(bitstream, content)
        write_whole(out / "build.json", result.to_json().encode())
    return result


def elaborate(board: Board, config: FabricConfig, settings: PllSettings, platform: Any, folder: Path) -> None:
    """Writes the board's whole design into `folder`: RTLIL, and the constraints of its pins and clocks."""
    from .top import Top

    plan = platform.build(Top(board, config, settings), name=NAME, do_build=False)
    for name, content in plan.files.items():
        if not name.startswith("build_") and not name.endswith((".debug.v", ".ys")):
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def _folder(out: Path, keep: bool) -> Iterator[Path]:
    """A folder to work in, below `out`, for one build at a time; it goes when the build ends, or becomes `out`/work."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise ToolError(f"cannot build in {out}: {error.strerror}; name another folder with --out") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ToolError(f"another build is running in {out}: wait for it, or name another folder with --out") from error
        try:
            work = Path(tempfile.mkdtemp(prefix=".work-", dir=out))
        except OSError as error:
            raise ToolError(f"cannot build in {out}: {error.strerror}; name another folder with --out") from error
        try:
            yield work
        finally:
            if keep:
                shutil.rmtree(out / "work", ignore_errors=True)
                work.rename(out / "work")
            else:
                shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(handle)


def _cells(statistics: dict[str, Any]) -> dict[str, int]:
    counts: dict[str, int] = statistics["design"]["num_cells_by_type"]
    return counts


def _fabric_first(clocks: tuple[timing.Clock, ...], settings: PllSettings) -> tuple[timing.Clock, ...]:
    """The fabric's clock is the slowest of those that run as fast as the PLL."""
    wanted = settings.clock_hz / _MEGA
    own = [clock for clock in clocks if abs(clock.wanted_mhz / wanted - 1) < 0.01]
    if not own:
        raise ToolError(f"the placer reports no clock of {wanted:g} MHz, which is the fabric's: this is a bug of Celosia")
    fabric = min(own, key=lambda clock: clock.fmax_mhz)
    return (fabric, *(clock for clock in clocks if clock is not fabric))

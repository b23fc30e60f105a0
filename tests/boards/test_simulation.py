"""Boards that are simulated at their pins, talked to as boards: the same answers as of the simulated fabric."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from celosia import Session
from celosia.__main__ import main
from celosia.boards.catalogue import find
from celosia.boards.simulation import board_design
from celosia.hw.config import preset
from celosia.sim.pins import PinSimulator


class Simulated:
    """`celosia simulate-board` in a process of its own."""

    def __init__(self, folder, *arguments):
        self.link = folder / "board"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "celosia", "simulate-board", *arguments, "--link", str(self.link)],
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        while not self.link.is_symlink():
            assert self._process.poll() is None
            time.sleep(0.1)
        return self

    def __exit__(self, *error):
        self._process.terminate()
        self.said, _ = self._process.communicate(timeout=60)


@pytest.mark.slow
def test_the_speech_commands_network_on_a_ulx3s(shared, tmp_path):
    """The whole top level, at its own clock and rate: outputs and cycles are those of device sim."""
    model = shared / "models" / "kws01_dscnn_int8.tflite"
    data = np.load(shared / "data" / "kws01.npz")
    x = data["inputs"][:3]
    with Session(model) as session:
        expected, report = session.run(x), session.report
    with Simulated(tmp_path, "--board", "ulx3s-85f") as board:
        began = time.monotonic()
        with Session(model, device=f"serial://{board.link}?baud=3000000") as session:
            y = session.run(x)
            seconds = time.monotonic() - began
            assert session.report.cycles == report.cycles
            assert session.report.bytes_out == report.bytes_out
    print(f"3 samples in {seconds:.1f} s")
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(y, data["outputs"][:3])
    assert "ulx3s-85f, fabric ecp5-85, 140 MHz, 3,000,000 baud, is simulated at" in board.said
    assert not os.path.lexists(board.link)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["icebreaker", "tang-primer-20k"])
def test_boards_of_other_families(name, tmp_path):
    board = find(name)
    with Simulated(tmp_path, "--board", name, "--fabric", "mini") as simulated:
        assert main(["devices", f"serial://{simulated.link}?baud={board.link.baud}", "--measure"]) == 0
    assert f"{name}, fabric mini" in simulated.said


@pytest.mark.slow
def test_sleep_and_hierarchy_change_no_cycle(tmp_path):
    """The traced model is flat and always awake: byte for byte the same, in the same cycles."""
    from celosia.host.transport.frames import Frame

    board = find("ulx3s-12f")
    board_settings = board.pll(None)
    design = board_design(board, preset("mini"), board_settings)
    ratio = board_settings.clock_hz / board.link.baud
    said = bytes(Frame(session=5, hello=True)) + bytes(Frame(session=5, payload=bytes([1, 0, 0, 7, 0, 0, 0, 0] * 8)))
    heard = []
    for trace in (None, tmp_path / "trace.vcd"):
        simulator = PinSimulator(design, cycles_per_bit=ratio, trace=trace)
        taken, data, times = simulator.exchange(said, 40_000)
        assert taken == len(said)
        heard.append((data, times.tolist()))
        simulator.close()
    assert heard[0] == heard[1]
    assert len(heard[0][0]) > 60


def test_unknown_board(capsys):
    assert main(["simulate-board", "--board", "ulx4s"]) == 2
    assert "unknown board 'ulx4s'" in capsys.readouterr().err


def test_unknown_fabric(capsys):
    assert main(["simulate-board", "--board", "ulx3s-85f", "--fabric", "cloud"]) == 2
    assert "unknown fabric 'cloud'" in capsys.readouterr().err

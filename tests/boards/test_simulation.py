"""Boards that are simulated at their pins, talked to as boards: the same answers as of the simulated fabric."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from celosia.__main__ import main
from celosia.boards.catalogue import find
from celosia.boards.simulation import board_design
from celosia.hw.presets import preset
from celosia.sim.pins import PinSimulator

DEMO = Path(__file__).parents[2] / "host/demo"
PATIENT = "patience=10&timeout=1000"  # on a machine that is busy, a simulated board may not get a turn for seconds
SAFE = 1000  # seconds: none of the processes may take as long, however busy the machine is


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
        self.said, _ = self._process.communicate(timeout=SAFE)


def until_open(process, port):
    """Waits until a process has a port open, as Linux tells of it; where there is no telling, for a while."""
    files = Path(f"/proc/{process.pid}/fd")
    if not files.exists():
        time.sleep(4)
        return
    while process.poll() is None:
        with contextlib.suppress(OSError):  # closed while we look
            if any(file.readlink() == port.readlink() for file in files.iterdir()):
                return
        time.sleep(0.05)


def run_both(folder, network, inputs, board, fabric=None):
    """`celosia run` with device sim, then through a simulated board's port: the outputs of both, once they were compared."""
    found = {}
    arguments = ["--board", board, *(("--fabric", fabric) if fabric else ())]
    with Simulated(folder, *arguments) as simulated:
        address = find(board).link.address
        devices = {"sim": "sim", "board": f"serial://{simulated.link}{address}{'&' if address else '?'}{PATIENT}"}
        for name, device in devices.items():
            output, report = folder / f"{name}.npy", folder / f"{name}.json"
            began = time.monotonic()
            command = ["run", str(network), "--input", str(inputs), "--limit", "3", "--fabric", fabric or find(board).preset]
            assert main([*command, "--device", device, "--output", str(output), "--json", str(report)]) == 0
            print(f"{device}: {time.monotonic() - began:.1f} s")
            found[name] = np.load(output), json.loads(report.read_text())
    assert not os.path.lexists(simulated.link)
    (expected, of_sim), (y, of_board) = found["sim"], found["board"]
    np.testing.assert_array_equal(y, expected)
    for volatile in ("device", "seconds", "devices"):
        of_sim.pop(volatile), of_board.pop(volatile)
    assert of_board == of_sim, "cycles of every layer, and bytes in and out"
    return y, simulated.said


@pytest.mark.slow
def test_the_speech_commands_network_on_a_ulx3s(shared, tmp_path):
    """The whole top level, at its own clock and rate: outputs and cycles are those of device sim."""
    data = shared / "data" / "kws01.npz"
    y, said = run_both(tmp_path, shared / "models" / "kws01_dscnn_int8.tflite", data, "ulx3s-85f")
    np.testing.assert_array_equal(y, np.load(data)["outputs"][:3])
    clock = find("ulx3s-85f").pll(None).clock_hz / 1e6
    assert f"ulx3s-85f, fabric ecp5-85, {clock:g} MHz, 3,000,000 baud, is simulated at" in said
    assert f"celosia run MODEL --input X.npy --device serial://{tmp_path}/board?baud=3000000\n" in said


@pytest.mark.slow
def test_digits_on_a_small_board(tmp_path):
    """The same with a small fabric: its name is in the command that the board prints."""
    y, said = run_both(tmp_path, DEMO / "digits.tflite", DEMO / "digits.npz", "icebreaker", "mini")
    np.testing.assert_array_equal(y, np.load(DEMO / "digits.npz")["outputs"][:3])
    assert "--fabric mini --device serial://" in said


@pytest.mark.slow
def test_the_speech_commands_network_on_an_orangecrab(shared, tmp_path):
    """The same over USB, through the bus's protocol; its address has no rate."""
    data = shared / "data" / "kws01.npz"
    y, said = run_both(tmp_path, shared / "models" / "kws01_dscnn_int8.tflite", data, "orangecrab-25f")
    np.testing.assert_array_equal(y, np.load(data)["outputs"][:3])
    assert "orangecrab-25f, fabric ecp5-25, 72 MHz, USB, is simulated at" in said
    assert f"--fabric ecp5-25 --device serial://{tmp_path}/board\n" in said


def test_unplugged_in_mid_run_and_plugged_in_again(tmp_path):
    """One sentence, exit code 1, nothing written; then the same command works."""
    output = tmp_path / "y.npy"
    inputs = tmp_path / "x.npy"
    samples = np.load(DEMO / "digits.npz")["inputs"]
    np.save(inputs, np.concatenate([samples] * 50))
    arguments = ["--board", "icebreaker", "--fabric", "mini"]
    with Simulated(tmp_path, *arguments) as simulated:
        device = f"serial://{simulated.link}?baud=3000000&{PATIENT}"
        command = [sys.executable, "-m", "celosia", "run", str(DEMO / "digits.tflite"), "--fabric", "mini", "--device", device]
        run = subprocess.Popen(
            [*command, "--input", str(inputs), "--output", str(output)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until_open(run, simulated.link)
        time.sleep(1)
        assert run.poll() is None
    _, said = run.communicate(timeout=SAFE)
    assert run.returncode == 1
    assert said.count("\n") == 1
    assert f"celosia: error: device serial://{simulated.link} is gone" in said
    assert said.endswith("plug it in again, then reopen it\n")
    assert not output.exists()
    with Simulated(tmp_path, *arguments):
        again = subprocess.run(
            [*command, "--input", str(inputs), "--output", str(output), "--limit", "5"], capture_output=True, timeout=SAFE
        )
    assert again.returncode == 0
    np.testing.assert_array_equal(np.load(output), np.load(DEMO / "digits.npz")["outputs"][:5])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["icebreaker", "orangecrab-25f"])
def test_the_link_in_the_boards_own_time(name, capsys):
    """More than nine tenths of a UART's line each way, more than four fifths of the bus; a question takes its frames' time."""
    assert main(["simulate-board", "--board", name, "--fabric", "mini", "--measure"]) == 0
    out = capsys.readouterr().out
    print(out)
    board = find(name)
    shares = [float(share) / 100 for share in re.findall(r"\(([\d.]+)% of the wire\)", out)]
    assert len(shares) == 2
    assert all((0.8 if board.link.usb else 0.9) < share < 1 for share in shares)
    (question,) = re.findall(r"([\d.]+) ms for a question", out)
    frames = (2 * (18 + 8) + 2 * 18) * 10e3 / board.link.baud  # ms: question and answer, and the acknowledgement of each
    assert 0.9 * frames - 0.01 < float(question) < (2 if board.link.usb else 1.1) * frames + 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["icebreaker", "tang-primer-20k"])
def test_boards_of_other_families(name, tmp_path):
    board = find(name)
    with Simulated(tmp_path, "--board", name, "--fabric", "mini") as simulated:
        assert main(["devices", f"serial://{simulated.link}?baud={board.link.baud}&{PATIENT}", "--measure"]) == 0
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


def test_usb_has_no_rate_to_choose(capsys):
    assert main(["simulate-board", "--board", "orangecrab-25f", "--baud", "9600"]) == 2
    assert "--baud is for boards with a UART: the port of orangecrab-25f is USB" in capsys.readouterr().err


def test_unknown_fabric(capsys):
    assert main(["simulate-board", "--board", "ulx3s-85f", "--fabric", "cloud"]) == 2
    assert "unknown fabric 'cloud'" in capsys.readouterr().err

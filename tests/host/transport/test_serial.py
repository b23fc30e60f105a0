"""Serial ports, real ones as far as the operating system is concerned: pseudo-terminals with a simulated device behind them."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import wires
from celosia.host import cli
from celosia.host.transport.frames import Decoder, Frame
from celosia.host.transport.serial import SerialAddress, open_serial, parse_address
from celosia.hw.presets import preset
from celosia.sim.board import SimulatedBoard
from celosia.sim.errors import DeviceError

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
MINI = preset("mini")


class Plugged:
    """A simulated echo at a pseudo-terminal, in a thread of its own."""

    def __init__(self):
        self.simulator = wires.echo()
        self.board = SimulatedBoard(self.simulator, cycles_per_bit=wires.CYCLES_PER_BIT)
        self.path = self.board.path
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        self.board.run(self._ended.is_set)
        self.board.close()

    def pull(self):
        self._ended.set()
        self._thread.join()


@pytest.fixture
def plugged():
    board = Plugged()
    yield board
    board.pull()


def words(count):
    return np.random.default_rng(count).integers(0, 1 << 32, count, dtype=np.uint32)


def check(link, count=600):
    link.write(words(count))
    np.testing.assert_array_equal(link.read(count), wires.echoed(words(count), 0))


def test_words_over_a_terminal_and_again(plugged):
    for _ in range(3):
        link = open_serial(plugged.path, MINI)
        check(link)
        link.close()
        link.close()


def test_opened_again_in_the_middle_of_things(plugged):
    link = open_serial(plugged.path, MINI)
    link.write(words(4000))
    link.read(100)
    link.close()
    check(open_serial(plugged.path, MINI))


def test_unplugged_in_mid_run(plugged):
    link = open_serial(plugged.path, MINI)
    link.write(words(40_000))
    threading.Timer(0.2, plugged.pull).start()
    with pytest.raises(DeviceError, match=f"device serial://{plugged.path} is gone .*: plug it in again, then reopen it"):
        link.read(40_000)
    with pytest.raises(DeviceError, match="is gone|there is no port"):
        open_serial(plugged.path, MINI)


def test_two_programs(plugged):
    """Of one process or of two, the second is refused, and does the first no harm."""
    link = open_serial(plugged.path, MINI)
    check(link)
    code = f"import sys; from celosia.__main__ import main; sys.exit(main(['devices', 'serial://{plugged.path}']))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert other.returncode == 1
    assert "another program has" in other.stdout
    with pytest.raises(DeviceError, match=f"another program has {plugged.path} open: end it, then try again"):
        open_serial(plugged.path, MINI)
    link.write(words(5))
    np.testing.assert_array_equal(link.read(5), wires.echoed(words(5), 600))


def test_another_fabric(plugged):
    with pytest.raises(DeviceError, match="has fabric 'mini' .*but fabric 'ecp5-25' .*is asked for: ask for --fabric mini"):
        open_serial(plugged.path, preset("ecp5-25"))
    check(open_serial(plugged.path, MINI))


def test_the_command_line_lists_who_answers(plugged, capsys):
    assert cli.main(["devices", f"serial://{plugged.path}"]) == 0
    assert "fabric mini, protocol 1, " in capsys.readouterr().out


class Fake:
    """Somebody else at the other end of a terminal: answers each frame as `answer` says."""

    def __init__(self, answer):
        self._ours, self._theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        self.path = os.ttyname(self._theirs)
        self._answer = answer
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended = True
        self._thread.join()
        os.close(self._ours)
        os.close(self._theirs)

    def _run(self):
        decoder = Decoder()
        while not self._ended:
            try:
                data = os.read(self._ours, 4096)
            except BlockingIOError:
                time.sleep(0.002)
                continue
            for frame in decoder.feed(data):
                os.write(self._ours, self._answer(frame))


def test_another_version():
    said = "speaks version 2 of the link's protocol, this Celosia version 1"
    with (
        Fake(lambda frame: bytes(Frame(session=frame.session, hello=True, version=2))) as fake,
        pytest.raises(DeviceError, match=said),
    ):
        open_serial(fake.path, MINI)


def test_a_port_where_nobody_answers(capsys):
    with Fake(lambda frame: b"") as fake:
        began = time.monotonic()
        assert cli.main(["devices", f"serial://{fake.path}"]) == 1
        assert "no answer from serial://" in capsys.readouterr().out
        assert time.monotonic() - began < 5


def test_somebody_else_answers():
    """A modem, say: noise, and no hang."""
    with Fake(lambda frame: b"ERROR\r\n\xc5\xc5" * 20) as fake, pytest.raises(DeviceError, match="no answer from"):
        open_serial(f"{fake.path}?baud=1000000", MINI)


def test_addresses():
    assert parse_address("/dev/ttyUSB0") == SerialAddress(path="/dev/ttyUSB0", baud=3_000_000, timeout=60.0)
    assert parse_address("/dev/ttyUSB0?baud=115200&timeout=2.5") == SerialAddress(
        path="/dev/ttyUSB0", baud=115_200, timeout=2.5
    )
    assert parse_address("COM3?baud=9600").path == "COM3"
    assert parse_address("/dev/ttyUSB0").name == "serial:///dev/ttyUSB0"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", "device 'serial://' names no port: serial:///dev/ttyUSB0"),
        ("?baud=9600", "names no port"),
        (
            "/dev/x?speed=9600",
            "device 'serial:///dev/x?speed=9600' has the option 'speed': there are baud, timeout and patience",
        ),
        ("/dev/x?baud=fast", "baud must be a number above 0, not 'fast'"),
        ("/dev/x?baud=-1", "baud must be a number above 0, not '-1'"),
        ("/dev/x?baud=", "baud must be a number above 0, not ''"),
        ("/dev/x?timeout=0", "timeout must be a number above 0, not '0'"),
        ("/dev/x?patience=-1", "patience must be a number above 0, not '-1'"),
        ("/dev/x?timeout=inf", "timeout must be a number above 0, not 'inf'"),
        ("/dev/x?timeout=nan", "timeout must be a number above 0, not 'nan'"),
    ],
)
def test_refused_addresses(address, expected):
    with pytest.raises(DeviceError) as error:
        parse_address(address)
    assert expected in str(error.value)


def test_ports_that_do_not_open(tmp_path):
    with pytest.raises(DeviceError, match="there is no port /dev/celosia0: plug the board in; `celosia devices` lists"):
        open_serial("/dev/celosia0", MINI)
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="cannot open .*file at 3000000 baud"):
        open_serial(str(tmp_path / "file"), MINI)


@pytest.mark.parametrize(("arguments", "expected"), [(["sim"], "'sim' is no port to ask"), (["--baud", "x"], "not 'x'")])
def test_command_line_that_makes_no_sense(arguments, expected, capsys):
    assert cli.main(["devices", *arguments]) == 2
    assert expected in capsys.readouterr().err

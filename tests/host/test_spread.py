"""Several devices in a session: answers in order, each sample once, whatever happens to the devices."""

import threading
import time

import numpy as np
import pytest
import tiny
from celosia import DeviceError, Session
from celosia.host import cli, device

X = np.random.default_rng(1).integers(-60, 60, (40, 2, 2), np.int8)


@pytest.fixture
def devices(monkeypatch):
    """Devices by name, made when they are opened: `slow` ones take their time, those with a number fail at that sample."""
    opened = {}

    def opener(address, graph, fabric, trace):
        kind, _, number = address.partition(":")
        pause = {"slow": 0.02, "quick": 0.001}[kind]
        fail_at = int(number) if number else None
        made = tiny.CountingDevice(graph, pause=pause, fail_at=fail_at, error=DeviceError(f"{address} fell off"))
        opened[f"test://{address}"] = made
        return made

    monkeypatch.setitem(device._OPENERS, "test", opener)
    return opened


def samples_of(session):
    return {report.name: report.samples for report in session.report.devices}


def test_answers_keep_their_order_and_the_quick_do_more(devices):
    done = []
    with Session(tiny.graph(), ["test://slow", "test://quick"], "mini") as session:
        y = session.run(X, progress=lambda *args: done.append(args))
        np.testing.assert_array_equal(y, tiny.answers(X))
        shares = samples_of(session)
        assert sum(shares.values()) == len(X)
        assert shares["test://quick"] > 3 * shares["test://slow"] > 0
        assert done == [(count, len(X)) for count in range(len(X) + 1)]
        report = session.report
        assert (report.device, report.samples, report.cycles) == ("test://slow, test://quick", len(X), 16)
        assert [item.cycles for item in report.devices] == [16, 16]
        assert report.layers[0].cycles == 10
    assert all(opened.closed for opened in devices.values())


def test_the_others_do_the_samples_of_a_lost_one(devices, caplog):
    with Session(tiny.graph(), ["test://quick:3", "test://slow"], "mini") as session:
        np.testing.assert_array_equal(session.run(X), tiny.answers(X))
        assert samples_of(session) == {"test://quick:3": 3, "test://slow": len(X) - 3}
        lost, kept = session.report.devices
        assert (lost.lost, kept.lost) == ("quick:3 fell off", None)
        assert [record.getMessage() for record in caplog.records if record.name == "celosia"] == [
            "device test://quick:3 is lost, its samples go to the others: quick:3 fell off"
        ]
        np.testing.assert_array_equal(session.run(X[:5]), tiny.answers(X[:5]))
        assert samples_of(session) == {"test://quick:3": 0, "test://slow": 5}


def test_a_device_that_is_lost_last_of_all_still_has_its_sample_done(devices):
    """The other has run out of samples by then, and must take up one more."""
    x = X[:3]
    with Session(tiny.graph(), ["test://slow:1", "test://quick"], "mini") as session:
        np.testing.assert_array_equal(session.run(x), tiny.answers(x))
        np.testing.assert_array_equal(session.run(x), tiny.answers(x))
        assert samples_of(session)["test://quick"] == len(x)


def test_the_last_loss_is_an_error(devices):
    session = Session(tiny.graph(), ["test://quick:3", "test://slow:2"], "mini")
    with pytest.raises(DeviceError, match="fell off"):
        session.run(X)
    with pytest.raises(DeviceError, match="no device is left, the last one was lost: .*; open a new session"):
        session.run(X)


def test_a_bug_is_no_loss(devices):
    session = Session(tiny.graph(), ["test://quick:3", "test://slow"], "mini")
    devices["test://quick:3"]._error = TypeError("a bug")
    with pytest.raises(TypeError, match="a bug"):
        session.run(X)
    assert threading.active_count() < 3, "the threads have ended"


def test_an_interrupt_ends_the_threads(devices):
    session = Session(tiny.graph(), ["test://slow", "test://quick"], "mini")

    def interrupt(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.run(X, progress=interrupt)
    time.sleep(0.01)
    assert not [thread for thread in threading.enumerate() if "_work" in thread.name]
    np.testing.assert_array_equal(session.run(X), tiny.answers(X))


def test_golden_and_counting_devices_together_count_no_cycles(devices):
    with Session(tiny.graph(), ["golden", "test://quick"], "mini") as session:
        np.testing.assert_array_equal(session.run(X), tiny.answers(X))
        assert session.report.cycles is None


def test_refused(devices):
    with pytest.raises(DeviceError, match="a session needs a device"):
        Session(tiny.graph(), [], "mini")
    with pytest.raises(DeviceError, match="2 devices cannot write one trace"):
        Session(tiny.graph(), ["test://slow", "test://quick"], "mini", trace="w.vcd")
    with pytest.raises(DeviceError, match="unknown device 'abacus'"):
        Session(tiny.graph(), ["test://slow", "abacus"], "mini")
    assert devices["test://slow"].closed, "what was opened is let go"


def test_command_line(devices, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.tflite").write_bytes(tiny.model_file())
    np.save("x.npy", X.reshape(-1, 4))
    arguments = ["run", "tiny.tflite", "--input", "x.npy", "--output", "y.npy", "--fabric", "mini"]
    assert cli.main([*arguments, "--device", "test://slow", "--device", "test://quick:9"]) == 0
    np.testing.assert_array_equal(np.load("y.npy"), tiny.answers(X))
    out = capsys.readouterr().out
    assert "test://slow: 31 inferences, 16 cycles each" in out
    assert "test://quick:9: 9 inferences, 16 cycles each; lost: quick:9 fell off" in out
    assert "device test://quick:9 is lost" in caplog.text

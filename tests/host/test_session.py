"""A session: answers, report, and what it refuses."""

from dataclasses import replace

import celosia
import numpy as np
import pytest
import tiny
from celosia import CapacityError, DeviceError, ModelError, Session
from celosia.host import device
from celosia.host.ir import Reshape, Tensor
from celosia.hw.presets import preset

X = np.random.default_rng(1).integers(-60, 60, (5, 2, 2), np.int8)


@pytest.fixture
def opened(monkeypatch):
    """The devices opened under the name `counting`."""
    devices = []

    def opener(address, graph, fabric, trace):
        devices.append(tiny.CountingDevice(graph))
        return devices[-1]

    monkeypatch.setitem(device._OPENERS, "counting", opener)
    return devices


def test_golden_answers():
    with Session(tiny.graph(), device="golden", fabric="mini") as session:
        np.testing.assert_array_equal(session.run(X), tiny.answers(X))
        assert session.run(X).dtype == np.int8
        assert session.report.cycles is None
        assert session.report.layers[0].engine == "cpu"


def test_golden_answers_more_than_one_batch():
    x = np.random.default_rng(2).integers(-60, 60, (3 * device.GoldenDevice.batch + 1, 2, 2), np.int8)
    done = []
    y = Session(tiny.graph(), "golden").run(x, progress=lambda *args: done.append(args))
    np.testing.assert_array_equal(y, tiny.answers(x))
    assert done == [(0, 49), (16, 49), (32, 49), (48, 49), (49, 49)]


def test_real_values_are_quantized():
    real = (X.astype(np.float32) - tiny.ZERO_POINT) * tiny.SCALE
    np.testing.assert_array_equal(Session(tiny.graph(), "golden").run(real), tiny.answers(X))


def test_model_file(tmp_path):
    (tmp_path / "tiny.tflite").write_bytes(tiny.model_file())
    session = Session(tmp_path / "tiny.tflite", "golden")
    np.testing.assert_array_equal(session.run(X.reshape(5, 4)), tiny.answers(X))
    assert session.report.model == "tiny.tflite"


def test_report_covers_the_last_run_alone(opened):
    session = Session(tiny.graph(), "counting", "mini")
    session.run(X)
    session.run(X[:2])
    report = session.report
    assert (report.device, report.fabric.name, report.samples) == ("counting", "mini", 2)
    assert (report.cycles, report.cycles_io, report.bytes_in, report.bytes_out) == (16, 2, 4, 3)
    assert report.utilization == 12 / (16 * 16)
    assert report.layers[0].stalls == {"weights": 3, "activations": 1, "output": 0}
    assert report.seconds > 0


def test_report_after_a_failed_run_is_that_of_the_next_one(opened):
    session = Session(tiny.graph(), "counting", "mini")
    opened[0]._fail_at, opened[0]._error = 1, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        session.run(X)
    opened[0]._fail_at = None
    np.testing.assert_array_equal(session.run(X[:3]), tiny.answers(X[:3]))
    assert (session.report.samples, session.report.cycles) == (3, 16)


def test_closing_lets_the_device_go(opened):
    with Session(tiny.graph(), "counting") as session:
        session.run(X)
        assert not opened[0].closed
    assert opened[0].closed


def test_several_outputs_come_in_the_models_order():
    graph = tiny.graph()
    flat = Reshape(name="flat", inputs=("x",), output="z", shape=(1, 4))
    tensors = {**graph.tensors, "z": Tensor(name="z", shape=(1, 4))}
    graph = replace(graph, tensors=tensors, nodes=(flat, *graph.nodes), outputs=("z", "y"))
    z, y = Session(graph, "golden").run(X)
    np.testing.assert_array_equal(z, X.reshape(5, 4))
    np.testing.assert_array_equal(y, tiny.answers(X))


def test_a_configuration_instead_of_a_preset():
    session = Session(tiny.graph(), "golden", replace(preset("mini"), name="mine"))
    session.run(X)
    assert session.report.fabric.name == "mine"
    assert session.fabric.name == "mine"
    assert session.graph.name == "tiny"


def test_no_report_before_the_first_run():
    with pytest.raises(RuntimeError, match="nothing has run yet"):
        _ = Session(tiny.graph(), "golden").report


def test_refused_devices_and_fabrics():
    with pytest.raises(DeviceError, match="unknown device 'abacus': choose one of .*golden"):
        Session(tiny.graph(), "abacus")
    with pytest.raises(ValueError, match="unknown fabric 'cloud': choose one of up5k, mini"):
        Session(tiny.graph(), "golden", "cloud")
    with pytest.raises(DeviceError, match="device golden has no waveforms"):
        Session(tiny.graph(), "golden", trace="waves.vcd")


def test_refused_models(tmp_path):
    with pytest.raises(ModelError, match=r"no\.tflite"):
        Session(tmp_path / "no.tflite")
    (tmp_path / "cut.tflite").write_bytes(tiny.model_file()[:100])
    with pytest.raises(ModelError, match=r"cut\.tflite"):
        Session(tmp_path / "cut.tflite")
    two = replace(tiny.graph(), inputs=("x", "y"))
    with pytest.raises(ModelError, match="tiny has 2 inputs \\('x', 'y'\\): a session feeds a network of one"):
        Session(two, "golden")


def test_refused_inputs_leave_the_session_usable():
    session = Session(tiny.graph(), "golden")
    with pytest.raises(ModelError, match=r"x\[np.newaxis\]"):
        session.run(X[0])
    with pytest.raises(ModelError, match="index"):
        session.run(np.full((1, 2, 2), np.nan))
    np.testing.assert_array_equal(session.run(X), tiny.answers(X))


def test_public_names_are_loaded_when_used():
    assert celosia.Session is Session
    assert set(celosia.__all__) <= set(dir(celosia))
    assert {error.__base__ for error in (ModelError, CapacityError, DeviceError, celosia.ToolError)} == {celosia.CelosiaError}
    with pytest.raises(AttributeError, match="has no attribute 'Sesion'"):
        _ = celosia.Sesion

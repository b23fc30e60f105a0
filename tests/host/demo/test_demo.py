"""The demo's stored network: its outputs, its accuracy, its size, and the program that runs it."""

import networks
import numpy as np
import pytest
from celosia.host.demo import __main__ as demo
from celosia.host.session import Session


def test_stored_outputs_are_those_of_the_reference_kernels():
    digits = demo.load_digits()
    np.testing.assert_array_equal(networks.reference(demo.MODEL.read_bytes(), digits.inputs), digits.outputs)


def test_golden_device_answers_the_same():
    digits = demo.load_digits()
    with Session(demo.MODEL, device="golden", fabric="mini") as session:
        np.testing.assert_array_equal(session.run(digits.inputs), digits.outputs)


def test_accuracy():
    digits = demo.load_digits()
    assert digits.inputs.shape == (450, 8, 8, 1)
    assert digits.accuracy(digits.outputs) >= 0.97
    assert len(np.unique(digits.labels)) == 10


def test_images_are_held_out_ones():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from celosia.host.demo import train

    digits = demo.load_digits()
    learned, _, held, labels = train.load()
    np.testing.assert_array_equal(np.rint((digits.inputs.astype(int) + 128) / 255 * 16), held)
    np.testing.assert_array_equal(digits.labels, labels)
    # scikit-learn's set holds each image once, so none of those learned from is among the held-out ones.
    assert not {image.tobytes() for image in learned} & {image.tobytes() for image in held}


def test_it_stays_small():
    folder = demo.MODEL.parent
    assert sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) < 200 * 1024


def test_network_uses_every_engine():
    with Session(demo.MODEL, device="golden", fabric="mini") as session:
        ops = {node.op for node in session.graph.nodes}
    assert ops >= {"conv_2d", "depthwise_conv_2d", "add", "average_pool_2d", "fully_connected", "softmax"}


def test_program_on_the_golden_device(tmp_path, capsys):
    assert demo.main(["--device", "golden", "--limit", "20", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "of 20 images" in printed
    assert "bit for bit" in printed


def test_program_says_when_outputs_differ(tmp_path, capsys, monkeypatch):
    digits = demo.load_digits()
    wrong = digits.outputs.copy()
    wrong[3, 0] ^= 1
    other = demo.Digits(inputs=digits.inputs, labels=digits.labels, outputs=wrong)
    monkeypatch.setattr(demo, "load_digits", lambda: other)
    assert demo.main(["--device", "golden", "--limit", "20", "--output", str(tmp_path)]) == 1
    assert "1 of 20 images differ" in capsys.readouterr().out


def test_program_refuses_in_a_sentence(capsys):
    assert demo.main(["--device", "abacus", "--limit", "1"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "abacus" in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_training_reaches_its_accuracy(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    from celosia.host.demo import train

    assert train.main(tmp_path) == 0
    assert (tmp_path / "digits.tflite").stat().st_size == demo.MODEL.stat().st_size

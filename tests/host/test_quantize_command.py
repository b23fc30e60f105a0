"""`celosia quantize` from end to end: the file it writes is checked, estimated and run; what goes wrong is one sentence."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from celosia.host.cli import main
from celosia.host.session import Session
from fabrics import fabric_of
from float_networks import FloatWriter, write_digits
from qonnx_writer import QonnxWriter, batched, execute


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """digits.onnx with x.npy and y.npy, which it has not seen; files that do not fit it."""
    folder = tmp_path_factory.mktemp("quantize")
    x, labels = write_digits(folder)
    np.save(folder / "flat.npy", x.reshape(-1, 64))
    np.save(folder / "bytes.npy", (x * 16).astype(np.uint8))
    np.save(folder / "few.npy", labels[:7])
    np.save(folder / "real.npy", labels[-450:] + 0.5)
    np.save(folder / "large.npy", labels[-450:] + 1)
    (folder / "noise.onnx").write_bytes(b"no model at all" * 9)
    net = QonnxWriter((1, 1, 8, 8))
    (folder / "quantized.onnx").write_bytes(net.data(net.quant("x", 0.5)))
    plain = FloatWriter((1, 1, 8, 8))
    (folder / "sigmoid.onnx").write_bytes(plain.data(plain.node("Sigmoid", plain.conv("x", 1, 4))))
    return folder


def quantize(folder: Path, *arguments: str, model: str = "digits.onnx", data: str = "x.npy") -> int:
    """The command on the folder's files; of the arguments, those that end in a file's suffix lie there too."""
    found = [str(folder / word) if word.endswith((".npy", ".onnx", ".json", ".png", ".svg")) else word for word in arguments]
    return main(["quantize", str(folder / model), "--data", str(folder / data), *found])


@pytest.mark.parametrize(("bits", "lost"), [("8", 0.01), ("4", 0.02), ("2", 0.2)])
def test_a_network_that_was_trained(bits: str, lost: float, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Executor = golden = fabric, and about as accurate as in floating point."""
    assert quantize(folder, "--labels", "y.npy", "--bits", bits, "--out", "q.onnx", "--json", "q.json") == 0
    printed = capsys.readouterr().out
    assert "all proven equal to QONNX' executor's" in printed
    assert "is left out: the outputs are the logits" in printed
    assert ("for it holds narrower weights in bytes" in printed) == (bits != "8")
    path, x, labels = folder / "q.onnx", np.load(folder / "x.npy"), np.load(folder / "y.npy")
    expected = execute(batched(path.read_bytes(), len(x)), {"x": x})[0]
    accuracy = float((expected.argmax(axis=1) == labels).mean())
    found = json.loads((folder / "q.json").read_text())
    assert found["score"] == accuracy >= found["float"] - lost
    assert found["float"] > 0.9
    assert [layer["bits"] for layer in found["layers"]] == [int(bits)] * 3
    assert [layer["output_bits"] for layer in found["layers"]] == [int(bits), int(bits), 8]
    assert found["chosen"]["packed_bytes"] == sum(layer["packed_bytes"] for layer in found["layers"])
    with Session(path, "sim", fabric_of("mini")) as session:
        np.testing.assert_array_equal(session.run(x[:3]), expected[:3])
    assert main(["check", str(path), "--fabric", "mini"]) == 0
    assert main(["estimate", str(path)]) == 0
    assert f"{found['chosen']['cycles']:,}" in capsys.readouterr().out


def test_a_search(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--labels", "y.npy", "--bits", "auto", "--trials", "10", "--max-loss", "2%", "--picture", "front.svg"]
    assert quantize(folder, *arguments, "--json", "auto.json") == 0
    printed = capsys.readouterr().out
    assert "mixes that none other beats in every respect" in printed
    assert "activations: 8 bits, for narrower ones save neither cycles nor loaded bytes on this fabric" in printed
    found = json.loads((folder / "auto.json").read_text())
    assert found["chosen"] in found["front"]
    assert found["score"] == found["chosen"]["score"] >= found["float"] - 0.02
    assert (folder / "digits-auto.onnx").exists()
    picture = (folder / "front.svg").read_text()
    assert picture.startswith("<?xml")
    assert picture.count("<svg") == 1


def test_without_labels_the_float_network_judges(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for scales in ("max", "percentile"):
        assert quantize(folder, "--out", "q.onnx", "--scales", scales, "--activations", "6") == 0
        assert "agreement with the float network: 9" in capsys.readouterr().out


def test_outputs_that_are_no_classes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = FloatWriter((1, 1, 8, 8))
    (folder / "image.onnx").write_bytes(net.data(net.conv("x", 1, 2)))
    assert quantize(folder, model="image.onnx") == 0
    assert "fidelity with the float network: 99.9" in capsys.readouterr().out
    assert quantize(folder, "--labels", "y.npy", model="image.onnx") == 1
    assert "labels need a network with an output a class" in capsys.readouterr().err


WRONG = {
    "missing model": (["--bits", "8"], {"model": "none.onnx"}, 1, "none.onnx' cannot be read: No such file"),
    "no model": ([], {"model": "noise.onnx"}, 1, "the file is no whole ONNX model"),
    "quantized": ([], {"model": "quantized.onnx"}, 1, "the network is quantized already"),
    "operator": ([], {"model": "sigmoid.onnx"}, 1, "node 'Sigmoid_1' (Sigmoid) is none that can be quantized"),
    "missing data": ([], {"data": "none.npy"}, 1, "cannot read the input"),
    "shape": ([], {"data": "flat.npy"}, 1, "the same values fit as x.reshape(-1, 1, 8, 8)"),
    "dtype": ([], {"data": "bytes.npy"}, 1, "the input is uint8, but 'x' needs real values"),
    "few labels": (["--labels", "few.npy"], {}, 1, "the labels have the shape (7,), and must be (450,)"),
    "real labels": (["--labels", "real.npy"], {}, 1, "the labels are float64, and must be whole numbers"),
    "large labels": (["--labels", "large.npy"], {}, 1, "and must be one of 0 to 9: the network has 10 outputs"),
    "bits": (["--bits", "9"], {}, 2, "argument --bits: must be auto, or one of 2 to 8, not '9'"),
    "activations": (["--activations", "1"], {}, 2, "argument --activations: must be one of 2 to 8, not '1'"),
    "loss": (["--max-loss", "much"], {}, 2, "must be a percentage of 0 to 100, not 'much'"),
    "seed": (["--seed", "-1"], {}, 2, "--seed"),
    "both": (["--bits", "auto", "--activations", "4"], {}, 2, "leave --activations out"),
    "picture": (["--picture", "p.png"], {}, 2, "--picture shows a search: take --bits auto"),
    "ending": (["--out", "q.tflite"], {}, 2, "--out must end in .onnx"),
    "over the model": (["--out", "digits.onnx"], {}, 2, "--out names the same file as model"),
    "fabric": (["--fabric", "up5k"], {}, 2, "fabric up5k is a compact one"),
    "unwritable": (["--out", "no/such/folder/q.onnx"], {}, 1, "there is no directory"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong(case: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, the exit code, and nothing written."""
    arguments, files, code, sentence = WRONG[case]
    before = sorted(folder.iterdir())
    assert quantize(folder, *arguments, **files) == code
    error = capsys.readouterr().err
    assert error.startswith("celosia: error: ")
    assert sentence in error
    assert error.count("\n") == 1
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("module", ["onnxruntime", "optuna"])
def test_a_missing_extra(
    module: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    before = sorted(folder.iterdir())
    assert quantize(folder, "--bits", "auto", "--trials", "1", "--out", "q.onnx") == 1
    error = capsys.readouterr().err
    assert f"`celosia quantize` needs {module}, which is not installed" in error
    assert "pip install 'celosia[quantize]'" in error
    assert sorted(folder.iterdir()) == before

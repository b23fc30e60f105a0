"""The float CNN in tests/training/models, quantized with 2,000 training images: what the README says of 10,000 test images."""

from pathlib import Path

import numpy as np
import pytest
from celosia.host.cli import main
from celosia.host.session import Session
from fabrics import fabric_of
from qonnx_writer import Array, batched, execute

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "tests" / "training" / "models" / "mnist-cnn.onnx"
DATA = ROOT.parent / "shared" / "data"
LEAST = {"8": 0.992, "4": 0.99, "2": 0.95, "auto": 0.985}  # accuracy


def images(name: str) -> tuple[Array, Array]:
    if not (DATA / f"{name}.npz").exists():
        pytest.skip(f"needs {name}.npz in ../shared/data")
    with np.load(DATA / f"{name}.npz") as stored:
        return stored["images"][:, np.newaxis].astype(np.float32) / np.float32(255), stored["labels"]


@pytest.mark.slow
@pytest.mark.parametrize("bits", LEAST)
def test_a_cnn_on_all_images(bits: str, tmp_path: Path) -> None:
    x, labels = images("mnist_train_prefix")
    np.save(tmp_path / "x.npy", x[:2000])
    np.save(tmp_path / "y.npy", labels[:2000])
    arguments = ["--data", str(tmp_path / "x.npy"), "--labels", str(tmp_path / "y.npy"), "--max-loss", "0.5%"]
    path = tmp_path / "q.onnx"
    assert main(["quantize", str(MODEL), *arguments, "--bits", bits, "--out", str(path)]) == 0
    x, labels = images("mnist_test")
    with Session(path, "golden") as session:
        answers = session.run(x)
    accuracy = float((answers.argmax(axis=1) == labels).mean())
    print(f"{bits} bits: {accuracy}")
    assert accuracy >= LEAST[bits]
    data = path.read_bytes()
    parts = [execute(batched(data, 500), {"image": x[first : first + 500]})[0] for first in range(0, 1000, 500)]
    np.testing.assert_array_equal(answers[:1000], np.concatenate(parts))
    with Session(path, "sim", fabric_of("ecp5-85")) as session:
        np.testing.assert_array_equal(session.run(x[:20]), answers[:20])

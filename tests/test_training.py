"""The training scripts: networks trained for a moment on scikit-learn's digits come out as exact QONNX files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from celosia.host import reference
from celosia.host.session import load_model
from qonnx_writer import batched, execute

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp1", "cnn1", "a1", "w1", "cnn4", "cnnt"])
def test_a_trained_network_is_exact(name: str, tmp_path: Path) -> None:
    pytest.importorskip("brevitas", reason="needs the extra `train`")
    path = tmp_path / f"{name}.onnx"
    command = [sys.executable, "-m", "tests.training", name, "--out", path, "--epochs", "3", "--teacher-epochs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    graph = load_model(path)
    x = np.random.default_rng(1).random((20, 1, 28, 28), np.float32)
    answers = reference.run(graph, {"image": x})[graph.outputs[0]]
    np.testing.assert_array_equal(answers, execute(batched(path.read_bytes(), len(x)), {"image": x})[0])
    assert len(np.unique(answers)) > 10
    accuracy = float(done.stdout.split(f"{name}: ")[1].split("%")[0])
    assert accuracy > 30  # it learns

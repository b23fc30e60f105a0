"""The trained networks in tests/training/models: their answers are QONNX' executor's, and right as often as the README says.

Where the MNIST images of `../shared` are absent, scikit-learn's digits stand in, for which nothing was trained: then only
equality counts.
"""

from pathlib import Path

import numpy as np
import pytest
from celosia.host import reference
from celosia.host.cli import main
from celosia.host.cost.model import estimate
from celosia.host.ir import Conv2D, FullyConnected, Graph
from celosia.host.lowering.serial import planes_of
from celosia.host.placement import place
from celosia.host.schedule import schedule
from celosia.host.session import Session, load_model
from celosia.hw.presets import preset
from fabrics import BINARY, fabric_of
from qonnx_writer import Array, batched, execute

MODELS = Path(__file__).parent / "training" / "models"
BINARY_NETWORKS = {"mlp1": 0.96, "cnn1": 0.975, "a1": 0.97, "w1": 0.93}  # accuracy on MNIST's 10,000 test images
FEW_BITS = {"cnn8": 0.992, "cnn4": 0.992, "cnn2": 0.99, "cnnt": 0.991}
LEAST = {**BINARY_NETWORKS, **FEW_BITS}
BATCH = 500


def images() -> tuple[Array, Array | None]:
    """Images float32 (N, 1, 28, 28), 0..1, and MNIST's labels; None of the digits."""
    stored = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist_test.npz"
    if stored.exists():
        with np.load(stored) as mnist:
            return mnist["images"][:, np.newaxis].astype(np.float32) / np.float32(255), mnist["labels"]
    from sklearn.datasets import load_digits

    enlarged = np.pad(load_digits().images.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))
    return (np.round(enlarged * 255 / 16)[:, np.newaxis] / 255).astype(np.float32), None


def path_of(name: str) -> Path:
    return MODELS / f"mnist-{name}.onnx"


def executed(name: str, x: Array) -> Array:
    """The executor's logits, some images at a time."""
    data = path_of(name).read_bytes()
    parts = [x[first : first + BATCH] for first in range(0, len(x), BATCH)]
    return np.concatenate([execute(batched(data, len(part)), {"image": part})[0] for part in parts])


def check_golden(name: str, count: int) -> float | None:
    """Compares `count` images; the accuracy on them."""
    graph = load_model(path_of(name))
    assert graph.metadata["unproven"] == "0"
    x, labels = images()
    x = x[:count]
    answers = reference.run(graph, {"image": x})[graph.outputs[0]]
    np.testing.assert_array_equal(answers, executed(name, x))
    return None if labels is None else float((answers.argmax(axis=1) == labels[:count]).mean())


def layers(graph: Graph) -> list[Conv2D | FullyConnected]:
    return [node for node in graph.nodes if isinstance(node, Conv2D | FullyConnected)]


@pytest.mark.parametrize("name", LEAST)
def test_golden_equals_the_executor(name: str) -> None:
    accuracy = check_golden(name, 300)
    assert accuracy is None or accuracy > LEAST[name] - 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", LEAST)
def test_golden_equals_the_executor_on_all_images(name: str) -> None:
    accuracy = check_golden(name, 10_000)
    print(f"{name}: {accuracy}")
    assert accuracy is None or accuracy >= LEAST[name]


@pytest.mark.parametrize("name", LEAST)
def test_the_fabric_equals_the_executor(name: str) -> None:
    x = images()[0][:2]
    with Session(path_of(name), "sim", fabric_of(BINARY if name in FEW_BITS else "mini")) as session:
        np.testing.assert_array_equal(session.run(x), executed(name, x))


@pytest.mark.slow
@pytest.mark.parametrize("name", BINARY_NETWORKS)
def test_the_fabric_equals_the_executor_on_500_images(name: str) -> None:
    x = images()[0][:500]
    with Session(path_of(name), "sim", fabric_of("ecp5-85")) as session:
        np.testing.assert_array_equal(session.run(x), executed(name, x))


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW_BITS)
def test_the_fabric_of_both_engines_equals_the_executor_on_100_images(name: str) -> None:
    x = images()[0][:100]
    with Session(path_of(name), "sim", fabric_of("ecp5-85-xnor")) as session:
        np.testing.assert_array_equal(session.run(x), executed(name, x))
        assert session.report.cycles == estimate(schedule(load_model(path_of(name)), preset("ecp5-85-xnor"))).cycles


def test_which_layers_have_one_bit() -> None:
    """(bits of the layer's activations, whether its weights are -1 and +1)."""
    found = {}
    for name in BINARY_NETWORKS:
        graph = load_model(path_of(name))
        found[name] = [(graph.tensors[node.inputs[0]].bits, bool((np.abs(node.weights) == 1).all())) for node in layers(graph)]
    assert found == {
        "mlp1": [(8, False), (1, True), (1, False)],
        "cnn1": [(8, False), (1, True), (1, True), (1, False)],
        "a1": [(8, False), (1, False), (1, False)],
        "w1": [(8, True), (8, True), (8, True)],
    }


@pytest.mark.parametrize("fabric", ["ecp5-85-xnor", BINARY])
def test_which_layers_have_few_bits(fabric: str) -> None:
    """(bits of the layer's activations, that its weights take, its engine); the small fabric has no room for the first map."""
    first, last = "mac" if fabric != BINARY else "cpu", "mac"
    found = {}
    for name in FEW_BITS:
        graph = load_model(path_of(name))
        engines = {placement.node.output: placement.engine for placement in place(graph, preset(fabric))}
        found[name] = [
            (graph.tensors[node.inputs[0]].bits, planes_of(node.weights), engines[node.output]) for node in layers(graph)
        ]
    assert found == {
        "cnn8": [(8, 8, first), (8, 8, "mac"), (8, 8, "mac"), (8, 8, "mac"), (8, 8, last)],
        "cnn4": [(8, 7, first), (4, 4, "xnor"), (4, 4, "xnor"), (4, 4, "xnor"), (4, 8, last)],
        "cnn2": [(8, 8, first), (2, 2, "xnor"), (2, 2, "xnor"), (2, 2, "xnor"), (2, 8, last)],
        "cnnt": [(8, 8, first), (2, 2, "xnor"), (2, 2, "xnor"), (2, 2, "xnor"), (2, 8, last)],
    }


@pytest.mark.parametrize(("name", "low", "high"), [("cnn4", -8, 7), ("cnn2", -2, 1), ("cnnt", -1, 1)])
def test_inner_weights_take_every_level(name: str, low: int, high: int) -> None:
    for node in layers(load_model(path_of(name)))[1:-1]:
        assert set(np.unique(node.weights)) == set(range(low, high + 1))


def test_files_are_small() -> None:
    for name in LEAST:
        assert path_of(name).stat().st_size < (400_000 if name in BINARY_NETWORKS else 140_000)


def test_the_commands_take_onnx_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = images()[0][:3]
    np.save(tmp_path / "x.npy", x)
    model = str(path_of("mlp1"))
    arguments = ["run", model, "--device", "golden", "--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy")]
    assert main(arguments) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), executed("mlp1", x))
    assert main(["check", model, "--fabric", "mini"]) == 0
    assert main(["estimate", model, "--fabric", "mini"]) == 0
    out = capsys.readouterr().out
    assert "fully_connected" in out
    assert "thresholds, all proven equal to QONNX' executor's" in out


def test_a_damaged_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "half.onnx"
    path.write_bytes(path_of("mlp1").read_bytes()[:100_000])
    assert main(["check", str(path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("celosia: error: Model 'half.onnx': ")
    assert error.count("\n") == 1

"""Whole networks: the graph of a .tflite file on the golden models equals the reference kernels, tensor by tensor."""

import networks
import numpy as np
import pytest
from celosia import ModelError
from celosia.host import reference
from celosia.host.frontends import load, tflite
from celosia.host.frontends.tflite_writer import ModelWriter
from celosia.host.passes import simplify

MODELS = {
    "ad01": ("ad01_int8.tflite", 10),
    "ic01": ("ic01_resnet8_int8.tflite", 3),
    "kws01": ("kws01_dscnn_int8.tflite", 4),
    "vww01": ("vww01_mobilenet_int8.tflite", 2),
}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_of_mlperf_tiny(shared, name):
    """Every stored output of the four reference models."""
    graph = load(shared / "models" / MODELS[name][0])
    data = np.load(shared / "data" / f"{name}.npz")
    (outputs,) = reference.run(simplify(graph), {graph.inputs[0]: data["inputs"]}).values()
    np.testing.assert_array_equal(outputs, data["outputs"])
    assert outputs.dtype == np.int8


@pytest.mark.parametrize("name", MODELS)
def test_intermediate_tensors_of_mlperf_tiny(shared, name):
    path = shared / "models" / MODELS[name][0]
    inputs = np.load(shared / "data" / f"{name}.npz")["inputs"]
    graph = load(path)
    for sample in range(MODELS[name][1]):
        compare_tensors(graph, path.read_bytes(), inputs[sample : sample + 1])


@pytest.mark.parametrize("seed", range(30))
def test_intermediate_tensors_of_random_networks(seed):
    model = networks.random_network(seed, size="small")
    compare_tensors(tflite.parse(model), model, networks.random_input(model, seed))


def compare_tensors(graph, model, sample):
    expected = networks.reference_tensors(model, sample)
    seen = {}
    reference.run(graph, {graph.inputs[0]: sample}, observe=seen.__setitem__)
    assert list(seen) == [*graph.inputs, *(node.output for node in graph.nodes)]
    for name, values in seen.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
        assert values.dtype == expected[name].dtype


@pytest.mark.parametrize("seed", range(20))
def test_a_batch_is_its_samples(seed):
    model = networks.random_network(seed, size="tiny")
    graph = tflite.parse(model)
    x = networks.random_input(model, seed, samples=5)
    (together,) = reference.run(graph, {graph.inputs[0]: x}).values()
    alone = [next(iter(reference.run(graph, {graph.inputs[0]: x[i : i + 1]}).values())) for i in range(5)]
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_evaluate_runs_one_node():
    model = networks.pool(1, (1, 4, 4, 3), "max")
    graph = tflite.parse(model)
    x = networks.random_input(model, 1, samples=2)
    result = reference.evaluate(graph.nodes[0], [x], graph)
    np.testing.assert_array_equal(result, networks.reference(model, x))


def test_several_outputs_and_a_shared_input():
    writer = ModelWriter()
    x = writer.tensor("x", (1, 4, 4, 2), scale=0.5)
    y = writer.tensor("y", (1, 2, 2, 2), scale=0.5)
    z = writer.tensor("z", (1, 8), scale=0.5)
    writer.op("MAX_POOL_2D", [x], [y])
    writer.op("RESHAPE", [y], [z])
    graph = tflite.parse(writer.finish([x], [z, y]))
    sample = np.arange(32, dtype=np.int8).reshape(1, 4, 4, 2)
    outputs = reference.run(graph, {"x": sample})
    assert list(outputs) == ["z", "y"]
    np.testing.assert_array_equal(outputs["z"].ravel(), outputs["y"].ravel())


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (np.zeros((1, 4, 4, 2), np.int8), r"must have shape \(N, 4, 4, 3\), not \(1, 4, 4, 2\)"),
        (np.zeros((4, 4, 3), np.int8), r"must have shape \(N, 4, 4, 3\)"),
        (np.zeros((1, 4, 4, 3), np.float32), "must be int8, not float32: quantize it with scale"),
    ],
)
def test_input_that_does_not_fit(value, sentence):
    graph = tflite.parse(networks.pool(1, (1, 4, 4, 3)))
    with pytest.raises(ModelError, match=sentence):
        reference.run(graph, {graph.inputs[0]: value})
    with pytest.raises(ModelError, match="needs an input"):
        reference.run(graph, {"other": value})

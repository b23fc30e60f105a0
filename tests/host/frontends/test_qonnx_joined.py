"""Sums of two activations: equal to QONNX' executor, on the golden models and on the fabric."""

import numpy as np
import pytest
from celosia.host import reference
from celosia.host.frontends import qonnx
from celosia.host.ir import Add
from celosia.host.passes import simplify
from celosia.host.session import Session
from celosia.sim.errors import ModelError
from fabrics import fabric_of
from qonnx_networks import images
from qonnx_writer import QonnxWriter


def residual(seed: int) -> tuple[QonnxWriter, str]:
    """(network, output): two convolutions, the sum of their activations or of one with the input, any widths and signs."""
    rng = np.random.default_rng(seed)
    net = QonnxWriter((1, 3, 6, 6))

    def scale() -> float:
        return float(2.0 ** -rng.integers(3, 8))

    def layer(x: str) -> str:
        signed = bool(rng.integers(2))
        y = net.node("Conv", [x, net.weights(rng.normal(size=(3, 3, 3, 3)), 1 / 32)], pads=[1, 1, 1, 1])
        return net.quant(
            y if signed else net.node("Relu", [y]), scale(), int(rng.choice([2, 4, 8])), signed=signed, rounding="FLOOR"
        )

    x = net.quant("x", 1 / 64)
    first = layer(x)
    y = net.node("Add", [layer(first), x if seed % 3 == 0 else first])
    signed = bool(rng.integers(2))
    y = y if signed else net.node("Relu", [y])
    y = net.quant(y, scale(), int(rng.choice([2, 3, 4, 8])), signed=signed, rounding="HALF_UP")
    if seed % 2:
        y = net.quant(net.node("GlobalAveragePool", [y]), scale() / 2, 8, rounding="HALF_UP")
        y = net.node("Flatten", [y])
    return net, y


@pytest.mark.parametrize("seed", range(12))
def test_residual_networks_equal_the_executor(seed: int) -> None:
    net, output = residual(seed)
    graph = simplify(qonnx.parse(net.data(output)))
    assert any(isinstance(node, Add) for node in graph.nodes)
    assert graph.metadata["unproven"] == "0"
    x = images(np.random.default_rng(seed), 3, 6, 6)
    (expected,) = net.execute(x, output)
    np.testing.assert_array_equal(reference.run(graph, {"x": x})[graph.outputs[0]], expected)
    if seed < 2:
        with Session(graph, "sim", fabric_of("mini")) as session:
            np.testing.assert_array_equal(session.run(x[:2]), expected[:2])
            assert {layer.op: layer.engine for layer in session.report.layers}["add"] == "vector"


def test_every_pair_of_values() -> None:
    """Two channels hold all pairs of 4 bits and 8 bits, both signed, added with different scales; ties among them."""
    net = QonnxWriter((1, 2, 16, 256))
    x = net.quant("x", 1.0)
    left = net.quant(net.node("Conv", [x, net.constant(np.array([1.0, 0.0]).reshape(1, 2, 1, 1))]), 1.0, 4, rounding="FLOOR")
    right = net.quant(net.node("Conv", [x, net.constant(np.array([0.0, 1.0]).reshape(1, 2, 1, 1))]), 0.5, 8, rounding="FLOOR")
    output = net.quant(net.node("Add", [left, right]), 2.0, 8, rounding="HALF_UP")
    values = np.stack(np.meshgrid(np.arange(-8, 8), np.arange(-128, 128) / 2, indexing="ij")).astype(np.float32)[np.newaxis]
    graph = simplify(qonnx.parse(net.data(output)))
    np.testing.assert_array_equal(reference.run(graph, {"x": values})[graph.outputs[0]], net.execute(values, output)[0])


def test_roundings_that_integers_do_not_do_are_refused() -> None:
    net = QonnxWriter((1, 2, 4, 4))
    x = net.quant("x", 0.25)
    output = net.quant(net.node("Add", [x, net.quant(x, 0.5, 8, rounding="FLOOR")]), 1.0, 8)
    with pytest.raises(ModelError, match=r"of 32,768 pairs of values add up to another level in integers: use .*HALF_UP"):
        qonnx.parse(net.data(output))


def test_sums_without_a_quantizer_are_refused() -> None:
    for build, sentence in (
        (lambda net, x: net.node("Add", [x, net.bipolar(x)]), "sum of two activations without a quantizer"),
        (lambda net, x: net.node("Mul", [x, net.bipolar(x)]), "can only add them"),
        (lambda net, x: net.node("Flatten", [net.node("Add", [x, x])]), "moves the sum of two activations"),
        (lambda net, x: net.node("Add", [x, "x"]), "one of them is not quantized"),
        (lambda net, x: net.node("Add", [x, net.node("Flatten", [x])]), "give both one shape"),
    ):
        net = QonnxWriter((1, 2, 4, 4))
        with pytest.raises(ModelError, match=sentence):
            qonnx.parse(net.data(build(net, net.quant("x", 0.25))))

"""Random float networks, quantized to random widths: QONNX' executor = golden = the twin in standard operators, every value."""

import numpy as np
import pytest
from celosia.host import reference
from celosia.host.frontends import qonnx
from celosia.host.passes import simplify
from celosia.host.quantize.calibrated import WIDTHS, Calibrated, Widths
from celosia.host.quantize.observe import observe
from celosia.host.quantize.points import points_of
from celosia.host.quantize.reader import parse
from celosia.host.quantize.runtime import Runner
from celosia.host.quantize.writer import float_model
from celosia.host.session import Session
from fabrics import fabric_of
from float_networks import Array, FloatWriter, answers, random_network
from qonnx_writer import batched, execute


def calibrated(seed: int) -> tuple[Calibrated, Array, Array]:
    """A random network, 64 samples, and the float network's answers to them."""
    net, output = random_network(seed)
    data = net.data(output)
    x = np.random.default_rng(seed).normal(size=(64, *net.shape[1:])).astype(np.float32)
    x = np.abs(x) if seed % 2 else x
    network = parse(data, "random")
    floats = Runner(float_model(network, [network.output]), [network.output], 16).run(x)
    expected = answers(data, x)
    if network.notes:
        powers = np.exp(floats - floats.max(axis=1, keepdims=True))
        np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), expected, atol=1e-5)
    else:
        np.testing.assert_allclose(floats, expected, rtol=1e-4, atol=1e-4)
    points = points_of(network)
    return Calibrated(network, points, observe(network, points, x, 0)), x, floats


def lost(found: Array, floats: Array) -> float:
    """Mean square of the difference, in units of the answers' variance."""
    return float(np.square(found - floats).mean() / np.var(floats))


@pytest.mark.parametrize("seed", [0, 7, 11, 14, 34, 79])
def test_random_networks(seed: int) -> None:
    made, x, floats = calibrated(seed)
    rng = np.random.default_rng(seed)
    mixed = Widths(
        weights=tuple(int(bits) for bits in rng.choice(WIDTHS, len(made.network.layers))),
        activations=tuple(int(bits) for bits in rng.choice(WIDTHS, len(made.inner))),
    )
    for widths in (made.uniform(8, 8), mixed):
        data = made.qonnx(widths)
        graph = simplify(qonnx.parse(data))
        assert graph.metadata["unproven"] == "0"
        found = reference.run(graph, {"x": x})[graph.outputs[0]]
        np.testing.assert_array_equal(found, execute(batched(data, len(x)), {"x": x})[0])
        np.testing.assert_array_equal(found, Runner(made.simulated(widths), [made.network.output], 16).run(x))
        if widths == made.uniform(8, 8):
            assert lost(found, floats) < 0.01
    if seed == 7:
        with Session(graph, "sim", fabric_of("mini")) as session:
            np.testing.assert_array_equal(session.run(x[:2]), found[:2])


@pytest.mark.parametrize("bits", [4, 8])
def test_wide_layers_stay_exact(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums that float32 could not hold at full scale: weights are scaled so that it can; and rounded to the nearest here."""
    monkeypatch.setattr("celosia.host.quantize.observe.WIDEST", 500)
    net = FloatWriter((1, 2000), 3)
    even = net.constant(net.rng.uniform(-0.05, 0.05, (2000, 12)))
    data = net.data(net.gemm(net.node("Relu", net.node("MatMul", "x", even)), 12, 10))
    x = np.random.default_rng(3).random((300, 2000), np.float32)
    network = parse(data, "wide")
    points = points_of(network)
    made = Calibrated(network, points, observe(network, points, x, 0))
    widths = made.uniform(bits, bits)
    quantized = made.qonnx(widths)
    graph = simplify(qonnx.parse(quantized))
    assert graph.metadata["unproven"] == "0"
    found = reference.run(graph, {"x": x})[graph.outputs[0]]
    np.testing.assert_array_equal(found[:50], execute(batched(quantized, 50), {"x": x[:50]})[0])
    assert lost(found, answers(data, x)) < (0.005 if bits == 8 else 0.1)

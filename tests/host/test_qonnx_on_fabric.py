"""QONNX networks on the simulated fabric: equal to the golden models, which equal QONNX' executor."""

import numpy as np
import pytest
from celosia.host import reference
from celosia.host.frontends import qonnx
from celosia.host.session import Session, load_model
from cnv import cnv
from fabrics import STARVED, WIDE, fabric_of
from qonnx_networks import binary_network, images, one_bit_weights, wide_network

NETWORKS = {"binary": binary_network, "one-bit weights": one_bit_weights}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
@pytest.mark.parametrize("fabric", ["mini", STARVED])
@pytest.mark.parametrize("kind", NETWORKS)
def test_random_networks(kind: str, fabric: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, output = NETWORKS[kind](rng)
    graph = load_model(qonnx.parse(net.data(output)))
    x = images(rng, *net.shape[1:], samples=2)
    (expected,) = net.execute(x, output)
    with Session(graph, "sim", fabric_of(fabric)) as session:
        np.testing.assert_array_equal(session.run(x), expected)
        engines = {layer.op: layer.engine for layer in session.report.layers}
    assert engines["conv_2d"] == "mac"
    assert engines["fully_connected"] == "mac"


@pytest.mark.parametrize(("bits", "weight_bits"), [(10, 8), (12, 4), (16, 16)])
def test_networks_of_more_than_eight_bits(bits: int, weight_bits: int) -> None:
    rng = np.random.default_rng([bits, weight_bits])
    net, output = wide_network(rng, bits, weight_bits)
    x = 4 * images(rng, *net.shape[1:], samples=2)
    (expected,) = net.execute(x, output)
    with Session(load_model(qonnx.parse(net.data(output))), "sim", fabric_of(WIDE)) as session:
        np.testing.assert_array_equal(session.run(x), expected)
        engines = [layer.engine for layer in session.report.layers if layer.op in ("conv_2d", "fully_connected")]
    assert engines == ["mac"] * 3


def test_a_small_cnv() -> None:
    """The CNV's layers, narrow ones."""
    graph = load_model(qonnx.parse(cnv(2, widths=(8, 8, 16), hidden=32)))
    x = np.random.default_rng(2).random((1, 3, 32, 32), np.float32)
    expected = reference.run(graph, {"x": x})[graph.outputs[0]]
    assert len(np.unique(expected)) > 3
    with Session(graph, "sim", fabric_of("mini")) as session:
        np.testing.assert_array_equal(session.run(x), expected)

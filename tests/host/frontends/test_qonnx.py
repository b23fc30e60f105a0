"""QONNX networks on the golden models: equal to QONNX' executor, output for output."""

import numpy as np
import pytest
from celosia.host import reference
from celosia.host.frontends import qonnx
from celosia.host.ir import Conv2D, DepthwiseConv2D, FullyConnected, Graph
from celosia.host.passes import simplify
from qonnx_writer import Array, QonnxWriter

SAMPLES = 6


def check(net: QonnxWriter, output: str, x: Array) -> Graph:
    """The graph of a network whose outputs for x are the executor's, every one."""
    graph = simplify(qonnx.parse(net.data(output)))
    (expected,) = net.execute(x, output)
    answers = reference.run(graph, {"x": x})[graph.outputs[0]]
    assert answers.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(answers, expected)
    assert graph.metadata["unproven"] == "0"
    return graph


def images(rng: np.random.Generator, *shape: int) -> Array:
    """Real numbers about 0, some of them ties of a scale of 1/16."""
    return (np.round(rng.normal(size=(SAMPLES, *shape)) * 32) / 32).astype(np.float32)


def normalization(rng: np.random.Generator, channels: int, reach: float) -> tuple[Array, Array, Array, Array]:
    """Scale (of either sign), bias, mean, variance."""
    return (
        rng.normal(size=channels),
        rng.normal(size=channels),
        rng.normal(size=channels) * reach / 4,
        rng.random(channels) * reach + 0.01,
    )


def binary_weights(graph: Graph) -> list[bool]:
    """Whether a layer's weights are -1 and +1, a layer each."""
    layers = [node for node in graph.nodes if isinstance(node, Conv2D | DepthwiseConv2D | FullyConnected)]
    return [bool((np.abs(layer.weights) == 1).all()) for layer in layers]


@pytest.mark.parametrize("seed", range(12))
def test_a_binary_convolution_network_equals_the_executor(seed: int) -> None:
    """Bits in and out, batch normalization of either sign, padding with zeros, pooling before and behind the sign."""
    rng = np.random.default_rng(seed)
    channels, height, width = (int(rng.integers(1, 9)) for _ in range(3))
    height, width = height + 6, width + 6
    net = QonnxWriter((1, channels, height, width))
    x = net.quant("x", 1 / 16, int(rng.choice([2, 4, 8])), signed=bool(rng.integers(2)))
    for depth in range(3):
        outputs = int(rng.integers(1, 20))
        bits = 1 if depth else 8
        kernel = tuple(int(k) for k in rng.integers(1, 4, 2))
        weights = rng.normal(size=(outputs, channels, *kernel)) * 3
        pads = [int(pad) for pad in rng.integers(0, 2, 4)]
        strides = [int(stride) for stride in rng.integers(1, 3, 2)] if depth == 1 else [1, 1]
        x = net.node("Conv", [x, net.weights(weights, 1 / 32 if bits == 8 else 0.5, bits)], pads=pads, strides=strides)
        x = net.batch_norm(x, *normalization(rng, outputs, channels * 3.0))
        x = net.bipolar(x, 0.25)
        if depth == 0 and rng.integers(2):
            x = net.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
        channels = outputs
    x = net.node("Flatten", [x], axis=1)
    features = qonnx_features(net, x)
    x = net.node("MatMul", [x, net.weights(rng.normal(size=(features, 10)), 1 / 64)])
    output = net.quant(x, 1 / 8, rounding="FLOOR")
    graph = check(net, output, images(rng, *net.shape[1:]))
    assert binary_weights(graph) == [False, True, True, False]
    for node in graph.nodes:
        if isinstance(node, Conv2D):
            assert graph.tensors[node.output].bits == 1
            assert (node.requant.zero_point, node.requant.low, node.requant.high) == (1, -1, 1)
            assert set(node.requant.shift.tolist()) == {2}
            assert set(node.requant.multiplier.tolist()) == {1 << 30}


def qonnx_features(net: QonnxWriter, name: str) -> int:
    """Features of a flattened tensor."""
    return net.execute(np.zeros(net.shape, np.float32), name)[0].shape[1]

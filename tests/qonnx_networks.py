"""Random small QONNX networks, and inputs for them. Equal generators give equal networks."""

import numpy as np
from qonnx_writer import Array, QonnxWriter

SAMPLES = 6


def images(rng: np.random.Generator, *shape: int, samples: int = SAMPLES) -> Array:
    """Real numbers about 0, some of them ties of a scale of 1/16."""
    return (np.round(rng.normal(size=(samples, *shape)) * 32) / 32).astype(np.float32)


def normalization(rng: np.random.Generator, channels: int, reach: float) -> tuple[Array, Array, Array, Array]:
    """Batch normalization's scale (of either sign), bias, mean, variance."""
    return (
        rng.normal(size=channels),
        rng.normal(size=channels),
        rng.normal(size=channels) * reach / 4,
        rng.random(channels) * reach + 0.01,
    )


def features(net: QonnxWriter, name: str) -> int:
    """Features of a flattened tensor."""
    return int(net.execute(np.zeros(net.shape, np.float32), name)[0].shape[1])


def binary_network(rng: np.random.Generator) -> tuple[QonnxWriter, str]:
    """(network, output): three convolutions with bits between them, the later ones with one-bit weights, and a matrix."""
    channels, height, width = (int(rng.integers(1, 9)) for _ in range(3))
    net = QonnxWriter((1, channels, height + 6, width + 6))
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
    x = net.node("MatMul", [x, net.weights(rng.normal(size=(features(net, x), 10)), 1 / 64)])
    return net, net.quant(x, 1 / 8, rounding="FLOOR")


def one_bit_weights(rng: np.random.Generator) -> tuple[QonnxWriter, str]:
    """(network, output): one-bit weights, bytes (or fewer bits) between the layers, biases in the unit of the sums."""
    channels, scale = int(rng.integers(1, 5)), 1 / 64
    net = QonnxWriter((1, channels, 9, 8))
    x = net.quant("x", scale, signed=bool(rng.integers(2)))
    for _ in range(2):
        outputs, unit = int(rng.integers(1, 9)), float(2.0 ** -rng.integers(0, 4))
        scale *= unit
        bias = net.quant(net.constant(rng.normal(size=outputs)), scale, 16)
        x = net.node("Conv", [x, net.weights(rng.normal(size=(outputs, channels, 3, 3)), unit, 1), bias])
        signed = bool(rng.integers(2))
        scale *= 2.0 ** int(rng.integers(0, 4))
        x = net.quant(
            x if signed else net.node("Relu", [x]), scale, int(rng.choice([2, 4, 8])), signed=signed, rounding="FLOOR"
        )
        channels = outputs
    x = net.node("MaxPool", [x], kernel_shape=[3, 2], strides=[2, 1])
    x = net.node("Reshape", [x, net.constant(np.array([0, -1]))])
    weights = net.weights(rng.normal(size=(10, features(net, x))), 0.5, 1)
    x = net.node("Gemm", [x, weights, net.quant(net.constant(rng.normal(size=10)), scale * 0.5, 16)], transB=1)
    return net, net.quant(x, scale * 16, rounding="FLOOR")


def wide_network(rng: np.random.Generator, bits: int, weight_bits: int) -> tuple[QonnxWriter, str]:
    """(network, output): two convolutions and a matrix of so many bits; what it adds up float32 holds, where bits allow it."""
    channels, scale, unit = int(rng.integers(1, 4)), 2.0**-8, 2.0**-5
    net = QonnxWriter((1, channels, 7, 6))
    x = net.quant("x", scale, bits)
    for depth in range(2):
        outputs = int(rng.integers(2, 7))
        weights = rng.normal(size=(outputs, channels, 2, 2)) * 2.0 ** (weight_bits - 3) * unit
        x = net.node("Conv", [x, net.weights(weights, unit, weight_bits)])
        scale *= unit * 2.0 ** (weight_bits - 2)
        x = net.quant(net.node("Relu", [x]) if depth else x, scale, bits, signed=not depth, rounding="FLOOR")
        channels = outputs
    x = net.node("Flatten", [x], axis=1)
    weights = rng.normal(size=(features(net, x), 10)) * 2.0 ** (weight_bits - 4)
    x = net.node("MatMul", [x, net.weights(weights, 0.25, weight_bits)])
    return net, net.quant(x, scale * 2.0 ** (weight_bits - 2), bits, rounding="FLOOR")

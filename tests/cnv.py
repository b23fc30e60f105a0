"""The VGG-like binary network of the FINN papers ("CNV"), 32x32x3, as a QONNX file with random weights: its shapes alone count.

    conv 64, 64, pool, 128, 128, pool, 256, 256; fully connected 512, 512, 10     all 3x3 without padding

58 million MAC; the first and the last layer have weights of 8 bits. `training` trains one like it.
"""

import numpy as np
from qonnx_writer import QonnxWriter


def cnv(seed: int = 1, *, side: int = 32, widths: tuple[int, ...] = (64, 128, 256), hidden: int = 512) -> bytes:
    """The file's bytes; smaller with other numbers. The input is (1, 3, side, side), 0..1."""
    rng = np.random.default_rng(seed)
    net = QonnxWriter((1, 3, side, side))
    x, channels = net.quant("x", 1 / 256, signed=False), 3
    for stage, width in enumerate(widths):
        for _ in range(2):
            first = channels == 3
            weights = net.weights(rng.normal(size=(width, channels, 3, 3)), 1 / 64 if first else 1.0, 8 if first else 1)
            x = _signed(net, net.node("Conv", [x, weights]), rng, width, channels * 9)
            channels, side = width, side - 2
        if stage < len(widths) - 1:
            x, side = net.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2]), side // 2
    x, features = net.node("Flatten", [x], axis=1), channels * side * side
    for width in (hidden, hidden):
        x = net.node("MatMul", [x, net.weights(rng.normal(size=(features, width)), 1.0, 1)])
        x, features = _signed(net, x, rng, width, features), width
    x = net.node("MatMul", [x, net.weights(rng.normal(size=(features, 10)) / 8, 1 / 64)])
    return net.data(net.quant(x, 1 / 8, rounding="FLOOR"))


def _signed(net: QonnxWriter, x: str, rng: np.random.Generator, channels: int, terms: int) -> str:
    """Batch normalization about the middle of the sums, and the sign."""
    scale, bias = rng.normal(size=channels), rng.normal(size=channels) / 4
    return net.bipolar(net.batch_norm(x, scale, bias, rng.normal(size=channels), np.full(channels, float(terms))))

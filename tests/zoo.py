"""Networks of familiar architectures that no file of ours holds: what users bring besides the models we measure.

    model = MODELS["mobilenet_v2"]()
    x = samples(model, seed=1, count=4)

Weights are random; quantization is calibrated on smooth inputs as a converter would do it with real ones, so that every
layer works in ranges of its own. `networks.reference` says what they must answer.
"""

from collections.abc import Callable, Mapping

import networks
import numpy as np
from network_builder import Activation, Network


def lenet() -> bytes:
    """28x28x1, convolutions 5x5 (one unpadded), maximum and average pooling, three fully-connected layers, softmax."""
    network, x = _start("lenet", (1, 28, 28, 1))
    x = network.conv(x, 6, (5, 5), activation="RELU")
    x = network.pool(x, "max", (2, 2))
    x = network.conv(x, 16, (5, 5), padding="VALID", activation="RELU")
    x = network.pool(x, "average", (2, 2))
    x = network.flatten(x)
    x = network.fully_connected(x, 120, activation="RELU")
    x = network.fully_connected(x, 84, activation="RELU")
    return network.finish(network.softmax(network.fully_connected(x, 10)))


def mobilenet_v2() -> bytes:
    """48x48x3, inverted residuals: expansion, depthwise 3x3 or 5x5 with stride 1 or 2, linear projection, addition."""
    network, x = _start("mobilenet_v2", (1, 48, 48, 3))
    x = network.conv(x, 16, (3, 3), stride=(2, 2), activation="RELU6")
    for channels, side, stride in [(8, 3, 1), (16, 3, 2), (16, 3, 1), (24, 5, 2), (24, 5, 1), (40, 3, 2), (40, 3, 1)]:
        expanded = network.conv(x, 4 * x.channels, (1, 1), activation="RELU6")
        options = {"stride": (stride, stride), "activation": "RELU6"}
        inner = network.depthwise(expanded, (side, side), **options)
        projected = network.conv(inner, channels, (1, 1))
        x = network.add(x, projected) if projected.shape == x.shape else projected
    x = network.conv(x, 96, (1, 1), activation="RELU6")
    x = network.mean(x)
    return network.finish(network.softmax(network.fully_connected(x, 10)))


def keyword_1d() -> bytes:
    """1,024 samples of a waveform in one row: kernels 1x9 with stride 4, then separable; as for keywords or an ECG."""
    network, x = _start("keyword_1d", (1, 1, 1024, 1))
    x = network.conv(x, 16, (1, 9), stride=(1, 4), activation="RELU")
    x = network.conv(x, 32, (1, 9), stride=(1, 4), activation="RELU")
    for _ in range(2):
        inner = network.depthwise(x, (1, 9), activation="RELU")
        x = network.conv(inner, 48, (1, 1), activation="RELU")
    x = network.pool(x, "max", (1, 4))
    x = network.conv(x, 20, (1, 3), padding="VALID", activation="RELU")
    x = network.pool(x, "average")
    return network.finish(network.fully_connected(network.flatten(x), 6))


def temporal() -> bytes:
    """96 steps of 9 sensors in one column: residual convolutions 3x1 with dilation 1, 2, 4, 8, as for motion data."""
    network, x = _start("temporal", (1, 96, 1, 9))
    x = network.conv(x, 24, (1, 1))
    for dilation in (1, 2, 4, 8):
        inner = network.conv(x, 24, (3, 1), dilation=(dilation, 1), activation="RELU")
        inner = network.conv(inner, 24, (1, 1))
        x = network.add(inner, x, activation="RELU")
    return network.finish(network.fully_connected(network.mean(x), 5))


def resnet_odd() -> bytes:
    """24x24x3, residual blocks of 12, 24 and 40 channels, projections 1x1 with stride 2 where the shape changes."""
    network, x = _start("resnet_odd", (1, 24, 24, 3))
    x = network.conv(x, 12, (3, 3), activation="RELU")
    for channels, stride in [(12, 1), (24, 2), (24, 1), (40, 2)]:
        x = _residual(network, x, channels, stride)
    x = network.pool(x, "average")
    return network.finish(network.softmax(network.fully_connected(network.reshape(x, (1, 40)), 7)))


def mlp() -> bytes:
    """784-300-100-10, fully-connected layers alone."""
    network, x = _start("mlp", (1, 784))
    x = network.fully_connected(x, 300, activation="RELU")
    x = network.fully_connected(x, 100, activation="RELU")
    return network.finish(network.fully_connected(x, 10))


def vgg() -> bytes:
    """32x32x3, pairs of 3x3 convolutions between maximum poolings, then a wide fully-connected layer."""
    network, x = _start("vgg", (1, 32, 32, 3))
    for channels in (16, 32, 64):
        x = network.conv(x, channels, (3, 3), activation="RELU")
        x = network.conv(x, channels, (3, 3), activation="RELU")
        x = network.pool(x, "max", (2, 2))
    x = network.fully_connected(network.flatten(x), 128, activation="RELU")
    return network.finish(network.softmax(network.fully_connected(x, 10)))


MODELS: Mapping[str, Callable[[], bytes]] = {
    function.__name__: function for function in (lenet, mobilenet_v2, keyword_1d, temporal, resnet_odd, mlp, vgg)
}


def samples(model: bytes, seed: int, count: int) -> np.ndarray:
    """Smooth inputs for one of the models, int8, `count` in the first axis."""
    return _smooth(np.random.default_rng(seed), networks.input_shape(model), count)


def _start(name: str, shape: tuple[int, ...]) -> tuple[Network, Activation]:
    """A network whose input is a picture in 0..1; the seed is the model's name."""
    rng = np.random.default_rng(list(name.encode()))
    network = Network(rng, name)
    x = network.input(shape, scale=1 / 255, zero_point=-128, samples=_smooth(rng, shape, 6))
    return network, x


def _residual(network: Network, x: Activation, channels: int, stride: int) -> Activation:
    inner = network.conv(x, channels, (3, 3), stride=(stride, stride), activation="RELU")
    inner = network.conv(inner, channels, (3, 3))
    if stride > 1 or channels != x.channels:
        x = network.conv(x, channels, (1, 1), stride=(stride, stride))
    return network.add(x, inner, activation="RELU")


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> np.ndarray:
    """Noise whose strength falls with its frequency, stretched to the whole range of int8 in each sample."""
    noise = rng.normal(size=(count, *shape[1:]))
    axes = tuple(range(1, max(2, noise.ndim - 1)))
    frequencies = np.meshgrid(*(np.fft.fftfreq(noise.shape[axis]) for axis in axes), indexing="ij")
    damping = 1 / (0.03 + np.sqrt(sum(np.square(frequency) for frequency in frequencies)))
    damping = damping.reshape(1, *damping.shape, *(1,) * (noise.ndim - 1 - len(axes)))
    smooth = np.fft.ifftn(np.fft.fftn(noise, axes=axes) * damping, axes=axes).real
    over = tuple(range(1, noise.ndim))
    low, high = smooth.min(axis=over, keepdims=True), smooth.max(axis=over, keepdims=True)
    return np.rint((smooth - low) / (high - low) * 255 - 128).astype(np.int8)

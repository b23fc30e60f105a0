"""Trains the demo's network, quantizes it, and writes `digits.tflite` and `digits.npz` beside this file.

    python -m celosia.host.demo.train

scikit-learn's digits (1,797 images of 8x8 pixels, 0..16) are split into 1,347 to learn from and 450 held out.

    8x8x1 -> conv 3x3x16 -+-> depthwise 3x3 -> conv 1x1x16 -> add -> conv 3x3x32 /2 -> average pool 2x2
                          |                                    ^         -> fully connected 10 -> softmax
                          +------------------------------------+

Quantization follows TensorFlow Lite's rules: weights symmetric in -127..127, one scale a channel for convolutions;
biases int32 at scale input * weights; activations by their ranges over training images, ReLU fused into the range.
`outputs` are what LiteRT's reference kernels answer. Needs scikit-learn and ai-edge-litert; who only runs the demo
needs neither.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..frontends.tflite_writer import ModelWriter
from ..labels import accuracy
from .layers import Adam, AveragePool, Conv, Depthwise, FloatArray, Layer

HERE = Path(__file__).parent
SEED = 1
EPOCHS = 60
BATCH = 64
HELD_OUT = 450
INPUT_SCALE, INPUT_ZERO_POINT = 1 / 255, -128  # the real input is a pixel divided by 16

Range = tuple[float, float]
IntArray = npt.NDArray[np.int64]


class Network:
    """The network in floating point. `forward` leaves every layer's activations in `maps`, for calibration."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.stem = Conv(rng, 3, 1, 16)
        self.depthwise = Depthwise(rng, 16)
        self.pointwise = Conv(rng, 1, 16, 16, relu=False)
        self.wide = Conv(rng, 3, 16, 32, stride=2)
        self.pool = AveragePool()
        self.classifier = Conv(rng, 1, 128, 10, relu=False)  # fully connected: a convolution of one pixel
        self.layers: list[Layer] = [self.stem, self.depthwise, self.pointwise, self.wide, self.classifier]
        self.maps: dict[str, FloatArray] = {}

    def forward(self, x: FloatArray) -> FloatArray:
        """Logits (N, 10) for images (N, 8, 8, 1)."""
        maps = self.maps
        maps["stem"] = self.stem.forward(x)
        maps["depthwise"] = self.depthwise.forward(maps["stem"])
        maps["pointwise"] = self.pointwise.forward(maps["depthwise"])
        maps["add"] = np.maximum(maps["stem"] + maps["pointwise"], 0)
        maps["wide"] = self.wide.forward(maps["add"])
        maps["logits"] = self.classifier.forward(self.pool.forward(maps["wide"]).reshape(-1, 1, 1, 128))
        return maps["logits"].reshape(-1, 10)

    def backward(self, dy: FloatArray) -> None:
        """From the gradient by the logits to those by all parameters."""
        dy = self.classifier.backward(dy.reshape(-1, 1, 1, 10))
        dy = self.wide.backward(self.pool.backward(dy.reshape(-1, 2, 2, 32)))
        dy = dy * (self.maps["add"] > 0)
        self.stem.backward(dy + self.depthwise.backward(self.pointwise.backward(dy)))


def load() -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Training images (pixels 0..16, (N, 8, 8, 1)) and labels, held-out images and labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(SEED).permutation(len(digits.target))
    images = digits.images[order].astype(np.int64)[..., np.newaxis]
    labels = digits.target[order].astype(np.int64)
    return images[HELD_OUT:], labels[HELD_OUT:], images[:HELD_OUT], labels[:HELD_OUT]


def real(images: IntArray) -> FloatArray:
    """What the network sees of pixels."""
    return (images / 16).astype(np.float32)


def train(images: IntArray, labels: IntArray) -> Network:
    """Adam on cross entropy, images shifted by up to a pixel, the rate falling as a cosine."""
    rng = np.random.default_rng(SEED)
    network = Network(rng)
    adam = Adam(network.layers)
    wanted = np.eye(10, dtype=np.float32)[labels]
    batches = len(images) // BATCH
    for epoch in range(EPOCHS):
        order = rng.permutation(len(images))
        for number in range(batches):
            chosen = order[number * BATCH : (number + 1) * BATCH]
            logits = network.forward(_shift(rng, real(images[chosen])))
            network.backward((_softmax(logits) - wanted[chosen]) / np.float32(BATCH))
            progress = (epoch * batches + number) / (EPOCHS * batches)
            adam.step(0.004 * (0.5 + 0.5 * np.cos(np.pi * progress)))
    return network


def ranges(network: Network, images: IntArray) -> Mapping[str, Range]:
    """Lowest and highest value of every map over these images, zero included."""
    network.forward(real(images))
    return {name: (min(0.0, float(map_.min())), max(0.0, float(map_.max()))) for name, map_ in network.maps.items()}


def quantize(network: Network, found: Mapping[str, Range]) -> bytes:
    """The network as an int8 .tflite file, its activations quantized by the ranges found."""
    writer = _Quantizer(found)
    x = writer.tensor("image", (1, 8, 8, 1), scale=INPUT_SCALE, zero_point=INPUT_ZERO_POINT)
    stem = writer.conv("stem", network.stem, x, (1, 8, 8, 16))
    inner = writer.depthwise("depthwise", network.depthwise, stem, (1, 8, 8, 16))
    inner = writer.conv("pointwise", network.pointwise, inner, (1, 8, 8, 16))
    both = writer.map("add", (1, 8, 8, 16))
    writer.op("ADD", [stem, inner], [both], activation="RELU")
    wide = writer.conv("wide", network.wide, both, (1, 4, 4, 32))
    mean = writer.map("wide", (1, 2, 2, 32), name="pool")  # pooling keeps the quantization
    writer.op("AVERAGE_POOL_2D", [wide], [mean], kernel=(2, 2), stride=(2, 2), padding="VALID")
    vector = writer.map("wide", (1, 128), name="vector")
    writer.op("RESHAPE", [mean, writer.tensor("shape", (2,), "int32", data=(1, 128))], [vector], new_shape=(1, 128))
    logits = writer.fully_connected("logits", network.classifier, vector, (1, 10))
    output = writer.tensor("probabilities", (1, 10), scale=1 / 256, zero_point=-128)
    writer.op("SOFTMAX", [logits], [output])
    return writer.finish([x], [output])


class _Quantizer(ModelWriter):
    """Writes layers of the floating-point network with their constants quantized."""

    def __init__(self, found: Mapping[str, Range]) -> None:
        super().__init__("handwritten digits, 8x8, int8")
        self._ranges = found

    def map(self, key: str, shape: tuple[int, ...], *, name: str = "") -> int:
        """An activation quantized by the range of map `key`."""
        low, high = self._ranges[key]
        scale = (high - low) / 255
        return self.tensor(name or key, shape, scale=scale, zero_point=round(-128 - low / scale))

    def conv(self, name: str, layer: Conv, x: int, shape: tuple[int, ...]) -> int:
        weights = np.moveaxis(layer.parameters[0], 2, 0).reshape(shape[-1], layer.side, layer.side, -1)
        y = self.map(name, shape)
        constants = self._constants(name, weights, layer.parameters[1], x, axis=0)
        self.op("CONV_2D", [x, *constants], [y], stride=(layer.stride, layer.stride), activation=_fused(layer))
        return y

    def depthwise(self, name: str, layer: Depthwise, x: int, shape: tuple[int, ...]) -> int:
        weights = layer.parameters[0].reshape(1, 3, 3, -1)
        y = self.map(name, shape)
        constants = self._constants(name, weights, layer.parameters[1], x, axis=3)
        self.op("DEPTHWISE_CONV_2D", [x, *constants], [y], activation=_fused(layer))
        return y

    def fully_connected(self, name: str, layer: Conv, x: int, shape: tuple[int, ...]) -> int:
        y = self.map(name, shape)
        constants = self._constants(name, layer.parameters[0][0].T, layer.parameters[1], x, axis=None)
        self.op("FULLY_CONNECTED", [x, *constants], [y])
        return y

    def _constants(self, name: str, weights: FloatArray, bias: FloatArray, x: int, axis: int | None) -> list[int]:
        """Weights and bias; one scale for each channel of `axis`, or one for all."""
        others = tuple(other for other in range(weights.ndim) if other != axis)
        scale = np.abs(weights).max(axis=others, keepdims=True) / 127
        flat = scale.ravel()
        integers = np.rint(weights / scale)
        dimension = axis or 0
        w = self.tensor(f"{name}/weights", weights.shape, scale=flat, axis=dimension, data=integers)
        bias_scale = flat * self.scale(x)
        b = self.tensor(f"{name}/bias", bias.shape, "int32", scale=bias_scale, data=np.rint(bias / bias_scale))
        return [w, b]


def reference(model: bytes, inputs: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """What LiteRT's reference kernels answer."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    outputs = []
    for sample in inputs[:, np.newaxis]:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sample)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return np.concatenate(outputs)


def main(folder: Path = HERE) -> int:
    """Trains, quantizes, judges, writes both files to `folder`; 1, nothing written, if the accuracy is too low."""
    images, labels, held_images, held_labels = load()
    network = train(images, labels)
    float_accuracy = accuracy(network.forward(real(held_images)), held_labels)
    model = quantize(network, ranges(network, images))
    inputs = (np.rint(held_images / 16 / INPUT_SCALE) + INPUT_ZERO_POINT).astype(np.int8)
    outputs = reference(model, inputs)
    int8_accuracy = accuracy(outputs, held_labels)
    print(f"accuracy on {HELD_OUT} held-out images: float {float_accuracy:.2%}, int8 {int8_accuracy:.2%}")
    if float_accuracy < 0.97 or int8_accuracy < float_accuracy - 0.01:
        print("The accuracy must be 97 % in floating point, and int8 within 1 % of it: nothing is written")
        return 1
    (folder / "digits.tflite").write_bytes(model)
    np.savez_compressed(folder / "digits.npz", inputs=inputs, labels=held_labels.astype(np.int8), outputs=outputs)
    return 0


def _fused(layer: Layer) -> str:
    return "RELU" if layer.relu else "NONE"


def _softmax(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    normal: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return normal


def _shift(rng: np.random.Generator, x: FloatArray) -> FloatArray:
    """Every image moved by -1, 0 or 1 pixel both ways."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (8, 8), axis=(1, 2))  # (N, 3, 3, C, 8, 8)
    rows, cols = rng.integers(0, 3, (2, len(x)))
    return np.moveaxis(windows[np.arange(len(x)), rows, cols], 1, -1)


if __name__ == "__main__":
    sys.exit(main())

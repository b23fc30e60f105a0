"""Quantized networks for tests and fuzzing, as .tflite files, and what LiteRT's reference kernels make of them.

    model = random_network(7)
    x = random_input(model, seed=1, samples=3)
    expected = reference(model, x)

Equal seeds give equal files. Single layers (`conv`, `depthwise`, ...) take a seed, an input shape with a batch of one,
and the layer's options, as `network_builder.Network` has them.
"""

from math import prod
from types import ModuleType

import numpy as np
import pytest
import tflite
from network_builder import Activation, Network

SIZES = {  # greatest height and width, channels, layers of the body, MACs
    "tiny": (8, 20, 2, 20_000),
    "small": (24, 70, 5, 400_000),
    "large": (64, 256, 10, 4_000_000),
}
ACTIVATIONS = ("NONE", "RELU", "RELU6")


def conv(seed: int, shape: tuple[int, ...], channels: int, kernel=(3, 3), **options) -> bytes:
    """A model of one CONV_2D."""
    network = Network(np.random.default_rng(seed))
    return network.finish(network.conv(network.input(shape), channels, kernel, **options))


def depthwise(seed: int, shape: tuple[int, ...], kernel=(3, 3), **options) -> bytes:
    """A model of one DEPTHWISE_CONV_2D."""
    network = Network(np.random.default_rng(seed))
    return network.finish(network.depthwise(network.input(shape), kernel, **options))


def fully_connected(seed: int, shape: tuple[int, ...], outputs: int, **options) -> bytes:
    """A model of one FULLY_CONNECTED."""
    network = Network(np.random.default_rng(seed))
    return network.finish(network.fully_connected(network.input(shape), outputs, **options))


def add(seed: int, shape: tuple[int, ...], *, broadcast: bool = False, **options) -> bytes:
    """A model whose ADD takes the input and something of another quantization made from it.

    That is a depthwise convolution 1x1 of the input, or, to broadcast, the mean over the map.
    """
    network = Network(np.random.default_rng(seed))
    x = network.input(shape)
    other = network.mean(x, keep_dims=True) if broadcast else network.depthwise(x, (1, 1))
    return network.finish(network.add(x, other, **options))


def pool(seed: int, shape: tuple[int, ...], kind: str = "average", kernel=(2, 2), **options) -> bytes:
    """A model of one AVERAGE_POOL_2D or MAX_POOL_2D ("average", "max"); kernel None pools the whole map."""
    network = Network(np.random.default_rng(seed))
    return network.finish(network.pool(network.input(shape), kind, kernel, **options))


def filling(shape: tuple[int, ...]) -> bytes:
    """Layers of 3,200 bytes, slower than the input comes: in 8,192 bytes the next input has room behind the third."""
    builder = Network(np.random.default_rng(5))
    x = builder.input(shape)
    for stride in (1, 1, 2):
        x = builder.conv(x, 4, (3, 3), stride=(stride, stride))
    return builder.finish(builder.conv(x, 5, (3, 3)))


def random_network(seed: int, *, size: str = "small", branches: bool = False) -> bytes:
    """A network of random structure: 2-D (mostly), 1-D along height or width, or fully-connected layers alone.

    `size` is "tiny", "small" or "large". Kernels reach 7 (now and then 11), strides 4; channels are any number. With
    `branches` the layers of the body are now and then two or three ways side by side, one of them perhaps with ways of its own.
    """
    rng = np.random.default_rng(seed)
    extent, channels, layers, budget = SIZES[size]
    network = Network(rng, f"random network {seed}, {size}")
    draw = _Draw(rng, network, channels, budget)
    kind = rng.choice(["2d", "tall", "wide", "flat"], p=[0.7, 0.1, 0.1, 0.1])
    height, width = rng.integers(1, extent + 1, 2).tolist()
    first = int(rng.choice([1, 2, 3, draw.channels()]))
    length = int(rng.integers(1, 4 * extent + 1))
    if kind == "flat":
        x = network.input((1, int(rng.integers(1, 300))))
    else:
        x = network.input({"2d": (1, height, width, first), "tall": (1, length, 1, first)}.get(kind, (1, 1, length, first)))
        for _ in range(rng.integers(1, layers + 1)):
            x = draw.ways(x) if branches and draw.chance(0.4) else draw.body_layer(x)
    if kind == "flat" or rng.random() < 0.5:
        x = draw.tail(x)
    return network.finish(x)


class _Draw:
    """Draws layers for `random_network` within the limits of its size."""

    def __init__(self, rng: np.random.Generator, network: Network, channels: int, budget: int) -> None:
        self.rng = rng
        self.network = network
        self.most_channels = channels
        self.budget = budget

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def channels(self) -> int:
        """Any number, but one in two a multiple of 8."""
        count = int(self.rng.integers(1, self.most_channels + 1))
        return max(8, count // 8 * 8) if self.chance(0.5) else count

    def activation(self) -> str:
        return str(self.rng.choice(ACTIVATIONS))

    def kernel(self, extent: int, most: int = 7) -> int:
        """One side of a kernel; a map of one row has kernels of one row."""
        if extent == 1:
            return 1
        return 11 if self.chance(0.03) else int(self.rng.choice([1, 2, 3, 3, 3, 4, 5, 6, 7]))

    def window(self, x: Activation, *, dilated: bool = True) -> dict:
        """Kernel, stride, padding and, for convolutions, dilation that fit the map."""
        kernel = tuple(self.kernel(extent) for extent in x.shape[1:3])
        stride = tuple(self.rng.choice([1, 1, 1, 2, 2, 3, 4], 2).tolist())
        if self.chance(0.7):
            stride = (stride[0], stride[0])
        options = {"kernel": kernel, "stride": stride, "activation": self.activation()}
        dilation = (1, 1)
        if dilated and self.chance(0.15):
            dilation = options["dilation"] = tuple(self.rng.integers(1, 4, 2).tolist())
            if self.chance(0.7):
                options["stride"] = (1, 1)
        reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
        fits = all(extent >= need for extent, need in zip(x.shape[1:3], reach, strict=True))
        options["padding"] = "VALID" if fits and self.chance(0.4) else "SAME"
        return options

    def weighted(self) -> dict:
        """The options that every layer with weights has."""
        return {"per_channel": not self.chance(0.2), "magnitude": 3 if self.chance(0.1) else 127}

    def conv(self, x: Activation) -> Activation:
        """A convolution whose channels are as many as the budget allows."""
        options = self.window(x)
        channels = self.channels()
        groups = 1
        if self.chance(0.05):
            groups = int(self.rng.choice([count for count in (1, 2, 3, 4) if x.channels % count == 0]))
        depth = x.channels // groups
        pixels = [-(-extent // step) for extent, step in zip(x.shape[1:3], options["stride"], strict=True)]
        each = prod(pixels) * prod(options["kernel"]) * depth
        affordable = max(1, (self.budget - self.network.macs) // each)
        channels = -(-min(channels, affordable) // groups) * groups
        return self.network.conv(x, channels, groups=groups, **options, **self.weighted())

    def depthwise(self, x: Activation) -> Activation:
        options = self.window(x)
        multiplier = 2 if x.channels <= self.most_channels // 2 and self.chance(0.3) else 1
        return self.network.depthwise(x, depth_multiplier=multiplier, bias=not self.chance(0.1), **options, **self.weighted())

    def residual(self, x: Activation) -> Activation:
        """A branch of one or two layers that keeps the shape, added to its input."""
        network = self.network
        branch = x
        if self.chance(0.5):
            branch = network.depthwise(branch, (3, 3) if x.shape[2] > 1 else (3, 1), activation=self.activation())
        each = prod(x.shape[1:]) * x.channels
        if branch is x or network.macs + each <= self.budget:
            branch = network.conv(branch, x.channels, (1, 1), activation=self.activation(), **self.weighted())
        pair = (x, branch) if self.chance(0.5) else (branch, x)
        return network.add(*pair, activation=self.activation())

    def ways(self, x: Activation, depth: int = 0) -> Activation:
        """Two or three ways of one to three layers each that keep the shape, and the sum of where they end."""
        ends = []
        for _ in range(self.rng.integers(2, 4)):
            way = x
            for _ in range(self.rng.integers(0 if not ends else 1, 4)):
                nested = depth < 2 and self.chance(0.15)
                way = self.ways(way, depth + 1) if nested else self.same_shape(way)
            ends.append(way)
        total = ends[0]
        for end in ends[1:]:
            pair = (total, end) if self.chance(0.5) else (end, total)
            total = self.network.add(*pair, activation=self.activation())
        return total

    def same_shape(self, x: Activation) -> Activation:
        """A layer whose output is as large as its input."""
        kernel = tuple(min(extent, int(self.rng.choice([1, 2, 3, 3, 5]))) for extent in x.shape[1:3])
        options = {"padding": "SAME", "activation": self.activation()}
        kind = self.rng.choice(["conv", "depthwise", "max", "average"], p=[0.4, 0.3, 0.2, 0.1])
        if kind in ("max", "average"):
            return self.network.pool(x, str(kind), kernel, stride=(1, 1), **options)
        each = prod(x.shape[1:]) * x.channels * prod(kernel)
        if kind == "conv" and self.network.macs + each <= self.budget:
            return self.network.conv(x, x.channels, kernel, **options, **self.weighted())
        return self.network.depthwise(x, kernel, **options, **self.weighted())

    def pool(self, x: Activation) -> Activation:
        options = self.window(x, dilated=False)
        return self.network.pool(x, str(self.rng.choice(["average", "max"])), **options)

    def pad(self, x: Activation) -> Activation:
        """Padding of its own before a convolution, as Keras writes it."""
        widths = tuple(tuple(self.rng.integers(0, 3, 2).tolist()) for _ in range(2))
        x = self.network.pad(x, widths)
        channels = min(self.channels(), max(1, (self.budget - self.network.macs) // (prod(x.shape) * 4)))
        kernel = tuple(min(2, extent) for extent in x.shape[1:3])
        return self.network.conv(x, channels, kernel, stride=(2, 2), padding="VALID", activation=self.activation())

    def body_layer(self, x: Activation) -> Activation:
        layer = self.rng.choice(
            [self.conv, self.depthwise, self.residual, self.pool, self.pad], p=[0.4, 0.25, 0.15, 0.15, 0.05]
        )
        return layer(x)

    def tail(self, x: Activation) -> Activation:
        """What ends a classifier: the map to a vector, fully-connected layers, perhaps softmax."""
        network = self.network
        if len(x.shape) == 4:
            how = self.rng.choice(["global pool", "mean", "flatten", "as is"])
            if how == "global pool":
                x = network.pool(x, "average")
            elif how == "mean":
                x = network.mean(x)
            if how in ("global pool", "flatten"):
                x = network.flatten(x)
        for _ in range(self.rng.integers(1, 4)):
            affordable = max(1, (self.budget - network.macs) // prod(x.shape))
            outputs = min(int(self.rng.integers(1, 101)), affordable)
            x = network.fully_connected(x, outputs, activation=self.activation(), bias=not self.chance(0.1), **self.weighted())
        return network.softmax(x) if self.chance(0.3) else x


def input_shape(model: bytes) -> tuple[int, ...]:
    """Shape of the model's one input, batch of one first."""
    subgraph = tflite.Model.GetRootAs(model, 0).Subgraphs(0)
    return tuple(subgraph.Tensors(subgraph.Inputs(0)).ShapeAsNumpy().tolist())


def random_input(model: bytes, seed: int, samples: int = 1) -> np.ndarray:
    """Uniform int8 noise of the model's input shape, `samples` in the first axis."""
    shape = (samples, *input_shape(model)[1:])
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


def reference(model: bytes, x: np.ndarray) -> np.ndarray:
    """What LiteRT's reference kernels answer, sample by sample. The test that asks skips if LiteRT is not installed."""
    interpreter = _interpreter(model)
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    return np.concatenate([_invoke(interpreter, source, sample).get_tensor(target) for sample in x[:, np.newaxis]])


def reference_tensors(model: bytes, sample: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of the model by its name, after the reference kernels ran one sample (batch of one first)."""
    interpreter = _interpreter(model, experimental_preserve_all_tensors=True)
    _invoke(interpreter, interpreter.get_input_details()[0]["index"], sample)
    return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_tensor_details()}


def _litert() -> ModuleType:
    return pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")


def _interpreter(model: bytes, **options):
    litert = _litert()
    interpreter = litert.Interpreter(
        model_content=model, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF, **options
    )
    interpreter.allocate_tensors()
    return interpreter


def _invoke(interpreter, index: int, sample: np.ndarray):
    interpreter.set_tensor(index, sample)
    interpreter.invoke()
    return interpreter

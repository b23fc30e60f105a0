"""Builds quantized networks layer by layer, with random weights and quantization calibrated on data.

Every layer is computed in floating point on a few samples while the network grows, so that scales and zero points come
from the ranges that its activations really have: outputs use most of -128..127 and only a few saturate. That arithmetic
is close to the integers of TensorFlow Lite, not equal; what a model computes is what the reference kernels say.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from celosia.host.frontends.tflite_writer import ModelWriter

Pair = tuple[int, int]

_TYPICAL = 2.5  # root mean square of a layer's real outputs, so that RELU6 cuts some and not all
_SAMPLES = 8  # of noise, where there is no better calibration data
_CLIPS = {"NONE": (-np.inf, np.inf), "RELU": (0.0, np.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Activation:
    """A tensor of the network under construction. `values` are integers, the calibration samples in the first axis."""

    index: int
    scale: float
    zero_point: int
    values: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """As the model file has it, with a batch of one."""
        return (1, *self.values.shape[1:])

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def real(self) -> np.ndarray:
        return (self.values.astype(np.float64) - self.zero_point) * self.scale


class Network:
    """One network in the making: each method adds a layer and returns its output.

    Parameters
    ----------
    rng: where weights, biases, spreads of scales and odd zero points come from.
    macs: useful multiply-accumulates so far, for those who keep to a budget.
    weight_type: "int8" or "int4", whose largest weight is 7.
    activation_type, bias_type: "int8" with "int32", or "int16" with "int64" or "int32".
    """

    def __init__(
        self,
        rng: np.random.Generator,
        description: str = "a random network",
        *,
        weight_type: str = "int8",
        activation_type: str = "int8",
        bias_type: str = "int32",
    ) -> None:
        self.rng = rng
        self._weight_type = weight_type
        self._type = np.dtype(activation_type)
        self._limits = np.iinfo(activation_type)
        self._bias_type = bias_type
        self.macs = 0
        self._writer = ModelWriter(description)
        self._inputs: list[int] = []
        self._names = 0

    def input(
        self, shape: tuple[int, ...], *, scale: float | None = None, zero_point: int | None = None, samples=None
    ) -> Activation:
        """The network's input. `samples` (N, ...) calibrate it; uniform noise does if there are none."""
        scale = float(self.rng.uniform(0.004, 0.1)) if scale is None else scale
        zero_point = int(self.rng.integers(-128, 128)) if zero_point is None else zero_point
        if self._type != np.int8:
            zero_point = 0
        if samples is None:
            samples = self.rng.integers(self._limits.min, self._limits.max + 1, (_SAMPLES, *shape[1:]))
        index = self._writer.tensor(self._name("input"), shape, self._type.name, scale=scale, zero_point=zero_point)
        self._inputs.append(index)
        return Activation(index=index, scale=scale, zero_point=zero_point, values=np.asarray(samples, self._type))

    def conv(
        self,
        x: Activation,
        channels: int,
        kernel: Pair = (3, 3),
        *,
        stride: Pair = (1, 1),
        padding: str = "SAME",
        dilation: Pair = (1, 1),
        activation: str = "NONE",
        groups: int = 1,
        per_channel: bool = True,
        magnitude: float = 127,
    ) -> Activation:
        """CONV_2D; always with a bias, as its int8 kernel wants. The largest weight of a channel is `magnitude`."""
        depth = x.channels // groups
        weights = self._weights((channels, *kernel, depth), axis=0, magnitude=magnitude)
        windows = _windows(x, kernel, stride, padding, dilation)  # (N, H, W, C, kernel_h, kernel_w)
        sums = np.concatenate(
            [
                np.einsum(
                    "nhwckl,oklc->nhwo",
                    windows[:, :, :, group * depth : (group + 1) * depth],
                    part,
                    optimize=True,
                )
                for group, part in enumerate(np.split(weights.astype(np.float64), groups))
            ],
            axis=-1,
        )
        options = {"stride": stride, "padding": padding, "dilation": dilation, "activation": activation}
        return self._weighted("CONV_2D", x, weights, 0, sums, per_channel=per_channel, **options)

    def depthwise(
        self,
        x: Activation,
        kernel: Pair = (3, 3),
        *,
        depth_multiplier: int = 1,
        stride: Pair = (1, 1),
        padding: str = "SAME",
        dilation: Pair = (1, 1),
        activation: str = "NONE",
        bias: bool = True,
        per_channel: bool = True,
        magnitude: float = 127,
    ) -> Activation:
        """DEPTHWISE_CONV_2D."""
        weights = self._weights((1, *kernel, x.channels * depth_multiplier), axis=3, magnitude=magnitude)
        windows = np.repeat(_windows(x, kernel, stride, padding, dilation), depth_multiplier, axis=3)
        sums = np.einsum("nhwokl,klo->nhwo", windows, weights[0].astype(np.float64), optimize=True)
        options = {"stride": stride, "padding": padding, "dilation": dilation, "activation": activation}
        return self._weighted(
            "DEPTHWISE_CONV_2D",
            x,
            weights,
            3,
            sums,
            bias=bias,
            per_channel=per_channel,
            depth_multiplier=depth_multiplier,
            **options,
        )

    def fully_connected(
        self,
        x: Activation,
        outputs: int,
        *,
        activation: str = "NONE",
        bias: bool = True,
        per_channel: bool = False,
        magnitude: float = 127,
    ) -> Activation:
        """FULLY_CONNECTED over all elements of `x`, whatever its shape."""
        weights = self._weights((outputs, prod(x.shape)), axis=0, magnitude=magnitude)
        flat = x.values.reshape(len(x.values), -1).astype(np.float64) - x.zero_point
        sums = flat @ weights.T.astype(np.float64)
        return self._weighted("FULLY_CONNECTED", x, weights, 0, sums, bias=bias, per_channel=per_channel, activation=activation)

    def add(self, a: Activation, b: Activation, *, activation: str = "NONE") -> Activation:
        """ADD of two tensors of one shape, or of shapes that broadcast."""
        return self._emit("ADD", [a.index, b.index], a.real + b.real, activation=activation)

    def pool(
        self,
        x: Activation,
        kind: str = "average",
        kernel: Pair | None = None,
        *,
        stride: Pair | None = None,
        padding: str = "VALID",
        activation: str = "NONE",
    ) -> Activation:
        """AVERAGE_POOL_2D or MAX_POOL_2D, over the whole map if `kernel` is None. Both keep the quantization."""
        kernel = kernel or x.shape[1:3]
        stride = stride or kernel
        windows = _windows(x, kernel, stride, padding, (1, 1), outside=np.nan)
        reduce = np.nanmean if kind == "average" else np.nanmax
        real = reduce(windows, axis=(4, 5)) * x.scale
        op = "AVERAGE_POOL_2D" if kind == "average" else "MAX_POOL_2D"
        options = {"kernel": kernel, "stride": stride, "padding": padding, "activation": activation}
        return self._emit(op, [x.index], real, like=x, **options)

    def mean(self, x: Activation, *, keep_dims: bool = False) -> Activation:
        """MEAN over height and width, with a quantization of its own."""
        axes = self._writer.tensor(self._name("axes"), (2,), "int32", data=[1, 2])
        return self._emit("MEAN", [x.index, axes], x.real.mean(axis=(1, 2), keepdims=keep_dims), keep_dims=keep_dims)

    def pad(self, x: Activation, padding: tuple[Pair, Pair]) -> Activation:
        """PAD of height and width."""
        widths = ((0, 0), *padding, (0, 0))
        constant = self._writer.tensor(self._name("paddings"), (4, 2), "int32", data=widths)
        return self._emit("PAD", [x.index, constant], np.pad(x.real, widths), like=x)

    def reshape(self, x: Activation, shape: tuple[int, ...]) -> Activation:
        """RESHAPE; `shape` starts with the batch of one."""
        constant = self._writer.tensor(self._name("shape"), (len(shape),), "int32", data=shape)
        real = x.real.reshape(len(x.values), *shape[1:])
        return self._emit("RESHAPE", [x.index, constant], real, like=x, new_shape=shape)

    def flatten(self, x: Activation) -> Activation:
        """RESHAPE to (1, elements)."""
        return self.reshape(x, (1, prod(x.shape)))

    def softmax(self, x: Activation) -> Activation:
        """SOFTMAX over the last axis, with the one output quantization that it allows."""
        powers = np.exp(x.real - x.real.max(axis=-1, keepdims=True))
        real = powers / powers.sum(axis=-1, keepdims=True)
        quantization = (1 / 256, -128) if self._type == np.int8 else (1 / 32768, 0)
        return self._emit("SOFTMAX", [x.index], real, quantization=quantization, beta=1.0)

    def requantize(self, x: Activation) -> Activation:
        """QUANTIZE from int8 to int8 with other parameters."""
        return self._emit("QUANTIZE", [x.index], x.real * self.rng.uniform(0.8, 1.25))

    def finish(self, *outputs: Activation) -> bytes:
        """The .tflite file."""
        return self._writer.finish(self._inputs, [output.index for output in outputs])

    def _name(self, what: str) -> str:
        self._names += 1
        return f"{what}_{self._names}"

    def _weights(self, shape: tuple[int, ...], axis: int, magnitude: float) -> np.ndarray:
        """Normal weights, each channel scaled to the whole range as a converter does it."""
        weights = self.rng.normal(size=shape)
        others = tuple(other for other in range(len(shape)) if other != axis)
        magnitude = min(magnitude, 7) if self._weight_type == "int4" else magnitude
        return np.rint(weights / np.abs(weights).max(axis=others, keepdims=True) * magnitude).astype(np.int8)

    def _weighted(self, op, x, weights, axis, sums, *, per_channel, bias=True, **options) -> Activation:
        """Chooses weight scales and biases for these sums, then adds the operator."""
        outputs = weights.shape[axis]
        rms = np.sqrt(np.square(sums).reshape(-1, outputs).mean(axis=0))
        rms = np.maximum(rms, max(0.2 * rms.mean(), 1.0))  # a channel that hardly moves gets no absurd scale
        spread = self.rng.lognormal(0.0, 0.5, outputs)
        if not per_channel:
            rms, spread = rms.mean(), 1.0
        scales = np.atleast_1d(np.float32(_TYPICAL * spread / (rms * x.scale)))
        if bias:
            biases = np.rint(self.rng.normal(0.0, 0.5, outputs) * rms)
            sums = sums + biases
        name = self._name("weights")
        constants = [self._writer.tensor(name, weights.shape, self._weight_type, scale=scales, axis=axis, data=weights)]
        if bias:
            name = self._name("bias")
            constants.append(self._writer.tensor(name, (outputs,), self._bias_type, scale=scales * x.scale, data=biases))
        elif op == "FULLY_CONNECTED":
            constants.append(-1)
        self.macs += int(prod(sums.shape[1:]) * weights.size // outputs)
        return self._emit(op, [x.index, *constants], sums * scales * x.scale, **options)

    def _emit(self, op, inputs, real, *, like=None, quantization=None, activation=None, **options) -> Activation:
        """Adds an operator whose real outputs are `real`, quantized like another tensor or by their range."""
        clipped = np.clip(real, *_CLIPS[activation or "NONE"])
        if like is not None:
            quantization = (like.scale, like.zero_point)
        scale, zero_point = quantization or self._quantization(clipped)
        values = np.clip(np.rint(clipped / scale) + zero_point, self._limits.min, self._limits.max).astype(self._type)
        name = self._name(op.lower())
        index = self._writer.tensor(name, (1, *values.shape[1:]), self._type.name, scale=scale, zero_point=zero_point)
        if activation is not None:
            options["activation"] = activation
        self._writer.op(op, inputs, [index], **options)
        return Activation(index=index, scale=scale, zero_point=zero_point, values=values)

    def _quantization(self, real: np.ndarray) -> tuple[float, int]:
        """Scale and zero point for this range; now and then the zero point is not where a converter would put it."""
        low = min(0.0, float(np.quantile(real, 0.002)))
        high = max(0.0, float(np.quantile(real, 0.998)))
        if self._type != np.int8:
            return float(np.float32(max(high, -low, 0.5) / self._limits.max * self.rng.uniform(0.8, 1.1))), 0
        scale = float(np.float32(max(high - low, 0.5) / 255 * self.rng.uniform(0.8, 1.1)))
        zero_point = round(-128 - low / scale)
        if self.rng.random() < 0.2:
            zero_point += int(self.rng.integers(-20, 60))
        return scale, int(np.clip(zero_point, -128, 127))


def _windows(x: Activation, kernel: Pair, stride: Pair, padding: str, dilation: Pair, outside: float = 0.0):
    """What each output sees of `x` less its zero point: (N, H, W, C, kernel_h, kernel_w)."""
    real = x.values.astype(np.float64) - x.zero_point
    extents = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    if padding == "SAME":
        widths = []
        for size, extent, step in zip(x.shape[1:3], extents, stride, strict=True):
            total = max((-(-size // step) - 1) * step + extent - size, 0)
            widths.append((total // 2, total - total // 2))
        real = np.pad(real, ((0, 0), *widths, (0, 0)), constant_values=outside)
    windows = np.lib.stride_tricks.sliding_window_view(real, extents, axis=(1, 2))
    return windows[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]

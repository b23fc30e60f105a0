"""The few layers that the demo's training needs, forward and backward, in NumPy.

Maps are float32 (N, H, W, C). A layer keeps what its last `forward` saw; `backward` takes the loss's gradient by its
output, leaves those by its parameters in `gradients` and returns the one by its input. Padding is TensorFlow's "same".
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class Layer:
    """A layer with weights, a bias per output channel, and perhaps a ReLU behind it."""

    def __init__(self, weights: npt.NDArray[Any], outputs: int, *, relu: bool) -> None:
        self.parameters = [weights.astype(np.float32), np.zeros(outputs, np.float32)]
        self.gradients = [np.zeros_like(parameter) for parameter in self.parameters]
        self.relu = relu
        self._open: npt.NDArray[np.bool_] = np.ones((), np.bool_)

    def _activate(self, sums: FloatArray) -> FloatArray:
        self._open = sums > 0 if self.relu else np.ones((), np.bool_)
        return sums * self._open


class Conv(Layer):
    """Dense convolution: y = sum over taps t of x_t @ weights[t] + bias; weights (taps, inputs, outputs)."""

    def __init__(
        self, rng: np.random.Generator, side: int, inputs: int, outputs: int, *, stride: int = 1, relu: bool = True
    ) -> None:
        weights = rng.normal(0, np.sqrt(2 / (side * side * inputs)), (side * side, inputs, outputs))
        super().__init__(weights, outputs, relu=relu)
        self.side, self.stride = side, stride

    def forward(self, x: FloatArray) -> FloatArray:
        weights, bias = self.parameters
        self._padded, self._shape = _pad(x, self.side, self.stride), x.shape
        taps = _taps(self._padded, x.shape, self.side, self.stride)
        return self._activate(sum((tap @ weight for tap, weight in zip(taps, weights, strict=True)), bias))

    def backward(self, dy: FloatArray) -> FloatArray:
        dy = dy * self._open
        weights, _ = self.parameters
        dx = np.zeros_like(self._padded)
        into = _taps(dx, self._shape, self.side, self.stride)
        flat = dy.reshape(-1, dy.shape[-1])
        for number, tap in enumerate(_taps(self._padded, self._shape, self.side, self.stride)):
            self.gradients[0][number] = tap.reshape(-1, tap.shape[-1]).T @ flat
            target = next(into)
            target += dy @ weights[number].T
        self.gradients[1][:] = flat.sum(axis=0)
        return _crop(dx, self._shape, self.side, self.stride)


class Depthwise(Layer):
    """Depthwise convolution 3x3: y = sum over taps t of x_t * weights[t] + bias; weights (9, channels)."""

    def __init__(self, rng: np.random.Generator, channels: int, *, relu: bool = True) -> None:
        super().__init__(rng.normal(0, np.sqrt(2 / 9), (9, channels)), channels, relu=relu)

    def forward(self, x: FloatArray) -> FloatArray:
        weights, bias = self.parameters
        self._padded, self._shape = _pad(x, 3, 1), x.shape
        taps = _taps(self._padded, x.shape, 3, 1)
        return self._activate(sum((tap * weight for tap, weight in zip(taps, weights, strict=True)), bias))

    def backward(self, dy: FloatArray) -> FloatArray:
        dy = dy * self._open
        weights, _ = self.parameters
        dx = np.zeros_like(self._padded)
        into = _taps(dx, self._shape, 3, 1)
        for number, tap in enumerate(_taps(self._padded, self._shape, 3, 1)):
            self.gradients[0][number] = (tap * dy).sum(axis=(0, 1, 2))
            target = next(into)
            target += dy * weights[number]
        self.gradients[1][:] = dy.sum(axis=(0, 1, 2))
        return _crop(dx, self._shape, 3, 1)


class AveragePool:
    """Average over windows 2x2."""

    def forward(self, x: FloatArray) -> FloatArray:
        count, rows, cols, channels = x.shape
        y: FloatArray = x.reshape(count, rows // 2, 2, cols // 2, 2, channels).mean(axis=(2, 4))
        return y

    def backward(self, dy: FloatArray) -> FloatArray:
        return (dy / np.float32(4)).repeat(2, axis=1).repeat(2, axis=2)


class Adam:
    """Adam with its usual constants over the parameters of some layers."""

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = layers
        self._moments = [[(np.zeros_like(p), np.zeros_like(p)) for p in layer.parameters] for layer in layers]
        self._steps = 0

    def step(self, rate: float) -> None:
        self._steps += 1
        for layer, moments in zip(self.layers, self._moments, strict=True):
            for parameter, gradient, (first, second) in zip(layer.parameters, layer.gradients, moments, strict=True):
                first += 0.1 * (gradient - first)
                second += 0.001 * (np.square(gradient) - second)
                size = np.sqrt(second / (1 - 0.999**self._steps)) + 1e-8
                parameter -= rate * first / (1 - 0.9**self._steps) / size


def _same(size: int, side: int, stride: int) -> tuple[int, int]:
    """Padding before and after one axis."""
    total = max((-(-size // stride) - 1) * stride + side - size, 0)
    return total // 2, total - total // 2


def _pad(x: FloatArray, side: int, stride: int) -> FloatArray:
    return np.pad(x, ((0, 0), _same(x.shape[1], side, stride), _same(x.shape[2], side, stride), (0, 0)))


def _crop(padded: FloatArray, shape: tuple[int, ...], side: int, stride: int) -> FloatArray:
    top, left = _same(shape[1], side, stride)[0], _same(shape[2], side, stride)[0]
    return padded[:, top : top + shape[1], left : left + shape[2]]


def _taps(padded: FloatArray, shape: tuple[int, ...], side: int, stride: int) -> Iterator[FloatArray]:
    """For each position in the kernel, the view of the pixels that it meets: (N, out_H, out_W, C)."""
    rows, cols = (stride * -(-extent // stride) for extent in shape[1:3])
    for row in range(side):
        for col in range(side):
            yield padded[:, row : row + rows : stride, col : col + cols : stride]

"""A network with what calibration found: makes a quantized network of any widths.

Every layer and activation is quantized once for each width, by itself; networks of mixed widths are put together from those.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .network import Float32Array, Float64Array, FloatNetwork, Step
from .observe import Moments, Observed
from .points import Point
from .rounding import Factor, compensated, factor_of
from .scales import ODDS, channel_scales, odd_of, quantizer_of
from .writer import Quantization, QuantizedLayer, Quantizer, qonnx_model, simulated_model

EDGE_BITS = 8  # of the network's input and of its output
WIDTHS = (2, 3, 4, 5, 6, 7, 8)
_EXACT = 1 << 23  # units that sums may reach: half of what float32 holds, the other half for bias and rounding
_COARSEST = 64  # steps of the output that a sum may be
_MULTIPLIER = 1 << 32  # twice what a multiplier of 31 bits resolves


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Bits of each layer's weights, and of each inner activation, in the network's order."""

    weights: tuple[int, ...]
    activations: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rounded:
    whole: npt.NDArray[np.int64]
    scale: Float32Array
    offset: Float64Array  # the bias, corrected by the mean of what rounding lost


class Calibrated:
    """network, points and what was observed of them; `method` says how activations' scales are found."""

    def __init__(self, network: FloatNetwork, points: tuple[Point, ...], observed: Observed, method: str = "mse") -> None:
        self.network = network
        self.points = points
        self._observed = observed
        self._method = method
        self._quantizers: dict[tuple[str, int], Quantizer] = {}
        self._factors = {name: _factors(found) for name, found in observed.moments.items()}
        self._rounded: dict[tuple[str, int, Quantizer, Quantizer], _Rounded] = {}

    @property
    def inner(self) -> tuple[Point, ...]:
        """The activations whose widths may be chosen: neither the input nor the output."""
        return tuple(point for point in self.points if point.maker is not None and not point.last)

    def uniform(self, weights: int, activations: int) -> Widths:
        """The same widths everywhere."""
        return Widths(weights=(weights,) * len(self.network.layers), activations=(activations,) * len(self.inner))

    def quantization(self, widths: Widths) -> Quantization:
        """All quantizers and layers."""
        inner = {point.tensor: bits for point, bits in zip(self.inner, widths.activations, strict=True)}
        points = {point.tensor: self._quantizer(point, inner.get(point.tensor, EDGE_BITS)) for point in self.points}
        layers = {
            layer.output: self._layer(layer, bits, points)
            for layer, bits in zip(self.network.layers, widths.weights, strict=True)
        }
        return Quantization(points=points, layers=layers)

    def qonnx(self, widths: Widths) -> bytes:
        """The QONNX file."""
        return qonnx_model(self.network, self.quantization(widths))

    def simulated(self, widths: Widths) -> bytes:
        """Its twin for onnxruntime."""
        return simulated_model(self.network, self.quantization(widths))

    def packed_bytes(self, widths: Widths) -> int:
        """What the weights take, packed without a gap, and the biases, of 32 bits."""
        layers = self.network.layers
        bits = sum(layer.kernel.size * width for layer, width in zip(layers, widths.weights, strict=True))
        return -(-bits // 8) + 4 * sum(layer.offsets.size for layer in layers)

    def _quantizer(self, point: Point, bits: int) -> Quantizer:
        key = point.tensor, bits
        if key not in self._quantizers:
            self._quantizers[key] = quantizer_of(point, self._observed.values[point.tensor], bits, self._method)
        return self._quantizers[key]

    def _layer(self, layer: Step, bits: int, points: Mapping[str, Quantizer]) -> QuantizedLayer:
        before, behind = points[self._source(layer.inputs[0], points)], points[self._end(layer, points)]
        key = layer.output, bits, before, behind
        if key not in self._rounded:
            self._rounded[key] = self._round(layer, bits, before, behind)
        rounded = self._rounded[key]
        unit = rounded.scale.astype(np.float64) * before.scale
        whole = np.round(rounded.offset / unit)
        exact = unit / odd_of(rounded.scale)
        # FLOOR rounds down: half a step of the output on top, and it rounds to the nearest. Where a sum is a whole number of
        # steps, there is nothing to round.
        half = np.where(behind.scale >= 2 * exact, behind.scale / 2, 0.0)
        return QuantizedLayer(
            whole=rounded.whole.reshape(layer.kernel.shape).astype(np.int8),
            scale=rounded.scale,
            bits=bits,
            bias=np.round((whole * unit + half) / exact).astype(np.int64),
            bias_scale=exact.astype(np.float32),
        )

    def _round(self, layer: Step, bits: int, before: Quantizer, behind: Quantizer) -> _Rounded:
        moments, outputs = self._observed.moments[layer.output], len(layer.kernel)
        weights = layer.kernel.reshape(outputs, -1).astype(np.float64)
        groups = len(moments.mean)
        each = outputs // groups
        importance = np.repeat(moments.variance, each, axis=0) + 1e-12
        most = (1 << (bits - 1)) - 1
        scale = channel_scales(weights, importance, most)
        scale = self._exact(weights, importance, scale, most, before, behind)
        whole = np.empty(weights.shape, np.int64)
        for group in range(groups):
            own = slice(group * each, (group + 1) * each)
            whole[own] = compensated(weights[own], scale[own], self._factors[layer.output][group], most)
        lost = weights - whole * scale.astype(np.float64)[:, np.newaxis]
        mean = (lost * np.repeat(moments.mean, each, axis=0)).sum(axis=1)
        return _Rounded(whole=whole, scale=scale, offset=layer.offsets.astype(np.float64) + mean)

    def _exact(
        self,
        weights: Float64Array,
        importance: Float64Array,
        scale: Float32Array,
        most: int,
        before: Quantizer,
        behind: Quantizer,
    ) -> Float32Array:
        """The scales with which every sum is exact, and each threshold one that a multiplier finds: of a channel whose sums
        are too large for its odd number, a power of two; where that does not do, a larger one; a smaller one where a sum is
        more steps of the output than the fabric shifts to the left."""
        greatest = max(before.high - before.zero, before.zero - before.low)

        def reach(scales: Float32Array) -> Float64Array:
            whole = np.clip(np.abs(weights) / scales.astype(np.float64)[:, np.newaxis] + 0.5, 0, most)
            return whole.sum(axis=1) * greatest

        odd, sums = odd_of(scale), reach(scale)
        period = behind.scale / (scale.astype(np.float64) * before.scale)
        fine = (sums * odd < _EXACT) & (np.minimum(sums, (behind.high + 1) * period) * period * 2 * odd < _MULTIPLIER)
        allowed = np.repeat(fine[:, np.newaxis], len(ODDS), axis=1)
        scale = channel_scales(weights, importance, most, allowed)
        while (over := reach(scale) >= _EXACT).any():
            scale = np.where(over, scale * 2, scale).astype(np.float32)
        while (coarse := scale.astype(np.float64) * before.scale > _COARSEST * behind.scale).any():
            scale = np.where(coarse, scale / 2, scale).astype(np.float32)
        return scale

    def _source(self, name: str, points: Mapping[str, Quantizer]) -> str:
        """The point whose whole numbers an activation holds."""
        while name not in points:
            name = next(step.inputs[0] for step in self.network.steps if step.output == name)
        return name

    def _end(self, layer: Step, points: Mapping[str, Quantizer]) -> str:
        """The point behind a layer."""
        name = layer.output
        while name not in points:
            (reader,) = self.network.consumers(name)
            name = reader.output
        return name


def _factors(moments: Moments) -> list[Factor | None]:
    """A factor each group of a layer; None where its covariance is not known: its weights are rounded to the nearest."""
    covariance = moments.covariance
    return [None] * len(moments.mean) if covariance is None else [factor_of(group) for group in covariance]

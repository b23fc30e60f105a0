"""What the float network does on data: samples of each activation, moments of each layer's inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt

from .network import Float32Array, Float64Array, FloatNetwork, Step
from .points import Point
from .runtime import Runner, at_once
from .writer import float_model

_VALUES = 1 << 16  # of an activation that are kept
WIDEST = 4096  # weights of an output that covariances are kept for: beyond, they take more time than they are worth
_ROWS = 1 << 14  # of a layer's inputs that its moments are made of


@dataclass(frozen=True, kw_only=True, eq=False)
class Values:
    """Some of an activation's values, and the least and the greatest of all."""

    some: Float32Array
    low: float
    high: float


@dataclass(kw_only=True, eq=False)
class Moments:
    """Means and variances (groups, K), and covariances (groups, K, K), of what a layer's weights are multiplied with.

    `rows` are counted; products are left out where K is larger than `WIDEST`.
    """

    rows: int = 0
    sums: Float64Array = field(default_factory=lambda: np.zeros(()))
    squares: Float64Array = field(default_factory=lambda: np.zeros(()))
    products: Float64Array = field(default_factory=lambda: np.zeros(()))

    def add(self, rows: Float32Array) -> None:
        """Rows (groups, n, K) more."""
        self.rows += rows.shape[1]
        wide = rows.astype(np.float64)
        self.sums = self.sums + wide.sum(axis=1)
        self.squares = self.squares + np.square(wide).sum(axis=1)
        if rows.shape[2] <= WIDEST:
            self.products = self.products + wide.transpose(0, 2, 1) @ wide

    @property
    def mean(self) -> Float64Array:
        """(groups, K)."""
        return self.sums / self.rows

    @property
    def variance(self) -> Float64Array:
        """(groups, K)."""
        return np.maximum(self.squares / self.rows - np.square(self.mean), 0)

    @property
    def covariance(self) -> Float64Array | None:
        """(groups, K, K); None of very wide layers."""
        if not self.products.ndim:
            return None
        mean = self.mean
        return self.products / self.rows - mean[:, :, np.newaxis] * mean[:, np.newaxis, :]


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """Values by point, moments by layer's output."""

    values: dict[str, Values]
    moments: dict[str, Moments]


def observe(
    network: FloatNetwork, points: Sequence[Point], x: Float32Array, seed: int, tell: Callable[[int], None] | None = None
) -> Observed:
    """Runs the network on x (N, ...). `tell` is told how many samples are done."""
    rng = np.random.default_rng(seed)
    wanted = list(dict.fromkeys([*(point.tensor for point in points), *(layer.inputs[0] for layer in network.layers)]))
    computed = [name for name in wanted if name != network.input]
    sizes = {network.input: prod(network.shape), **{step.output: prod(step.shape) for step in network.steps}}
    runner = Runner(float_model(network, computed), computed, at_once(list(sizes.values())))
    parts: dict[str, list[Float32Array]] = {point.tensor: [] for point in points}
    ends = {point.tensor: [np.inf, -np.inf] for point in points}
    moments = {layer.output: Moments() for layer in network.layers}
    done = 0
    for outputs in runner.chunks(x, tell):
        count = len(outputs[0])
        found = {network.input: x[done : done + count], **dict(zip(computed, outputs, strict=True))}
        done += count
        for name, kept in parts.items():
            flat = found[name].ravel()
            share = max(1, _VALUES * count // len(x))
            kept.append(flat if flat.size <= share else rng.choice(flat, share, replace=False))
            ends[name] = [min(ends[name][0], float(flat.min())), max(ends[name][1], float(flat.max()))]
        for layer in network.layers:
            rows = rows_of(layer, found[layer.inputs[0]])
            share = max(1, _ROWS * count // len(x))
            if rows.shape[1] > share:
                rows = rows[:, rng.choice(rows.shape[1], share, replace=False)]
            moments[layer.output].add(rows)
    values = {name: Values(some=np.concatenate(kept), low=ends[name][0], high=ends[name][1]) for name, kept in parts.items()}
    return Observed(values=values, moments=moments)


def rows_of(layer: Step, x: Float32Array) -> Float32Array:
    """(groups, n, K): what the layer's weights, as (outputs, K), are multiplied with."""
    if layer.op == "Gemm":
        return x[np.newaxis]
    attributes = layer.attributes
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    (kernel_h, kernel_w), (rows, columns) = layer.kernel.shape[2:], attributes.get("dilations", (1, 1))
    stride_h, stride_w = attributes.get("strides", (1, 1))
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    extent = (kernel_h - 1) * rows + 1, (kernel_w - 1) * columns + 1
    view = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    view = view[:, :, ::stride_h, ::stride_w, ::rows, ::columns]  # (N, channels, height, width, kernel_h, kernel_w)
    groups = int(attributes.get("group", 1))
    samples, channels = view.shape[:2]
    split: npt.NDArray[np.float32] = view.reshape(samples, groups, channels // groups, *view.shape[2:])
    return split.transpose(1, 0, 3, 4, 2, 5, 6).reshape(groups, -1, layer.kernel[0].size)

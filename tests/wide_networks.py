"""Networks of 8 to 16 bits for tests, as graphs: signed activations and weights of any such width.

graph = Wide(seed, (8, 8, 3), bits=16).conv(24, weights=8, bits=10, padding=1).conv(9, weights=16, bits=8).graph()
"""

from dataclasses import replace

import numpy as np
from binary_networks import Binary
from celosia.host.ir import FullyConnected, Graph, Requant


def limits(bits):
    """Least and largest number."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


class Wide(Binary):
    """Grows a network; the sums of every layer spread over the numbers that it gives."""

    def __init__(self, seed, shape, *, bits=16):
        super().__init__(seed, shape, bits=bits)
        self._tensors[0] = replace(self._tensors[0], dtype=_type(bits))

    def _add(self, kind, size, *, bits, **values):
        super()._add(kind, size, bits=bits, **values)
        self._tensors[-1] = replace(self._tensors[-1], dtype=_type(bits))
        return self

    def _requant(self, weights, bits):
        """Biases and a requantization with one rounding."""
        (_, high), (least, most) = limits(self._source.bits), limits(bits)
        flat = weights.reshape(len(weights), -1).astype(np.int64)
        reach = np.sqrt((flat.astype(float) ** 2).sum(axis=1)) * high + 1
        bias = np.rint(self._rng.normal(0, 0.3, len(flat)) * reach).astype(np.int64)
        scale = most / reach * self._rng.uniform(0.5, 1.2, len(flat))
        shift = np.clip(np.floor(np.log2(scale)).astype(np.int32) + 1, -31, 7)
        requant = Requant(
            multiplier=np.clip(scale / 2.0**shift * 2**31, 1 << 30, (1 << 31) - 1).astype(np.int64).astype(np.int32),
            shift=shift,
            zero_point=0,
            low=least,
            high=most,
            once=True,
        )
        return bias, requant

    def _weights(self, bits, *shape):
        """All that so many bits hold, the extremes of every output certainly; of 8 bits what the array takes."""
        least, most = limits(bits)
        least = -127 if bits == 8 else least
        weights = self._rng.integers(least, most + 1, shape).astype(_type(bits))
        weights.reshape(shape[0], -1)[:, :2] = (least, most)[: weights[0].size]
        return weights

    def conv(self, outputs, kernel=(3, 3), *, weights, bits, groups=1, **options):
        """A convolution of weights of so many bits."""
        values = self._weights(weights, outputs, *kernel, self._source.shape[3] // groups)
        bias, requant = self._requant(values, bits)
        self._conv(values, np.zeros(outputs), requant=requant, bits=bits, **options)
        self._nodes[-1] = replace(self._nodes[-1], bias=bias)
        return self

    def fc(self, outputs, *, weights, bits):
        """A fully-connected layer."""
        values = self._weights(weights, outputs, self._source.size)
        bias, requant = self._requant(values, bits)
        shape = (1, outputs)
        return self._add(FullyConnected, shape, bits=bits, weights=values, bias=bias, input_zero_point=0, requant=requant)


def _type(bits):
    return "int8" if bits <= 8 else "int16"


def samples(graph: Graph, count, seed=0):
    """Inputs of a graph: noise, all the least number, all the largest, then noise near zero."""
    rng = np.random.default_rng(seed)
    tensor = graph.tensors["x"]
    least, most = limits(tensor.bits)
    x = rng.integers(least, most + 1, (count, *tensor.shape[1:]))
    x[1:2], x[2:3], x[3:4] = least, most, x[3:4] // (1 << (tensor.bits // 2))
    return x.astype(tensor.dtype)


WIDTHS = tuple(
    (activations, weights, results)
    for activations in (8, 10, 16)
    for weights in (2, 4, 8, 10, 16)
    for results in (8, 10, 16)
    if max(activations, weights, results) > 8
)
"""Widths of activations, of weights and of results."""


_LONGEST = 220  # numbers of a reduction: of 16 by 16 bits no fabric has room for more than 256


def random_layer(seed):
    """A layer of the widths whose turn it is, of random shape: a convolution or fully connected."""
    activations, weights, results = WIDTHS[seed % len(WIDTHS)]
    rng = np.random.default_rng(seed)
    height, width, channels, outputs = (int(rng.integers(1, most)) for most in (9, 9, 20, 20))
    if rng.random() < 0.2:
        channels = min(channels, _LONGEST // (height * width))
        network = Wide(seed, (height, width, channels), bits=activations)
        return network.flat().fc(outputs, weights=weights, bits=results).graph()
    kernel = tuple(int(rng.integers(1, min(extent, 4) + 1)) for extent in (height, width))
    channels = min(channels, _LONGEST // (kernel[0] * kernel[1]))
    network = Wide(seed, (height, width, channels), bits=activations)
    padding = tuple((int(rng.integers(size)), int(rng.integers(size))) for size in kernel)
    dilation = (1, 1) if min(height, width) < 8 or max(kernel) > 3 else tuple(int(step) for step in rng.integers(1, 3, 2))
    window = {"stride": int(rng.integers(1, 3)), "padding": padding, "dilation": dilation}
    return network.conv(outputs, kernel, weights=weights, bits=results, **window).graph()

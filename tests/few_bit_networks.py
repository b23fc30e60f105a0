"""Networks of few bits for tests, as graphs: activations of 0 to 3, 0 to 15 or more, weights of 2 to 8 bits.

graph = Few(seed, (8, 8, 3)).first(16, bits=2).conv(24, weights=3, bits=4, padding=1).pool().flat().fc(40, bits=2).last(10)
"""

import numpy as np
from binary_networks import Binary
from celosia.host.ir import FullyConnected, Requant


def _range(bits):
    """Least and largest activation."""
    return (-128, 127) if bits == 8 else (0, (1 << bits) - 1)


class Few(Binary):
    """Grows a network; the sums of every layer spread over the numbers that it gives."""

    def _requant(self, weights, bits):
        """Bias and requantization: sums from a little below all numbers to a little above."""
        (low, high), (least, most) = _range(self._source.bits), _range(bits)
        flat = weights.reshape(len(weights), -1).astype(np.int64)
        middle = flat.sum(axis=1) * (low + high) // 2
        reach = np.sqrt((flat**2).sum(axis=1)) * (high - low) / 2 + 1
        # (sum - middle) / reach of -1 to 1 becomes 0 to 2**bits - 1.
        scale = (1 << bits) / 2 / reach
        shift = np.floor(np.log2(scale)).astype(np.int32) + 1
        requant = Requant(
            multiplier=np.clip(scale / 2.0**shift * 2**31, 1 << 30, (1 << 31) - 1).astype(np.int64).astype(np.int32),
            shift=shift,
            zero_point=(least + most + 1) // 2,
            low=least,
            high=most,
        )
        return (-middle).astype(np.int32), requant

    def _weights(self, bits, *shape):
        """All that so many bits hold, the extremes of every output certainly; of 8 bits what the array takes."""
        least = -127 if bits == 8 else -(1 << (bits - 1))
        weights = self._rng.integers(least, 1 << (bits - 1), shape, dtype=np.int8)
        weights.reshape(shape[0], -1)[:, :2] = least, (1 << (bits - 1)) - 1
        return weights

    def first(self, outputs, kernel=(3, 3), *, bits, **options):
        """A convolution of int8 weights."""
        weights = self._rng.integers(-30, 31, (outputs, *kernel, self._source.shape[3]), dtype=np.int8)
        bias, requant = self._requant(weights, bits)
        return self._conv(weights, bias, requant=requant, bits=bits, **options)

    def conv(self, outputs, kernel=(3, 3), *, weights, bits, bias=0, ternary=False, **options):
        """A convolution of weights of so many bits, and a bias besides the one that centres its sums."""
        values = self._weights(weights, outputs, *kernel, self._source.shape[3])
        values = np.sign(values) if ternary else values
        centre, requant = self._requant(values, bits)
        return self._conv(values, centre + bias, requant=requant, bits=bits, **options)

    def last_of(self, outputs):
        """The network whose last layer reads the whole map."""
        return self.flat().last(outputs)

    def fc(self, outputs, *, weights, bits, ternary=False):
        """A fully-connected layer."""
        values = self._weights(weights, outputs, self._source.shape[-1])
        values = np.sign(values) if ternary else values
        bias, requant = self._requant(values, bits)
        shape = (1, outputs)
        return self._add(FullyConnected, shape, bits=bits, weights=values, bias=bias, input_zero_point=0, requant=requant)


PAIRS = tuple((activations, weights) for activations in (2, 4, 8) for weights in ("ternary", 2, 3, 4, 5, 6, 7, 8))
"""Widths of activations and of weights."""


def random_layer(seed):
    """A layer of the pair of widths whose turn it is, of random shape: a convolution or fully connected."""
    activations, weights = PAIRS[seed % len(PAIRS)]
    rng = np.random.default_rng(seed)
    options = {"weights": 2 if weights == "ternary" else weights, "ternary": weights == "ternary"}
    bits = int(rng.choice([2, 4, 8]))
    height, width, channels, outputs = (int(rng.integers(1, most)) for most in (8, 8, 13, 6))
    network = Few(seed, (height, width, int(rng.integers(1, 5)))).first(8 * channels, (1, 1), bits=activations)
    if rng.random() < 0.2:
        return network.flat().fc(8 * outputs - int(rng.integers(8)) * (bits == 8), bits=bits, **options).graph()
    kernel = tuple(int(rng.integers(1, min(extent, 5) + 1)) for extent in (height, width))
    padding = tuple((int(rng.integers(size)), int(rng.integers(size))) for size in kernel)
    window = {"stride": int(rng.integers(1, 4)), "padding": padding, "dilation": (1, 1)}
    return network.conv(8 * outputs, kernel, bits=bits, **window, **options).graph()

"""Binary layers: activations and weights of -1 and +1, a bit each.

A bit is 1 for +1. Eight of them are a byte, the first one its least significant bit, along the channels, so that a map of
(N, height, width, channels) becomes (N, height, width, channels / 8). A padded position adds nothing to a sum: it is neither
-1 nor +1.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from .requantize import Int8Array, Int32Array
from .windows import NO_PADDING, Padding, Pair, patches, surround

ByteArray = npt.NDArray[np.uint8]


def pack_bits(x: Int8Array) -> ByteArray:
    """Bits of -1 and +1 along the last axis, whose length must be a multiple of 8. Raises ValueError where it is not."""
    if x.shape[-1] % 8:
        raise ValueError(f"bits are packed by eights along the last axis, which has {x.shape[-1]} elements")
    return np.packbits(x > 0, axis=-1, bitorder="little")


def unpack_bits(packed: ByteArray) -> Int8Array:
    """The -1 and +1 of packed bits."""
    return (2 * np.unpackbits(packed, axis=-1, bitorder="little").astype(np.int8) - 1).astype(np.int8)


def pack_planes(x: npt.NDArray[np.integer[Any]], planes: int) -> ByteArray:
    """Planes of the lowest bits, (planes, ...): the lowest bit's first, eight elements of the last axis a byte.

    Raises ValueError where that axis is not a multiple of 8 long.
    """
    if x.shape[-1] % 8:
        raise ValueError(f"bits are packed by eights along the last axis, which has {x.shape[-1]} elements")
    return np.stack([np.packbits(x >> plane & 1, axis=-1, bitorder="little") for plane in range(planes)])


def unpack_planes(planes: ByteArray) -> Int8Array:
    """The numbers of planes of bits, none of which is negative."""
    bits = np.unpackbits(planes, axis=-1, bitorder="little").astype(np.int8)
    return np.sum([plane << place for place, plane in enumerate(bits)], axis=0, dtype=np.int8)


def mismatches(activations: ByteArray, weights: ByteArray, inside: npt.ArrayLike = True) -> Int32Array:
    """Bits that differ, counted along the last axis over those bytes that are `inside`."""
    differing = np.bitwise_count(activations ^ weights).astype(np.int32)
    return np.where(inside, differing, 0).sum(axis=-1, dtype=np.int32)


def binary_conv2d(
    packed: ByteArray,
    weights: ByteArray,
    thresholds: Int32Array,
    *,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    padding: Padding = NO_PADDING,
) -> ByteArray:
    """Packed signs: output o is 1 where `sum over the window's positions on the map of activation * weight >= thresholds[o]`.

    Shapes: packed (N, height, width, channels / 8), weights (outputs, kernel_h, kernel_w, channels / 8), outputs a multiple of
    8. A sum over n bits with m mismatches is n - 2 * m. This is conv2d of the numbers themselves with the bias -threshold and
    the requantization clip(2 * sum + 1, -1, 1).
    """
    kernel = weights.shape[1:3]
    windows = patches(surround(packed, padding, np.uint8, 0, 0), kernel, stride, dilation)
    there = patches(surround(np.ones_like(packed, np.int8), padding, np.uint8, 0, 0), kernel, stride, dilation) != 0
    windows, there = (view.reshape(*view.shape[:3], 1, -1) for view in (windows, there))
    sums = 8 * there.sum(axis=-1) - 2 * mismatches(windows, weights.reshape(len(weights), -1), there)
    return np.packbits(sums >= thresholds, axis=-1, bitorder="little")


def binary_max_pool2d(packed: ByteArray, *, kernel: Pair, stride: Pair, padding: Padding = NO_PADDING) -> ByteArray:
    """The maximum of -1 and +1 over each window: the OR of their bits. A padded position never wins."""
    windows = patches(surround(packed, padding, np.uint8, 0, 0), kernel, stride, (1, 1))
    return np.bitwise_or.reduce(windows, axis=(3, 4))

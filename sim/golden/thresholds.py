"""Between real numbers and small integers by table: what a host does before and after a network of whole numbers."""

import numpy as np
import numpy.typing as npt

from .quantization import Float32Array
from .requantize import Int8Array


def discretize(
    x: Float32Array, thresholds: Float32Array, low: int, axis: int, dtype: npt.DTypeLike = np.int8
) -> npt.NDArray[np.integer]:
    """low + the number of thresholds that x is not below, as int8 or int16.

    thresholds float32 (channels, levels - 1), each row rising: the channel is x's index along `axis`, or the one there is.
    """
    if len(thresholds) == 1:
        return (np.searchsorted(thresholds[0], x, side="right") + low).astype(dtype)
    result = np.empty(x.shape, dtype)
    source, target = np.moveaxis(x, axis, 0), np.moveaxis(result, axis, 0)
    for channel, row in enumerate(thresholds):
        target[channel] = np.searchsorted(row, source[channel], side="right") + low
    return result


def look_up(x: Int8Array, table: Float32Array) -> Float32Array:
    """table[c, sum_j (x[..., j * channels + c] + 128)]: the sum of a channel's slices, each -128..127, is its entry.

    Shapes: x (..., slices * channels), table (channels, entries), result (..., channels). A sum beyond the last entry is it.
    """
    channels, entries = table.shape
    slices = x.reshape(*x.shape[:-1], -1, channels).astype(np.int64) + 128
    index: npt.NDArray[np.int64] = np.minimum(slices.sum(axis=-2), entries - 1)
    return table[np.arange(channels), index]

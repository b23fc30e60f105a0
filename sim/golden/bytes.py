"""Numbers of 16 bits as two planes of int8, as a fabric holds them: value = 256 * upper + lower + 128."""

import numpy as np

from .requantize import Int8Array, Int16Array


def split_bytes(x: Int16Array) -> Int8Array:
    """(2, ...): the upper bytes of all numbers, and the lower bytes less 128."""
    whole = np.asarray(x, np.int16)
    return np.stack([whole >> 8, (whole & 0xFF) - 128]).astype(np.int8)


def join_bytes(planes: Int8Array) -> Int16Array:
    """The numbers of `split_bytes`."""
    upper, lower = planes.astype(np.int32)
    return ((upper << 8) + lower + 128).astype(np.int16)

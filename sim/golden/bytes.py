"""Numbers of 16 bits as two planes of int8, as a fabric holds them: value = 256 * upper + lower + 128."""

import numpy as np
import numpy.typing as npt

from .requantize import Int8Array, Int16Array


def plane_stride(size: int) -> int:
    """Bytes from the first upper byte of so many numbers to the first lower one: whole stream words."""
    return -(-size // 4) * 4


def split_bytes(x: Int16Array) -> Int8Array:
    """The upper bytes of all numbers, zeros up to `plane_stride`, and the lower bytes less 128."""
    flat = np.asarray(x, np.int16).reshape(-1)
    planes = np.zeros(plane_stride(flat.size) + flat.size, np.int8)
    planes[: flat.size] = flat >> 8
    planes[plane_stride(flat.size) :] = (flat & 0xFF) - 128
    return planes


def join_bytes(planes: npt.NDArray[np.int8], size: int) -> Int16Array:
    """The numbers of `split_bytes`, of which there are `size`."""
    upper, lower = planes[:size], planes[plane_stride(size) : plane_stride(size) + size]
    return ((upper.astype(np.int32) << 8) + lower + 128).astype(np.int16)

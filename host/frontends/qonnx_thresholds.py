"""Where a rising function of whole numbers, or of float32 numbers, reaches each of its levels: found by bisection.

The function is the executor's own float32 arithmetic, which only ever rises or only ever falls, channel by channel: each
operation rounds a rising or a falling function of a number, and rounding keeps the order. So what is found is exact.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from .qonnx_values import Array, Float32Array, Int64Array

_LARGEST = 0x7F7FFFFF  # the bits of the largest float32


def first_reaching(
    levels: Callable[[Int64Array], Array], steps: Sequence[int], low: Int64Array, high: Int64Array
) -> Int64Array:
    """(len(steps), channels): the smallest i of low..high with levels(i) >= step, or high + 1 where there is none.

    `levels` takes and gives (n, channels) and rises with i.
    """
    wanted = np.asarray(steps, np.int64)[:, np.newaxis]
    shape = len(steps), len(low)
    begin, end = np.broadcast_to(low, shape).copy(), np.broadcast_to(high + 1, shape).copy()
    while (begin < end).any():
        middle = (begin + end) >> 1
        reached = (levels(np.minimum(middle, high)) >= wanted) & (middle <= high)
        settled = begin >= end
        end = np.where(reached & ~settled, middle, end)
        begin = np.where(reached | settled, begin, middle + 1)
    return begin


def real_thresholds(levels: Callable[[Float32Array], Array], steps: Sequence[int], channels: int) -> Float32Array:
    """(channels, len(steps)): the smallest float32 with levels(x) >= step; +infinity where there is none."""

    def of_bits(bits: Int64Array) -> Array:
        return levels(_float(bits))

    ends = np.full(channels, _LARGEST, np.int64)
    found = first_reaching(of_bits, steps, -ends, ends)
    thresholds = np.where(found > _LARGEST, np.float32(np.inf), _float(np.minimum(found, _LARGEST)))
    return np.ascontiguousarray(thresholds.T.astype(np.float32))


def _float(bits: npt.NDArray[np.int64]) -> Float32Array:
    """The float32 numbers in their order, 0 at 0."""
    magnitude = np.abs(bits).astype(np.uint32).view(np.float32)
    return np.where(bits < 0, -magnitude, magnitude)

"""Average and maximum over windows. Padded positions do not count; quantization is the same before and after."""

from functools import reduce

import numpy as np
import numpy.typing as npt

from .requantize import Int32Array, NumberArray
from .windows import NO_PADDING, NumberT, Padding, Pair, surround, taps


def average_pool2d(
    x: NumberArray,
    *,
    kernel: Pair,
    stride: Pair,
    padding: Padding = NO_PADDING,
    low: int = -128,
    high: int = 127,
) -> NumberArray:
    """clip(sum / count, low, high) over each window: halves away from zero; count is of positions inside the image.

    x (N, height, width, channels). Source: TensorFlow Lite `reference_integer_ops::AveragePool`.
    """

    def sums_of(image: npt.NDArray[np.integer]) -> Int32Array:
        return _pooled(np.add, surround(image, padding, np.int32, 0, 0), kernel, stride)

    sums, counts = sums_of(x), sums_of(np.ones((1, *x.shape[1:3], 1), np.int32))
    magnitude = (np.abs(sums) + counts // 2) // counts
    return np.clip(np.sign(sums) * magnitude, low, high).astype(x.dtype)


def max_pool2d(
    x: NumberArray,
    *,
    kernel: Pair,
    stride: Pair,
    padding: Padding = NO_PADDING,
    low: int = -128,
    high: int = 127,
) -> NumberArray:
    """clip(max, low, high) over each window. x (N, height, width, channels).

    Source: TensorFlow Lite `reference_integer_ops::MaxPool`.
    """
    largest = _pooled(np.maximum, surround(x, padding, x.dtype.type, 0, np.iinfo(x.dtype).min), kernel, stride)
    return np.clip(largest, low, high)


def _pooled(combine: np.ufunc, x: npt.NDArray[NumberT], kernel: Pair, stride: Pair) -> npt.NDArray[NumberT]:
    """Windows combined along the height, then along the width."""
    columns = reduce(combine, (tap for _, _, tap in taps(x, (kernel[0], 1), (stride[0], 1), (1, 1))))
    return reduce(combine, (tap for _, _, tap in taps(columns, (1, kernel[1]), (1, stride[1]), (1, 1))))

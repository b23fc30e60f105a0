"""Mean over axes."""

from math import prod

import numpy as np

from .requantize import Int8Array, requantize


def mean_multiplier(multiplier: int, shift: int, count: int) -> tuple[int, int]:
    """The (multiplier, shift) that divides by `count` as well: what `mean` takes.

    `multiplier * 2**k / count`, cut, with k = floor(log2(count)) but not beyond a shift of -31: it lies in [2**29,
    2**31). Source: TensorFlow Lite `reference_ops::QuantizedMeanOrSum`.
    """
    more = max(0, min(count.bit_length() - 1, 32, 31 + shift))
    return (multiplier << more) // count, shift - more


def mean(
    x: Int8Array,
    *,
    axes: tuple[int, ...],
    keep_dims: bool,
    input_zero_point: int,
    output_zero_point: int,
    multiplier: int,
    shift: int,
) -> Int8Array:
    """requantize(sum over axes of (x - input_zero_point), multiplier, shift, output_zero_point).

    multiplier and shift hold input scale / (output scale * count), from `mean_multiplier`.
    Source: TensorFlow Lite `reference_ops::QuantizedMeanOrSum` with compute_sum=false.
    """
    count = prod(x.shape[axis] for axis in axes)
    sums = x.sum(axis=axes, keepdims=keep_dims, dtype=np.int64) - input_zero_point * count
    return requantize(sums.astype(np.int32), multiplier, shift, output_zero_point)

"""Element-wise sum of two quantized tensors."""

import numpy as np

from .requantize import Int8Array, Int32Array, multiply_by_quantized_multiplier, requantize
from .windows import Pair

_LEFT_SHIFT = 20  # headroom that TensorFlow Lite gives both operands before it brings them to one scale


def add(
    a: Int8Array,
    b: Int8Array,
    *,
    zero_points: Pair,
    multipliers: Pair,
    shifts: Pair,
    output_multiplier: int,
    output_shift: int,
    output_zero_point: int,
    low: int = -128,
    high: int = 127,
) -> Int8Array:
    """requantize(raw(a) + raw(b), output_multiplier, output_shift, output_zero_point, low, high), NumPy's broadcasting.

    raw(x_i) = multiply_by_quantized_multiplier((x_i - zero_points[i]) << 20, multipliers[i], shifts[i]). Shifts are <=
    0. Source: TensorFlow Lite `reference_integer_ops::Add`, `BroadcastAdd6DSlow`.
    """

    def raw(x: Int8Array, zero_point: int, multiplier: int, shift: int) -> Int32Array:
        centred = (x.astype(np.int32) - zero_point) << _LEFT_SHIFT
        return multiply_by_quantized_multiplier(centred, multiplier, shift)

    raw_a, raw_b = map(raw, (a, b), zero_points, multipliers, shifts)
    return requantize(raw_a + raw_b, output_multiplier, output_shift, output_zero_point, low, high)

"""Element-wise sum of two quantized tensors."""

import numpy as np

from .requantize import Int32Array, NumberArray, multiply_by_quantized_multiplier
from .windows import Pair

_LEFT_SHIFTS = {"int8": 20, "int16": 15}  # headroom that operands get before they are brought to one scale


def add(
    a: NumberArray,
    b: NumberArray,
    *,
    zero_points: Pair,
    multipliers: Pair,
    shifts: Pair,
    output_multiplier: int,
    output_shift: int,
    output_zero_point: int,
    low: int = -128,
    high: int = 127,
) -> NumberArray:
    """clip(mbqm(raw(a) + raw(b), output_multiplier, output_shift) + output_zero_point, low, high), NumPy's broadcasting.

    raw(x_i) = mbqm((x_i - zero_points[i]) << 20, multipliers[i], shifts[i]), of int16 << 15; mbqm is
    `multiply_by_quantized_multiplier`. Shifts are <= 0. Source: TensorFlow Lite `reference_integer_ops::Add`,
    `BroadcastAdd6DSlow`.
    """

    def raw(x: NumberArray, zero_point: int, multiplier: int, shift: int) -> Int32Array:
        centred = (x.astype(np.int32) - zero_point) << _LEFT_SHIFTS[x.dtype.name]
        return multiply_by_quantized_multiplier(centred, multiplier, shift)

    raw_a, raw_b = map(raw, (a, b), zero_points, multipliers, shifts)
    total = multiply_by_quantized_multiplier(raw_a + raw_b, output_multiplier, output_shift).astype(np.int64)
    return np.clip(total + output_zero_point, low, high).astype(a.dtype)

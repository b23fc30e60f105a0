"""Softmax in fixed point."""

import numpy as np

from .fixed_point import exp_on_negative_values, reciprocal
from .requantize import Int8Array, Int64Array, saturating_rounding_doubling_high_mul

_DIFF_BITS = 5  # integer bits of a scaled difference: exp(-32) is as good as 0
_SUM_BITS = 12  # integer bits of the sum of exponentials: at most 4,096 classes


def softmax(x: Int8Array, *, input_multiplier: int, input_left_shift: int, diff_min: int) -> Int8Array:
    """exp(x - max) / sum(exp(x - max)) over the last axis, in int8 of scale 1/256 and zero point -128.

    The difference times `input_multiplier * 2**(input_left_shift - 31)` is a Q5.26 number. Differences below `diff_min`
    count as 0. Source: TensorFlow Lite `reference_ops::Softmax<int8_t, int8_t>`.
    """
    diff = x.max(axis=-1, keepdims=True).astype(np.int32) - x  # 0..255: a table holds all exponentials
    table = _exponentials(input_multiplier, input_left_shift)
    table[-diff_min + 1 :] = 0
    exps = table[diff]
    # To Q12.19, rounded: the table's values are positive, so halves away from zero are halves up.
    sums = ((exps + (1 << (_SUM_BITS - 1))) >> _SUM_BITS).sum(axis=-1, keepdims=True, dtype=np.int64)
    scale, bits = reciprocal(sums, _SUM_BITS)
    scaled = saturating_rounding_doubling_high_mul(scale, exps).astype(np.int64)
    exponent = bits.astype(np.int64) + 23  # from Q0.31 to units of 1/256
    result = (scaled + (1 << (exponent - 1))) >> exponent
    return np.clip(result - 128, -128, 127).astype(np.int8)


def _exponentials(multiplier: int, left_shift: int) -> Int64Array:
    """exp(-d * scale) in Q0.31 for d = 0..255."""
    diffs = -np.arange(256, dtype=np.int64)
    shifted = (diffs << left_shift).astype(np.int32)  # wraps beyond diff_min, where nobody looks
    raw = saturating_rounding_doubling_high_mul(shifted, multiplier)
    return exp_on_negative_values(np.minimum(raw, 0), _DIFF_BITS).astype(np.int64)

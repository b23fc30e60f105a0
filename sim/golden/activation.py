"""Softmax in fixed point."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from .fixed_point import exp_on_negative_values, reciprocal
from .requantize import (
    Int8Array,
    Int16Array,
    Int64Array,
    multiply_by_quantized_multiplier,
    saturating_rounding_doubling_high_mul,
)

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


def softmax_int16(x: Int16Array, *, input_multiplier: int, input_left_shift: int) -> Int16Array:
    """exp(x - max) / sum(exp(x - max)) over the last axis, in int16 of scale 1/32768.

    The difference times `input_multiplier * 2**(input_left_shift - 31)` counts units of 10 / 65535; exp and 1 / (1 + x) are
    lines between 512 points. Source: TensorFlow Lite `reference_ops::SoftmaxInt16`, `LUTPopulateInt16`.
    """
    diff = x.astype(np.int32) - x.max(axis=-1, keepdims=True)
    scaled = multiply_by_quantized_multiplier(diff, input_multiplier, input_left_shift)
    exps = _between(_exp_table(), np.clip(scaled.astype(np.int64) + 32767, -32768, 32767))
    sums = exps.sum(axis=-1, keepdims=True)
    headroom = 32 - np.frexp(sums.astype(np.float64))[1].astype(np.int64) + 1  # leading zeros of 32 bits, and one
    shifted = ((sums << (headroom - 2)) + (1 << 13)) >> 14
    scale = _between(_reciprocal_table(), np.clip(shifted - (1 << 15) - (1 << 16), -32768, 32767))
    right = 32 - headroom
    return np.clip((exps * scale + (1 << (right - 1))) >> right, 0, 32767).astype(np.int16)


def _between(table: Int64Array, x: Int64Array) -> Int64Array:
    """The table's function at x, -32768..32767, on the line between two of its points. Source: `LUTLookup`."""
    index = 256 + (x >> 7)
    slope = table[index + 1] - table[index]
    return table[index] + ((slope * (x & 0x7F) + 64) >> 7)


@cache
def _exp_table() -> Int64Array:
    """exp from -10 to 0."""
    return _table(math.exp, -10.0, 0.0)


@cache
def _reciprocal_table() -> Int64Array:
    """1 / (1 + x) from 0 to 1."""
    return _table(lambda x: 1 / (1 + x), 0.0, 1.0)


def _table(function: Callable[[float], float], first: float, last: float) -> Int64Array:
    """513 points of a function with values in -1..1, moved so that lines between them are half as wrong in their middles."""
    unit, step = 32768, (last - first) / 512
    points = []
    for index in range(512):
        begin = first + index * step
        value, middle, following = (function(at) * unit for at in (begin, begin + step / 2, first + (index + 1) * step))
        line = _rounded((following + _rounded(value)) / 2)
        points.append(_rounded(value) - _rounded((line - _rounded(middle)) / 2))
    points.append(_rounded(function(last) * unit))
    return np.clip(np.array(points, np.int64), -32768, 32767)


def _rounded(x: float) -> int:
    """To the nearest, halves away from zero."""
    return math.floor(x + 0.5) if x >= 0 else math.ceil(x - 0.5)

"""Rounding and saturation of quantized arithmetic: each named function has its one definition here.

A real factor r is held as integers, `r = multiplier * 2**(shift - 31)`, with the multiplier in [2**30, 2**31) or 0.
TensorFlow Lite multiplies a 32-bit sum by it in one of two ways, whose results differ by one now and then:

    two roundings   to the doubled high half, then by the right shift: every kernel but one
    one rounding    of the exact product: FULLY_CONNECTED, whose reference kernel multiplies by r in double precision

Sums of 16-bit activations are 64 bits wide and below 2**38; TensorFlow Lite rounds them once, with a multiplier of 15 bits
(`reduced_multiplier`), or where a layer's biases have 32 bits twice, as 32-bit sums.

Arrays may have any shape; multiplier and shift are numbers or broadcast, typically one a channel along the last axis.
Sources: gemmlowp `fixedpoint.h`; TensorFlow Lite `kernels/internal/common.cc` and `quantization_util.cc`.
"""

from math import floor, frexp
from typing import Any

import numpy as np
import numpy.typing as npt

Int8Array = npt.NDArray[np.int8]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Int16Array = npt.NDArray[np.int16]
NumberArray = npt.NDArray[np.signedinteger[Any]]
"""Activations of 8 or 16 bits, or sums and biases of 32 or 64."""

INT32_MAX = 2**31 - 1


def quantize_multiplier(real: float) -> tuple[int, int]:
    """(multiplier, shift) of a factor >= 0, such that real ~ multiplier * 2**(shift - 31).

    Halves round up; a factor below 2**-32 becomes (0, 0). Source: `QuantizeMultiplier`.
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = frexp(real)
    multiplier = floor(fraction * 2**31 + 0.5)  # exact: the fraction has 53 bits, and the sum fits them
    if multiplier == 2**31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    return multiplier, shift


def saturating_rounding_doubling_high_mul(a: npt.ArrayLike, b: npt.ArrayLike) -> Int32Array:
    """(2 * a * b) / 2**32 to the nearest, halves up; the one product that does not fit, min * min, saturates.

    Source: gemmlowp `SaturatingRoundingDoublingHighMul`; its nudge by sign and division towards zero are this shift.
    """
    product = np.asarray(np.multiply(a, b, dtype=np.int64))
    product += 1 << 30
    product >>= 31
    return np.minimum(product, INT32_MAX, out=product).astype(np.int32)


def rounding_divide_by_pot(x: npt.ArrayLike, exponent: npt.ArrayLike) -> Int32Array:
    """x / 2**exponent to the nearest, halves away from zero; exponent in 0..31.

    Source: gemmlowp `RoundingDivideByPOT`.
    """
    half = (np.left_shift(1, exponent, dtype=np.int64)) >> 1
    wide = np.array(x, np.int64)
    nudged = wide + half
    nudged -= (wide < 0) & (half > 0)
    nudged >>= np.asarray(exponent, np.int64)
    return nudged.astype(np.int32)


def multiply_by_quantized_multiplier(x: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike) -> Int32Array:
    """x * multiplier * 2**(shift - 31) with two roundings: doubled high half of `x << shift`, then the right shift.

    A left shift that leaves 32 bits wraps, as it does in the reference. Source: `MultiplyByQuantizedMultiplier` without
    TFLITE_SINGLE_ROUNDING.
    """
    left = np.maximum(shift, 0)
    if left.any():
        x = np.left_shift(x, left, dtype=np.int64).astype(np.int32)
    high = saturating_rounding_doubling_high_mul(x, multiplier)
    return rounding_divide_by_pot(high, np.maximum(np.negative(shift), 0))


def multiply_by_quantized_multiplier_once(x: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike) -> Int32Array:
    """(x * multiplier + 2**(30 - shift)) >> (31 - shift): the product with one rounding, halves up; shift in -31..30.

    Results that do not fit 32 bits saturate. Source: `MultiplyByQuantizedMultiplier` with TFLITE_SINGLE_ROUNDING.
    """
    total = 31 - np.asarray(shift, np.int64)
    product = np.asarray(np.multiply(x, multiplier, dtype=np.int64))
    product += np.left_shift(1, total - 1, dtype=np.int64)
    product >>= total
    return np.clip(product, -INT32_MAX - 1, INT32_MAX, out=product).astype(np.int32)


def saturate(x: Int32Array, zero_point: int, low: int, high: int) -> Int8Array:
    """clip(x + zero_point, low, high) as int8; low and high lie in -128..127."""
    wide = np.add(x, zero_point, dtype=np.int64)
    return np.clip(wide, low, high, out=wide).astype(np.int8)


def requantize(
    acc: npt.ArrayLike,
    multiplier: npt.ArrayLike,
    shift: npt.ArrayLike,
    zero_point: int,
    low: int = -128,
    high: int = 127,
) -> Int8Array:
    """clip(multiply_by_quantized_multiplier(acc, multiplier, shift) + zero_point, low, high): 32-bit sums to int8."""
    return saturate(multiply_by_quantized_multiplier(acc, multiplier, shift), zero_point, low, high)


def requantize_once(
    acc: npt.ArrayLike,
    multiplier: npt.ArrayLike,
    shift: npt.ArrayLike,
    zero_point: int,
    low: int = -128,
    high: int = 127,
) -> Int8Array:
    """`requantize` with one rounding: clip(multiply_by_quantized_multiplier_once(...) + zero_point, low, high)."""
    return saturate(multiply_by_quantized_multiplier_once(acc, multiplier, shift), zero_point, low, high)


def reduced_multiplier(multiplier: int) -> int:
    """The multiplier of 15 bits that TensorFlow Lite takes for 64-bit sums, with 16 zeros behind it.

    Source: `MultiplyByQuantizedMultiplier(int64_t, int32_t, int)`.
    """
    return ((multiplier + (1 << 15)) >> 16 if multiplier < 0x7FFF0000 else 0x7FFF) << 16


def multiply_wide_once(x: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike) -> Int64Array:
    """(x * multiplier + 2**(30 - shift)) >> (31 - shift) for |x| < 2**43; shift in -31..7."""
    total = 31 - np.asarray(shift, np.int64)
    # Two halves of the product: 64 bits do not hold all of it, and what is below bit 19 goes away in any case.
    wide = np.asarray(x, np.int64)
    upper = np.asarray((wide >> 19) * np.asarray(multiplier, np.int64))
    lower = (wide & ((1 << 19) - 1)) * np.asarray(multiplier, np.int64) + np.left_shift(1, total - 1, dtype=np.int64)
    return np.asarray((upper + (lower >> 19)) >> (total - 19))


def requantize_wide(
    acc: NumberArray,
    multiplier: npt.ArrayLike,
    shift: npt.ArrayLike,
    zero_point: int,
    low: int,
    high: int,
    *,
    once: bool,
    dtype: npt.DTypeLike = np.int16,
) -> npt.NDArray[np.integer]:
    """64-bit sums to int16 or int8, with one rounding or with two, which takes sums of 32 bits."""
    multiply = multiply_wide_once if once else multiply_by_quantized_multiplier
    wide = np.asarray(multiply(acc, multiplier, shift), np.int64) + zero_point
    return np.clip(wide, low, high).astype(dtype)


def requantize_real(
    acc: NumberArray, factors: npt.NDArray[np.float64], low: int, high: int, dtype: npt.DTypeLike
) -> npt.NDArray[np.integer]:
    """clip(round(acc * factor), low, high) in double precision, halves away from zero.

    Source: TensorFlow Lite `reference_integer_ops::FullyConnected`, whose sums of int16 are too large for a multiplier of 31
    bits to give the same.
    """
    product = acc * factors
    rounded = np.copysign(np.floor(np.abs(product) + 0.5), product)
    return np.clip(rounded, low, high).astype(dtype)

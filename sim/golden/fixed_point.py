"""Fixed-point functions of 32-bit numbers: exp and reciprocal, as gemmlowp computes them.

A number in Qm.n has m integer bits and n = 31 - m fractional ones; `raw` is its integer. Q0.31 holds [-1, 1). Each
product is `saturating_rounding_doubling_high_mul`, whose result has the integer bits of both factors together. Source:
gemmlowp `fixedpoint.h`; TensorFlow Lite `GetReciprocal`.
"""

import numpy as np
import numpy.typing as npt

from .requantize import INT32_MAX, Int32Array, rounding_divide_by_pot
from .requantize import saturating_rounding_doubling_high_mul as mul

_EXP_MINUS_EIGHTH = 1895147668  # exp(-1/8) in Q0.31
_THIRD = 715827883  # 1/3 in Q0.31
_EXP_MINUS_POT = {  # exp(-2**key) in Q0.31
    -2: 1672461947,
    -1: 1302514674,
    0: 790015084,
    1: 290630308,
    2: 39332535,
    3: 720401,
    4: 242,
}
_48_OVER_17 = 1515870810  # in Q2.29
_MINUS_32_OVER_17 = -1010580540  # in Q2.29
_ONE_Q2 = 1 << 29


def saturating_left_shift(x: Int32Array, exponent: int) -> Int32Array:
    """x * 2**exponent, saturated to 32 bits. Source: gemmlowp `SaturatingRoundingMultiplyByPOT`, exponent > 0."""
    return np.clip(x.astype(np.int64) << exponent, -INT32_MAX - 1, INT32_MAX).astype(np.int32)


def exp_on_negative_values(raw: Int32Array, integer_bits: int) -> Int32Array:
    """exp(a) in Q0.31 for a <= 0 given in Q(integer_bits); integer_bits <= 5.

    Source: gemmlowp `exp_on_negative_values`. a = r - sum of powers of two, r in [-1/4, 0): a polynomial
    gives exp(r), a table the other factors.
    """
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    rest = (raw & (quarter - 1)) - quarter
    result = _exp_near_zero(saturating_left_shift(rest, integer_bits))
    removed = rest - raw
    for exponent, factor in _EXP_MINUS_POT.items():
        if exponent < integer_bits:
            result = np.where(removed & (1 << (fraction_bits + exponent)), mul(result, factor), result)
    return np.where(raw == 0, np.int32(INT32_MAX), result)


def _exp_near_zero(raw: Int32Array) -> Int32Array:
    """exp(a) in Q0.31 for a in [-1/4, 0) in Q0.31: Taylor's series about -1/8 to the fourth power."""
    x = raw + np.int32(1 << 28)
    x2 = mul(x, x)
    x3 = mul(x2, x)
    x4 = mul(x2, x2)
    high_terms = rounding_divide_by_pot(mul(rounding_divide_by_pot(x4, 2) + x3, _THIRD) + x2, 1)
    return np.int32(_EXP_MINUS_EIGHTH) + mul(x + high_terms, _EXP_MINUS_EIGHTH)


def reciprocal(x: npt.NDArray[np.int64], integer_bits: int) -> tuple[Int32Array, Int32Array]:
    """(scale, bits) with 1 / x = scale * 2**-bits, scale in Q0.31, for x > 0 in Q(integer_bits).

    Source: TensorFlow Lite `GetReciprocal`. x is shifted to 1 + y, y in [0, 1); three steps of Newton's
    method from 48/17 - 32/17 * (1 + y)/2 give 1 / (1 + y).
    """
    headroom = 32 - np.frexp(x.astype(np.float64))[1]  # leading zeros of the 32-bit word; float64 holds it exactly
    y = ((x << headroom) - (1 << 31)).astype(np.int32)
    half = ((y.astype(np.int64) + INT32_MAX + 1) >> 1).astype(np.int32)  # (1 + y) / 2; the sum is positive
    guess = np.int32(_48_OVER_17) + mul(half, _MINUS_32_OVER_17)
    for _ in range(3):
        error = np.int32(_ONE_Q2) - mul(half, guess)
        guess = guess + saturating_left_shift(mul(guess, error), 2)
    return saturating_left_shift(guess, 1), (integer_bits - headroom).astype(np.int32)

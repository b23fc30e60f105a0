"""From the real scales of a model file to the integers of the graph, as TensorFlow Lite's kernels prepare them.

Scales are float32 numbers held as Python floats; where a kernel computes in float32, so do these functions. Scales that
the reference could not run with raise ModelError; its sentence lacks the operator, which the caller knows.
"""

from dataclasses import dataclass
from math import ceil, floor, inf

import numpy as np

from ...sim.errors import ModelError
from ...sim.golden import quantize_multiplier

_MAX_SHIFT = 30  # larger factors have no fixed-point form in 32 bits
_ACTIVATIONS = {"NONE": (-inf, inf), "RELU": (0.0, inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}


def activation_range(activation: str, scale: float, zero_point: int, dtype: str = "int8") -> tuple[int, int]:
    """(low, high) of an output of that type with this fused activation. Source: `CalculateActivationRangeQuantized`."""
    if activation not in _ACTIVATIONS:
        raise ModelError(f"fused activation must be one of {', '.join(_ACTIVATIONS)}, not {activation}")

    def quantized(real: float) -> int:
        if abs(real / scale) >= 2**31:
            raise ModelError(f"the output's scale must let {activation} fit 32 bits, not be {scale:.3g}")
        quotient = float(np.float32(real / scale))  # both are float32 numbers: the same as to divide them as such
        return zero_point + floor(abs(quotient) + 0.5) * (-1 if real < 0 else 1)

    low, high = _ACTIVATIONS[activation]
    limits = np.iinfo(dtype)
    return (
        limits.min if low == -inf else max(limits.min, quantized(low)),
        limits.max if high == inf else min(limits.max, quantized(high)),
    )


def multiplier_and_shift(real: float) -> tuple[int, int]:
    """`quantize_multiplier`, refusing what 32 bits cannot shift."""
    multiplier, shift = quantize_multiplier(real)
    if shift > _MAX_SHIFT:
        raise ModelError(f"the scales of input and output may differ by 2**{_MAX_SHIFT} at most, not {real:.3g}")
    return multiplier, shift


@dataclass(frozen=True, kw_only=True)
class AddScaling:
    """The integers of an addition: see `golden.add`."""

    multipliers: tuple[int, int]
    shifts: tuple[int, int]
    output_multiplier: int
    output_shift: int


def add_scaling(scale_a: float, scale_b: float, output_scale: float, *, left_shift: int = 20) -> AddScaling:
    """Both operands to twice the larger scale, their sum to the output's. Source: `kernels/add.cc`, `Prepare`."""
    twice_max = 2 * max(scale_a, scale_b)
    pairs = [quantize_multiplier(real) for real in (scale_a / twice_max, scale_b / twice_max)]
    output_multiplier, output_shift = quantize_multiplier(twice_max / ((1 << left_shift) * output_scale))
    if output_shift > 0:
        raise ModelError(
            f"the output's scale must exceed 2**-19 of the larger input's, which is {twice_max / 2:.3g}, not be"
            f" {output_scale:.3g}"
        )
    return AddScaling(
        multipliers=(pairs[0][0], pairs[1][0]),
        shifts=(pairs[0][1], pairs[1][1]),
        output_multiplier=output_multiplier,
        output_shift=output_shift,
    )


def softmax_scaling(beta: float, scale: float) -> tuple[int, int, int]:
    """(input_multiplier, input_left_shift, diff_min). Source: `PreprocessSoftmaxScaling`, `CalculateInputRadius`."""
    integer_bits = 5
    real = min(beta * scale * (1 << (31 - integer_bits)), 2**31 - 1)
    if not real > 1.0:
        raise ModelError(f"the input's scale times beta must exceed 2**-26, not be {beta * scale:.3g}")
    multiplier, left_shift = quantize_multiplier(real)
    radius = ((1 << integer_bits) - 1) * (1 << (31 - integer_bits)) >> left_shift
    return multiplier, left_shift, -radius


def softmax_int16_scaling(beta: float, scale: float) -> tuple[int, int]:
    """(input_multiplier, input_left_shift) of softmax for int16, whose differences count units of 10 / 65535.

    Source: `SoftmaxPrepare`.
    """
    return multiplier_and_shift(scale * beta / (10.0 / 65535.0))


def exact_multiplier(real: float, low: int, high: int, reach: int) -> tuple[int, int]:
    """(multiplier, shift) whose one rounding equals `round(acc * real)` in double precision, halves away from zero.

    Equal for each whole |acc| <= reach, once both are clipped to low..high. Source of the double-precision formula:
    `reference_integer_ops::FullyConnected`.

    Both sides rise with acc, so they are equal if they reach each level k in low + 1 .. high at the same acc, the
    threshold T: `T * m + 2**(s - 1) >= k * 2**s > (T - 1) * m + 2**(s - 1)` bounds the multiplier m from both sides.
    The nearest whole m between all bounds is taken; ModelError if there is none, which takes sums beyond 2**24 with
    scales to match.
    """
    multiplier, shift = multiplier_and_shift(real)
    if reach >= 2**31 or reach * real >= 2**31 - 1:
        raise ModelError(f"sums up to {reach} times the scale {real:.3g} must fit 32 bits")
    if multiplier == 0:
        return 0, 0
    least, most = 0, 2**31 - 1
    half = 1 << (30 - shift)
    for level in range(max(low + 1, _round_away(-reach * real)), min(high, _round_away(reach * real) + 1) + 1):
        edge = (2 * level - 1) * half
        threshold = min(max(_threshold(real, level), -reach), reach + 1)
        if 0 < threshold <= reach:
            least = max(least, _ceil_div(edge, threshold))
        elif threshold < 0:
            most = min(most, edge // threshold)
        before = threshold - 1
        if before > 0:
            most = min(most, _ceil_div(edge, before) - 1)
        elif -reach <= before < 0:
            least = max(least, edge // before + 1)
    if least > most:
        raise ModelError(
            f"sums up to {reach} cannot be brought to int8 exactly by the scale {real:.6g} with a multiplier of 31 bits"
        )
    return min(max(multiplier, least), most), shift


def _threshold(real: float, level: int) -> int:
    """The smallest acc with round(acc * real) >= level."""
    acc = ceil((level - 0.5) / real)
    while _round_away(acc * real) >= level:
        acc -= 1
    while _round_away(acc * real) < level:
        acc += 1
    return acc


def _round_away(x: float) -> int:
    """C's `round`: to the nearest, halves away from zero."""
    whole = floor(abs(x))
    whole += abs(x) - whole >= 0.5
    return whole if x >= 0 else -whole


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)

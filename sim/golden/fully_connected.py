"""The fully-connected layer: a matrix times a vector."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .requantize import Int8Array, NumberArray, requantize_once


def fully_connected_sums(x: NumberArray, weights: NumberArray, bias: NumberArray, *, input_zero_point: int) -> NumberArray:
    """acc[m, o] = sum_k (x[m, k] - input_zero_point) * weights[o, k] + bias[o], in 32 bits that wrap, with int16 in 64.

    Shapes: x any with a multiple of K elements, read as (M, K); weights (outputs, K), bias (outputs,), result (M,
    outputs).
    """
    # float64 holds every partial sum: K * 2**32 < 2**53 for any K that fits a memory.
    vectors = (x.reshape(-1, weights.shape[1]).astype(np.int32) - input_zero_point).astype(np.float64)
    sums = (vectors @ weights.astype(np.float64).T).astype(np.int64)
    wide: type[np.signedinteger[Any]] = np.int64 if np.int16 in (x.dtype, weights.dtype) else np.int32
    return (sums + bias).astype(wide)


def fully_connected(
    x: Int8Array,
    weights: NumberArray,
    bias: NumberArray,
    *,
    input_zero_point: int,
    multiplier: npt.ArrayLike,
    shift: npt.ArrayLike,
    output_zero_point: int,
    low: int = -128,
    high: int = 127,
) -> Int8Array:
    """requantize_once(fully_connected_sums(...), multiplier, shift, output_zero_point, low, high): (M, outputs).

    Source: TensorFlow Lite `reference_integer_ops::FullyConnected` and `FullyConnectedPerChannel`. Unlike every other
    kernel they compute `round(acc * scale)` in double precision, halves away from zero. That is equal to one rounding
    of an integer product for the multiplier that `host.frontends.scaling.exact_multiplier` finds and proves, and is not
    equal to `requantize` (a third of ad01's outputs would differ).
    """
    acc = fully_connected_sums(x, weights, bias, input_zero_point=input_zero_point)
    return requantize_once(acc, multiplier, shift, output_zero_point, low, high)

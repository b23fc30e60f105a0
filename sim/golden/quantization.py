"""Between real numbers and int8, and between two quantizations: real = scale * (q - zero_point)."""

import numpy as np
import numpy.typing as npt

from .requantize import Int8Array, Int16Array, multiply_by_quantized_multiplier, quantize_multiplier

Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]

_INT32 = np.iinfo(np.int32)


def quantize(x: npt.ArrayLike, scale: float, zero_point: int, dtype: npt.DTypeLike = np.int8) -> npt.NDArray[np.integer]:
    """clip(round(x / scale) + zero_point), to what the type holds: a float32 quotient, halves away from zero.

    Where the quotient leaves 32 bits the reference is undefined; here it saturates, and what is no number counts as 0.
    Source: TensorFlow Lite `reference_ops::AffineQuantize`.
    """
    with np.errstate(over="ignore"):
        quotient = (np.asarray(x, np.float32) / np.float32(scale)).astype(np.float64)
    rounded = np.copysign(np.floor(np.abs(np.nan_to_num(quotient)) + 0.5), quotient)
    whole = np.clip(rounded, _INT32.min, _INT32.max).astype(np.int64)
    limits = np.iinfo(np.dtype(dtype))
    return np.clip(whole + zero_point, limits.min, limits.max).astype(dtype)


def dequantize(x: Int8Array | Int16Array | UInt8Array, scale: float, zero_point: int) -> Float32Array:
    """scale * (x - zero_point) in double precision, then rounded to float32. Source: `reference_ops::Dequantize`."""
    return (scale * (x.astype(np.int32) - zero_point)).astype(np.float32)


def requantize_int8(
    x: Int8Array | UInt8Array,
    input_scale: float,
    input_zero_point: int,
    output_scale: float,
    output_zero_point: int,
    dtype: npt.DTypeLike = np.int8,
) -> npt.NDArray[np.integer]:
    """clip(multiply_by_quantized_multiplier(x - input_zero_point, input_scale / output_scale) + output_zero_point).

    Between int8 and int8, or from and to uint8 (`dtype` of the result). Source: TensorFlow Lite
    `reference_ops::Requantize`.
    """
    multiplier, shift = quantize_multiplier(input_scale / output_scale)
    scaled = multiply_by_quantized_multiplier(x.astype(np.int32) - input_zero_point, multiplier, shift)
    limits = np.iinfo(np.dtype(dtype))
    return np.clip(scaled.astype(np.int64) + output_zero_point, limits.min, limits.max).astype(dtype)

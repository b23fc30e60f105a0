"""Golden models: NumPy alone, equal to TensorFlow Lite's reference kernels bit for bit.

One function an operation, on plain arrays and integers; activations are int8, (N, height, width, channels), with a
leading batch axis of any size. `*_sums` are the 32-bit sums before requantizing, for whoever tests an array without its
output stage. The rounding and saturation that all of them share are in `requantize.py`, one named function each; the
gateware mirrors those.

"Reference kernels" are those of LiteRT 2.x: `Interpreter(...,
experimental_op_resolver_type=OpResolverType.BUILTIN_REF)`.
"""

from .activation import softmax, softmax_int16
from .binary import (
    binary_conv2d,
    binary_max_pool2d,
    mismatches,
    pack_bits,
    pack_planes,
    unpack_bits,
    unpack_planes,
)
from .bytes import join_bytes, split_bytes
from .convolution import conv2d, conv2d_sums, depthwise_conv2d, depthwise_conv2d_sums
from .elementwise import add
from .fully_connected import fully_connected, fully_connected_sums
from .padding import pad
from .pooling import average_pool2d, max_pool2d
from .quantization import dequantize, quantize, requantize_int8
from .reduction import mean, mean_multiplier
from .requantize import (
    multiply_by_quantized_multiplier,
    multiply_by_quantized_multiplier_once,
    quantize_multiplier,
    reduced_multiplier,
    requantize,
    requantize_once,
    requantize_real,
    requantize_wide,
    rounding_divide_by_pot,
    saturate,
    saturating_rounding_doubling_high_mul,
)
from .thresholds import discretize, look_up

__all__ = [
    "add",
    "average_pool2d",
    "binary_conv2d",
    "binary_max_pool2d",
    "conv2d",
    "conv2d_sums",
    "depthwise_conv2d",
    "depthwise_conv2d_sums",
    "dequantize",
    "discretize",
    "fully_connected",
    "fully_connected_sums",
    "join_bytes",
    "look_up",
    "max_pool2d",
    "mean",
    "mean_multiplier",
    "mismatches",
    "multiply_by_quantized_multiplier",
    "multiply_by_quantized_multiplier_once",
    "pack_bits",
    "pack_planes",
    "pad",
    "quantize",
    "quantize_multiplier",
    "reduced_multiplier",
    "requantize",
    "requantize_int8",
    "requantize_once",
    "requantize_real",
    "requantize_wide",
    "rounding_divide_by_pot",
    "saturate",
    "saturating_rounding_doubling_high_mul",
    "softmax",
    "softmax_int16",
    "split_bytes",
    "unpack_bits",
    "unpack_planes",
]

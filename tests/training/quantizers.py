"""How the networks are quantized: scales that are one or powers of two, so that every sum is exact in float32.

One bit is -1 or +1 (`>= 0` is +1). Eight bits round down (`FLOOR`), which a power-of-two scale makes a plain shift: halves to
even, the default, are no rounding that a fixed-point multiplier does.
"""

import brevitas.nn as qnn
import torch
from brevitas.inject.enum import FloatToIntImplType, ScalingImplType
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8WeightPerTensorFixedPoint,
    Int16Bias,
    SignedBinaryActPerTensorConst,
    SignedBinaryWeightPerTensorConst,
    Uint8ActPerTensorFixedPoint,
)


class Bit(SignedBinaryActPerTensorConst):
    """Activations of one bit: -1 and +1. Gradients pass where |x| <= 1."""

    min_val = -1.0
    max_val = 1.0


class WeightBit(SignedBinaryWeightPerTensorConst):
    """Weights of one bit: -1 and +1. The latent ones are kept within -1..1, where their gradients pass."""

    scaling_const = 1.0


class Weight8(Int8WeightPerTensorFixedPoint):
    """Weights of -127 to 127 times a power of two."""


class Weight(Int8WeightPerTensorFixedPoint):
    """Weights of few bits within -1..1, of a fixed unit: latent weights find their level by growing, batch normalization
    behind them takes the rest. Two's complement in full."""

    scaling_impl_type = ScalingImplType.CONST
    scaling_const = 1.0
    narrow_range = False


class EvenWeight8(Weight):
    """Weights of -127 to 127, in units of 1/128."""

    narrow_range = True


class Weight4(Weight):
    """Weights of -8 to 7, in units of 1/8."""

    bit_width = 4


class Weight2(Weight):
    """Weights of -2 to 1, in units of 1/2."""

    bit_width = 2


class Ternary(Weight):
    """Weights of -1, 0 and 1, in units of 1/2."""

    bit_width = 2
    narrow_range = True


class Bias16(Int16Bias):
    """Biases in the unit of the sums that they join."""


class Pixel(Uint8ActPerTensorFixedPoint):
    """Pixels 0..1 as 0..255, in units of 1/256: no two shades of 255 fall together."""

    scaling_impl_type = ScalingImplType.CONST
    min_val = 0.0
    max_val = 1.0


class Byte(Int8ActPerTensorFixedPoint):
    """Signed bytes times a power of two that is learned; rounded down."""

    float_to_int_impl_type = FloatToIntImplType.FLOOR


class UnsignedByte(Uint8ActPerTensorFixedPoint):
    """Bytes times a power of two that is learned; rounded down."""

    float_to_int_impl_type = FloatToIntImplType.FLOOR


class Unsigned8(Uint8ActPerTensorFixedPoint):
    """0 to 255 in units of 1/64, rounded down."""

    float_to_int_impl_type = FloatToIntImplType.FLOOR
    scaling_impl_type = ScalingImplType.CONST
    min_val = 0.0
    max_val = 4.0


class Unsigned4(Unsigned8):
    """0 to 15 in units of 1/8."""

    bit_width = 4
    max_val = 2.0


class Unsigned2(Unsigned8):
    """0 to 3 in units of 1/2: about the best steps for half of a normal distribution."""

    bit_width = 2
    max_val = 2.0


def pixels() -> torch.nn.Module:
    """The network's input, of 8 bits."""
    return qnn.QuantIdentity(act_quant=Pixel, return_quant_tensor=True)


def sign() -> torch.nn.Module:
    """Activations of one bit."""
    return qnn.QuantIdentity(act_quant=Bit, return_quant_tensor=True)


def logits() -> torch.nn.Module:
    """The network's output, of 8 bits."""
    return qnn.QuantIdentity(act_quant=Byte)

"""The networks, by name. First and last layers have weights of 8 bits; images are (N, 1, 28, 28), 0..1.

mlp1    one bit throughout: 784 - 320 - 320 - 10
cnn1    one bit throughout: 3x3x16, pool, 3x3x32 (padded), pool, 3x3x64, 10
a1      one-bit activations, weights of 8 bits: 3x3x16, pool, 3x3x32, pool, 10
w1      one-bit weights, activations of 8 bits: 3x3x16, pool, 3x3x32, pool, 10
cnn     in floating point, for `celosia quantize`: 3x3x16, pool, 3x3x32 (padded), pool, 3x3x32 (padded), pool, 64, 10
cnv     the VGG-like binary network of the FINN papers, (N, 3, 32, 32): six convolutions 3x3 without padding
"""

from collections.abc import Callable, Mapping

import brevitas.nn as qnn
from torch import nn

from .quantizers import Bias16, UnsignedByte, Weight8, WeightBit, logits, pixels, sign

HIDDEN = 320


def teacher(side: int) -> nn.Module:
    """A network in floating point, whose answers the binary ones learn from."""
    left = (side - 2) // 2 // 2
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(32 * left * left, 10),
    )


def cnn(side: int) -> nn.Module:
    """In floating point: what post-training quantization starts from."""
    left = (side - 2) // 2 // 2 // 2
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * left * left, 64, bias=False),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def mlp1(side: int) -> nn.Module:
    """One bit throughout."""
    return nn.Sequential(
        nn.Flatten(),
        pixels(),
        qnn.QuantLinear(side * side, HIDDEN, bias=False, weight_quant=Weight8),
        nn.BatchNorm1d(HIDDEN),
        sign(),
        qnn.QuantLinear(HIDDEN, HIDDEN, bias=False, weight_quant=WeightBit),
        nn.BatchNorm1d(HIDDEN),
        sign(),
        qnn.QuantLinear(HIDDEN, 10, bias=False, weight_quant=Weight8),
        logits(),
    )


def cnn1(side: int) -> nn.Module:
    """One bit throughout; the second convolution pads, with zeros."""
    left = side // 2 // 2 - 2
    return nn.Sequential(
        pixels(),
        qnn.QuantConv2d(1, 16, 3, padding=1, bias=False, weight_quant=Weight8),
        nn.BatchNorm2d(16),
        sign(),
        nn.MaxPool2d(2),
        qnn.QuantConv2d(16, 32, 3, padding=1, bias=False, weight_quant=WeightBit),
        nn.BatchNorm2d(32),
        sign(),
        nn.MaxPool2d(2),
        qnn.QuantConv2d(32, 64, 3, bias=False, weight_quant=WeightBit),
        nn.BatchNorm2d(64),
        sign(),
        nn.Flatten(),
        qnn.QuantLinear(64 * left * left, 10, bias=False, weight_quant=Weight8),
        logits(),
    )


def a1(side: int) -> nn.Module:
    """One-bit activations."""
    left = ((side - 2) // 2 - 2) // 2
    return nn.Sequential(
        pixels(),
        qnn.QuantConv2d(1, 16, 3, bias=False, weight_quant=Weight8),
        nn.BatchNorm2d(16),
        sign(),
        nn.MaxPool2d(2),
        qnn.QuantConv2d(16, 32, 3, bias=False, weight_quant=Weight8),
        nn.BatchNorm2d(32),
        sign(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        qnn.QuantLinear(32 * left * left, 10, bias=False, weight_quant=Weight8),
        logits(),
    )


def w1(side: int) -> nn.Module:
    """One-bit weights in every layer. Batch normalization would not fit a multiplier and a whole bias: biases alone."""
    left = ((side - 2) // 2 - 2) // 2

    def activation() -> nn.Module:
        return qnn.QuantReLU(act_quant=UnsignedByte, return_quant_tensor=True)

    # The scales keep sums of 9, 144 and 800 products near 1.
    bits = {"weight_quant": WeightBit, "bias_quant": Bias16, "bias": True}
    return nn.Sequential(
        pixels(),
        qnn.QuantConv2d(1, 16, 3, weight_scaling_const=2**-2, **bits),
        activation(),
        nn.MaxPool2d(2),
        qnn.QuantConv2d(16, 32, 3, weight_scaling_const=2**-4, **bits),
        activation(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        qnn.QuantLinear(32 * left * left, 10, weight_scaling_const=2**-5, **bits),
        logits(),
    )


def cnv(side: int) -> nn.Module:
    """64, 64, pool, 128, 128, pool, 256, 256, then 512, 512, 10."""
    layers: list[nn.Module] = [pixels()]
    before = 3
    for index, channels in enumerate((64, 64, 128, 128, 256, 256)):
        weights = WeightBit if index else Weight8
        layers += [qnn.QuantConv2d(before, channels, 3, bias=False, weight_quant=weights), nn.BatchNorm2d(channels), sign()]
        if index in (1, 3):
            layers.append(nn.MaxPool2d(2))
        before = channels
    layers.append(nn.Flatten())
    before *= (((side - 4) // 2 - 4) // 2 - 4) ** 2
    for width in (512, 512):
        layers += [qnn.QuantLinear(before, width, bias=False, weight_quant=WeightBit), nn.BatchNorm1d(width), sign()]
        before = width
    return nn.Sequential(*layers, qnn.QuantLinear(before, 10, bias=False, weight_quant=Weight8), logits())


NETWORKS: Mapping[str, Callable[[int], nn.Module]] = {"mlp1": mlp1, "cnn1": cnn1, "a1": a1, "w1": w1, "cnv": cnv, "cnn": cnn}
FLOAT = ("cnn",)  # in floating point

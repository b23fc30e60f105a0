"""The networks, by name. First and last layers have weights of 8 bits; images are (N, 1, 28, 28), 0..1.

mlp1    one bit throughout: 784 - 320 - 320 - 10
cnn1    one bit throughout: 3x3x16, pool, 3x3x32 (padded), pool, 3x3x64, 10
a1      one-bit activations, weights of 8 bits: 3x3x16, pool, 3x3x32, pool, 10
w1      one-bit weights, activations of 8 bits: 3x3x16, pool, 3x3x32, pool, 10
cnn     in floating point, for `celosia quantize`: 3x3x16, pool, 3x3x32 (padded), pool, 3x3x32 (padded), pool, 64, 10
cnnf    in floating point: 3x3x32, pool, 3x3x64 (padded), pool, 3x3x64, 64, 10
cnn8    the same, of 8 bits; cnn4 of 4, cnn2 of 2 bits, first and last layer's weights excepted
cnnt    the same, of ternary weights and activations of 2 bits
cnv     the VGG-like binary network of the FINN papers, (N, 3, 32, 32): six convolutions 3x3 without padding
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import brevitas.nn as qnn
from torch import nn

from .quantizers import (
    Bias16,
    EvenWeight8,
    Ternary,
    Unsigned2,
    Unsigned4,
    Unsigned8,
    UnsignedByte,
    Weight2,
    Weight4,
    Weight8,
    WeightBit,
    logits,
    pixels,
    sign,
)

HIDDEN = 320
WIDTH = 64  # of the last layer's inputs, in `cnnf` and those that begin as it


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


def cnnf(side: int) -> nn.Module:
    """In floating point what `cnn8` to `cnnt` are in whole numbers: these begin as it, and learn from its answers."""
    layers: list[nn.Module] = []
    for place in _places(side):
        layers += [*place.shape(), place.layer(), place.norm(), *place.pool(), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10, bias=False))


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


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A layer but the last one of `cnnf` and of those that begin as it."""

    inputs: int
    outputs: int
    padding: int = 0
    is_matrix: bool = False
    pools: bool = False

    def layer(self, **quantizers: Any) -> nn.Module:
        """The convolution, or the fully-connected layer; Brevitas' where quantizers are named."""
        if self.is_matrix:
            matrix = qnn.QuantLinear if quantizers else nn.Linear
            return matrix(self.inputs, self.outputs, bias=False, **quantizers)
        convolution = qnn.QuantConv2d if quantizers else nn.Conv2d
        return convolution(self.inputs, self.outputs, 3, padding=self.padding, bias=False, **quantizers)

    def norm(self) -> nn.Module:
        """Batch normalization."""
        return nn.BatchNorm1d(self.outputs) if self.is_matrix else nn.BatchNorm2d(self.outputs)

    def pool(self) -> list[nn.Module]:
        """What stands before the activation: it leaves a quarter to quantize."""
        return [nn.MaxPool2d(2)] if self.pools else []

    def shape(self) -> list[nn.Module]:
        """What stands before the layer."""
        return [nn.Flatten()] if self.is_matrix else []


def _places(side: int) -> tuple[_Place, ...]:
    left = (side - 2) // 2 // 2 - 2
    return (
        _Place(inputs=1, outputs=32, pools=True),
        _Place(inputs=32, outputs=64, padding=1, pools=True),
        _Place(inputs=64, outputs=64),
        _Place(inputs=64 * left * left, outputs=WIDTH, is_matrix=True),
    )


def few(side: int, weights: type, activations: type) -> nn.Module:
    """`cnnf` with weights and activations of few bits; the first and the last layer's weights have 8."""
    layers: list[nn.Module] = [pixels()]
    for index, place in enumerate(_places(side)):
        quantizer = weights if index else Weight8
        layers += [
            *place.shape(),
            place.layer(weight_quant=quantizer),
            place.norm(),
            *place.pool(),
            qnn.QuantReLU(act_quant=activations, return_quant_tensor=True),
        ]
    return nn.Sequential(*layers, qnn.QuantLinear(WIDTH, 10, bias=False, weight_quant=Weight8), logits())


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


def cnn8(side: int) -> nn.Module:
    """Eight bits throughout."""
    return few(side, EvenWeight8, Unsigned8)


def cnn4(side: int) -> nn.Module:
    """Four bits."""
    return few(side, Weight4, Unsigned4)


def cnn2(side: int) -> nn.Module:
    """Two bits."""
    return few(side, Weight2, Unsigned2)


def cnnt(side: int) -> nn.Module:
    """Weights of -1, 0 and 1, activations of two bits."""
    return few(side, Ternary, Unsigned2)


NETWORKS: Mapping[str, Callable[[int], nn.Module]] = {
    network.__name__: network for network in (mlp1, cnn1, a1, w1, cnv, cnn, cnnf, cnn8, cnn4, cnn2, cnnt)
}
FLOAT = ("cnn", "cnnf")  # in floating point
FEW = ("cnn8", "cnn4", "cnn2", "cnnt")  # what begins as `cnnf`

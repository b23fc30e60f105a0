"""Batch normalization around layers of few bits: what they begin with, and what makes it exact.

Behind sums of products it is sum * factor + offset, and the quantizer behind it rounds down. Requantization rounds to the
nearest (sum + bias) * multiplier, so that both are one and the same where

    offset = bias * factor + half a level      the bias a whole number of the sums' units
    factor of few bits                         so that float32 holds every product of it and a sum

The first moves the offset by half a product's unit at most, the second scales a channel by 1 / 64 at most, or by 1 / 16 where
sums of 8-bit numbers leave fewer bits to the factor: neither is felt.
"""

import brevitas.nn as qnn
import torch
from torch import nn

BEGIN = {8: 0.25, 4: 0.375, 2: 0.5}
"""Root of the mean square of a channel's latent weights, by bits: the best steps for a normal distribution, about."""

REACH = {8: 0.75, 4: 0.75, 2: 1.0}
"""That of a layer's normalized sums."""

_FACTOR_BITS = 6  # at most
_FLOAT_BITS = 24  # of float32's whole numbers
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def begin_as(network: nn.Sequential, source: nn.Sequential) -> None:
    """Gives a network the weights and the normalization of one in floating point, each channel scaled to its quantizers.

    A maximum in front of a quantizer asks for factors above 0: weights are negated instead. The next batches find the
    statistics; learned ones would be another scale's.
    """
    with torch.no_grad():
        for (layer, norm, activation), (from_layer, from_norm, _) in zip(_blocks(network), _blocks(source), strict=True):
            weights = from_layer.weight * from_norm.weight.sign().reshape(-1, *(1,) * (from_layer.weight.ndim - 1))
            sizes = weights.flatten(1).square().mean(1).sqrt().clamp(min=1e-6)
            wanted = BEGIN[_bits(layer.weight_quant)]
            layer.weight.copy_(weights * (wanted / sizes).reshape(-1, *(1,) * (weights.ndim - 1)))
            factor = REACH[_bits(activation.act_quant)] / from_norm.weight.square().mean().sqrt()
            norm.weight.copy_(from_norm.weight.abs() * factor)
            norm.bias.copy_(from_norm.bias * factor + _level(activation) / 2)
        last, from_last = list(network)[-2], list(source)[-1]
        last.weight.copy_(from_last.weight)


def settle(network: nn.Sequential) -> None:
    """Makes every normalization exact, in place. For inference."""
    network.eval()
    with torch.no_grad():
        unit = float(next(iter(network)).act_quant.scale())
        for layer, norm, activation in _blocks(network):
            step, level = unit * float(layer.weight_quant.scale()), _level(activation)
            factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            offset = norm.running_mean - (norm.bias - level / 2) / factor
            whole = torch.round(offset / step)
            # The largest sum that a level begins at.
            factor = rounded(factor, whole.abs() + level * 2 ** _bits(activation.act_quant) / (factor.abs() * step))
            norm.running_mean.copy_(whole * step)
            norm.weight.copy_(factor)
            norm.bias.fill_(level / 2)
            norm.running_var.fill_(1.0)
            norm.eps = 0.0
            unit = level


def rounded(factor: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Factors of so few bits that float32 holds their products with sums up to those."""
    bits = (_FLOAT_BITS - torch.ceil(torch.log2(sums + 1))).clamp(1, _FACTOR_BITS).int()
    mantissa, exponent = torch.frexp(factor)
    return torch.ldexp(torch.round(torch.ldexp(mantissa, bits)), exponent - bits)


def _level(activation: nn.Module) -> float:
    return float(activation.act_quant.scale())


def _blocks(network: nn.Sequential) -> list[tuple[nn.Module, nn.Module, nn.Module]]:
    """(layer, normalization, activation)."""
    modules = list(network)
    places = [place for place, module in enumerate(modules) if isinstance(module, _NORMS)]
    return [
        (modules[place - 1], modules[place], next(m for m in modules[place:] if isinstance(m, nn.ReLU | qnn.QuantReLU)))
        for place in places
    ]


def _bits(quantizer: nn.Module) -> int:
    return int(quantizer.bit_width())

"""What ends a chain of functions: a quantizer behind the input or behind a layer's sums, or the model's output."""

from dataclasses import replace
from typing import Any

import numpy as np

from ...sim.errors import ModelError
from ..ir import Dequantize, Discretize, LookUp, MaxPool2D, Requant
from .qonnx_builder import Builder, channels_last, channels_second, natural_index
from .qonnx_quantizers import Quantizer
from .qonnx_requant import level_requant, sign_requant
from .qonnx_thresholds import first_reaching, real_thresholds
from .qonnx_values import Array, Float32Array, Int64Array, Quantized, Real, Shape, Sums, composed

_SLICE = 255  # what a byte of a sum's slices counts
_MAX_SLICES = 24


def discretized(builder: Builder, value: Real, quantizer: Quantizer, output: str, label: str) -> Quantized:
    """The model's input behind its quantizer: thresholds in float32, on the CPU."""
    function = composed(value.functions)
    channels = quantizer.levels(function(np.zeros((1, 1), np.float32))).shape[1]
    with np.errstate(all="ignore"):
        ends = quantizer.levels(function(np.array([[-3e38], [3e38]], np.float32) * np.ones((1, channels), np.float32)))
        if (ends[0] > ends[1]).any():
            raise ModelError("the model's input is multiplied by a negative number in front of it: negate the weights instead")
        thresholds = real_thresholds(lambda x: quantizer.levels(function(x)), quantizer.steps, channels)
    if channels > 1:
        if value.shape != builder.input_shape or (np.diff(value.index.ravel()) != 1).any():
            raise ModelError("the model's input is reshaped in front of its channels' own constants: reshape it behind it")
        if value.shape[1] != channels:
            raise ModelError(f"it has constants for {channels} channels, the input {value.shape}: the file is damaged")
    if quantizer.bits == 1:
        thresholds = thresholds.repeat(2, axis=1)  # two levels at once: -1 + 2
    name = builder.tensor(output, builder.input_shape, **_quantization(quantizer))
    builder.nodes.append(
        Discretize(
            name=builder.node_name(label),
            inputs=(builder.input,),
            output=name,
            thresholds=thresholds,
            low=quantizer.low,
        )
    )
    return _quantized(name, value.shape, value.index, quantizer)


def requantized(builder: Builder, sums: Sums, quantizer: Quantizer, output: str) -> Quantized:
    """A layer's sums behind their quantizer.

    Sums of more than 24 bits the executor rounds, in an order of its own, before it knows them all. Then it is what they stand
    for that counts, in double precision.
    """
    function = composed(sums.functions)
    real: type[Any] = np.float64 if sums.wide and sums.slack.any() else np.float32

    def levels(whole: Int64Array) -> Array:
        return quantizer.levels(function((whole * sums.scale).astype(real)))

    with np.errstate(all="ignore"):
        _check_pools(sums, quantizer)
        first, last = levels(sums.low[np.newaxis])[0], levels(sums.high[np.newaxis])[0]
        falling = np.broadcast_to(first > last, sums.low.shape)
        quantizer = _reached(quantizer, first, last)
        sign = np.where(falling, -1, 1).astype(np.int64)
        low, high = np.where(falling, -sums.high, sums.low), np.where(falling, -sums.low, sums.high)
        found = first_reaching(lambda whole: levels(whole * sign), quantizer.steps, low, high)
        _count_unproven(builder, sums, quantizer, found, sign, low, high)
    weights = sums.weights * sign.reshape(-1, *(1,) * (sums.weights.ndim - 1))
    in_bytes = sums.weights.min() >= -128 and sums.weights.max() <= 127
    least = 128 if in_bytes else 1 << 15
    if (weights == least).any():
        raise ModelError(f"{sums.label} has a weight of -{least} that a falling channel negates: quantize with narrow range")
    weights = weights.astype(np.int8 if in_bytes else np.int16)
    bits, wide = quantizer.bits, sums.wide or quantizer.dtype == "int16"
    if quantizer.steps == [0, 1] and quantizer.low == -1 and (found[0] == found[1]).all():
        bits, found = 1, found[1:]  # Sign, of what is never 0
    if bits == 1:
        bias, requant = sign_requant(found[0], wide=wide)
    else:
        bias, requant = level_requant(
            found,
            lows=low,
            highs=high,
            low=quantizer.low,
            high=quantizer.high,
            zero_point=quantizer.zero_point,
            once=sums.once or wide,
            wide=wide,
        )
    quantizer = replace(quantizer, bits=bits)
    name = _emit(builder, sums, weights, bias, requant, output, quantizer)
    return _pooled(builder, sums, name, output, quantizer)


def _reached(quantizer: Quantizer, first: Array, last: Array) -> Quantizer:
    """The quantizer of the levels that the ends of the sums reach: a Relu or a Clip in front leaves out the others."""
    low, high = int(min(first.min(), last.min())), int(max(first.max(), last.max()))
    return quantizer if quantizer.bits == 1 or low == high else replace(quantizer, low=low, high=high)


def _check_pools(sums: Sums, quantizer: Quantizer) -> None:
    """A maximum and a function change places where the function does not fall."""
    for pool in sums.pools:
        before, behind = composed(sums.functions[: pool.after]), composed(sums.functions[pool.after :])
        ends = np.sort(before((np.stack([sums.low, sums.high]) * sums.scale).astype(np.float32)), axis=0)
        levels = quantizer.levels(behind(ends))
        falling = int((levels[0] > levels[1]).sum())
        if falling:
            raise ModelError(f"{pool.label} stands before {falling} channels' negative scales: pool behind the quantizer")


def _count_unproven(
    builder: Builder, sums: Sums, quantizer: Quantizer, found: Int64Array, sign: Int64Array, low: Int64Array, high: Int64Array
) -> None:
    """Thresholds that another rounding of the executor's sums would move."""
    builder.thresholds += found.size
    if not sums.slack.any():
        return
    function = composed(sums.functions)
    steps = np.asarray(quantizer.steps)[:, np.newaxis]
    doubtful = np.zeros(found.shape, bool)
    for error in (-sums.slack, sums.slack):
        for offset, above in ((0, True), (-1, False)):
            whole = found + offset
            levels = quantizer.levels(function((whole * sign * sums.scale + error).astype(np.float32)))
            doubtful |= (whole >= low) & (whole <= high) & ((levels >= steps) != above)
    builder.unproven += int(doubtful.sum())


def _emit(
    builder: Builder, sums: Sums, weights: Array, bias: Array, requant: Requant, output: str, quantizer: Quantizer | None
) -> str:
    wanted = output if not sums.pools else f"{output}_unpooled"
    shape = (*sums.tensor_shape[:-1], len(weights))
    name = builder.tensor(wanted, shape, **({} if quantizer is None else _quantization(quantizer)))
    builder.nodes.append(sums.make(name=builder.node_name(sums.name), output=name, weights=weights, bias=bias, requant=requant))
    return name


def _pooled(builder: Builder, sums: Sums, name: str, output: str, quantizer: Quantizer) -> Quantized:
    shape = sums.shape
    if sums.pools:
        shape = channels_second(builder.tensors[name].shape)
    for pool in sums.pools:
        pooled = builder.tensor(output, channels_last(pool.shape), **_quantization(quantizer))
        builder.nodes.append(MaxPool2D(name=builder.node_name(pool.label), inputs=(name,), output=pooled, **pool.fields))
        name, shape = pooled, pool.shape
    return _quantized(name, shape, natural_index(shape), quantizer)


def dequantized(builder: Builder, value: Quantized, output: str, label: str) -> str:
    """A quantized output of the model, in the executor's real values."""
    ordered = builder.arranged(value.tensor, value.index, label)
    name = builder.tensor(output, value.shape, dtype="float32")
    builder.nodes.append(Dequantize(name=builder.node_name(f"{label}_dequantize"), inputs=(ordered,), output=name))
    return name


def looked_up(builder: Builder, sums: Sums, output: str) -> str:
    """Sums that leave the model without a quantizer: slices of them, then a table of the executor's real values."""
    if sums.pools:
        raise ModelError(f"{sums.label} is pooled and leaves the model without a quantizer: put one behind it")
    spans = sums.high - sums.low
    slices = max(1, -(-int(spans.max()) // _SLICE))
    if slices > _MAX_SLICES:
        raise ModelError(
            f"{sums.label} leaves the model with sums of {int(spans.max()):,} values, and bytes carry up to"
            f" {_MAX_SLICES * _SLICE:,}: put a quantizer of 8 bits behind it"
        )
    if sums.wide:
        raise ModelError(f"{sums.label} has numbers of more than 8 bits and leaves the model: put a quantizer behind it")
    weights = np.tile(sums.weights, (slices, *(1,) * (sums.weights.ndim - 1))).astype(np.int8)
    first = np.arange(slices).repeat(sums.channels) * _SLICE
    bias = (-128 - np.tile(sums.low, slices) - first).astype(np.int32)
    ones = np.ones(len(weights), np.int32)
    requant = Requant(multiplier=ones << 30, shift=ones, zero_point=0)
    name = _emit(builder, sums, weights, bias, requant, f"{output}_slices", None)
    whole = sums.low + np.arange(int(spans.max()) + 1)[:, np.newaxis]
    function = composed(sums.functions)
    with np.errstate(all="ignore"):
        table: Float32Array = function((whole * sums.scale).astype(np.float32))
    if sums.slack.any():
        builder.unproven += sums.channels
    builder.thresholds += sums.channels
    real = builder.tensor(output, sums.tensor_shape, dtype="float32")
    builder.nodes.append(
        LookUp(name=builder.node_name(f"{sums.name}_real"), inputs=(name,), output=real, table=np.ascontiguousarray(table.T))
    )
    return builder.arranged(real, natural_index(sums.shape), sums.name)


def _quantization(quantizer: Quantizer) -> dict[str, Any]:
    return {
        "scale": float(quantizer.scale),
        "zero_point": quantizer.zero_point,
        "bits": quantizer.bits,
        "dtype": quantizer.dtype,
    }


def _quantized(name: str, shape: Shape, index: Int64Array, quantizer: Quantizer) -> Quantized:
    return Quantized(
        tensor=name,
        shape=shape,
        index=index,
        scale=quantizer.scale,
        zero_point=quantizer.zero_point,
        low=quantizer.low,
        high=quantizer.high,
        bits=quantizer.bits,
    )

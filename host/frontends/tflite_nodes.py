"""From an operator of a .tflite file to its node, a function each.

Each checks what the kernel's `Prepare` in TensorFlow Lite checks (tensorflow/lite/kernels), resolves what the file
leaves open, and raises ModelError for what is not supported.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ...sim.errors import ModelError
from ...sim.golden import mean_multiplier, reduced_multiplier
from ..ir import (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    FullyConnected,
    Int8Array,
    MaxPool2D,
    Mean,
    Node,
    NumberArray,
    Pad,
    Pair,
    Quantize,
    Requant,
    Reshape,
    Softmax,
)
from . import scaling
from .tflite_operator import Operator
from .tflite_reader import Quantization

_MAX_CLASSES = 4095  # the sum of exponentials has 12 integer bits


def _add(operator: Operator) -> Add:
    (a, qa), (b, qb) = operator.int8_input(0, or_int16=True), operator.int8_input(1, or_int16=True)
    if a.dtype == "int16" and operator.options["powers_of_two"]:
        raise ModelError("it adds int16 by scales that are powers of two: convert the model with a newer converter")
    leading = {a.shape[0], b.shape[0]} if len(a.shape) == len(b.shape) else {a.shape[0], b.shape[0], 1}
    fits = all(x == y or 1 in (x, y) for x, y in zip(reversed(a.shape), reversed(b.shape), strict=False))
    if len(leading) > 1 or not fits:
        raise ModelError(f"its inputs of shapes {a.shape} and {b.shape} cannot be added sample by sample")
    if a.dtype != b.dtype:
        raise ModelError(f"its inputs must be of one type, not {a.dtype} and {b.dtype}: quantize the model again")
    output, quantization = operator.int8_output(np.broadcast_shapes(a.shape, b.shape), a.dtype)
    scaled = scaling.add_scaling(qa.scale, qb.scale, quantization.scale, left_shift=15 if a.dtype == "int16" else 20)
    low, high = operator.range(quantization)
    return Add(
        **operator.node(Add.op, inputs=2),
        output=output,
        zero_points=(qa.zero_point, qb.zero_point),
        multipliers=scaled.multipliers,
        shifts=scaled.shifts,
        output_multiplier=scaled.output_multiplier,
        output_shift=scaled.output_shift,
        zero_point=quantization.zero_point,
        low=low,
        high=high,
    )


def _average_pool_2d(operator: Operator) -> AveragePool2D:
    return AveragePool2D(**_pool(operator, AveragePool2D.op))


def _max_pool_2d(operator: Operator) -> MaxPool2D:
    return MaxPool2D(**_pool(operator, MaxPool2D.op))


def _pool(operator: Operator, op: str) -> dict[str, Any]:
    x, quantization = operator.int8_input(rank=4, or_int16=True)
    kernel, stride = operator.pair("kernel"), operator.pair("stride")
    padding, (rows, cols) = operator.padding(x.shape, kernel, stride, (1, 1))
    output, q_out = operator.int8_output((x.shape[0], rows, cols, x.shape[3]), x.dtype)
    if abs(quantization.scale - q_out.scale) > 1e-6 or quantization.zero_point != q_out.zero_point:
        raise ModelError("its output must have the quantization of its input: quantize the model again")
    low, high = operator.range(q_out)
    return {
        **operator.node(op),
        "output": output,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "low": low,
        "high": high,
    }


def _conv_2d(operator: Operator) -> Conv2D:
    x, quantization = operator.int8_input(rank=4, or_int16=True)
    weights, weight_scales = operator.weights(rank=4, axis=0)
    outputs, kernel_h, kernel_w, depth = weights.shape
    channels = x.shape[3]
    if channels % depth or outputs % (channels // depth):
        raise ModelError(f"its weights of shape {weights.shape} do not fit an input of {channels} channels")
    stride, dilation = operator.pair("stride"), operator.pair("dilation")
    padding, (rows, cols) = operator.padding(x.shape, (kernel_h, kernel_w), stride, dilation)
    output, q_out = operator.int8_output((x.shape[0], rows, cols, outputs), x.dtype)
    return Conv2D(
        **operator.node(Conv2D.op),
        output=output,
        weights=weights,
        bias=operator.bias(outputs, x),
        input_zero_point=quantization.zero_point,
        requant=_requant(operator, quantization, weight_scales, q_out, once=x.dtype == "int16"),
        stride=stride,
        dilation=dilation,
        padding=padding,
    )


def _depthwise_conv_2d(operator: Operator) -> DepthwiseConv2D:
    x, quantization = operator.int8_input(rank=4, or_int16=True)
    weights, weight_scales = operator.weights(rank=4, axis=3)
    one, kernel_h, kernel_w, outputs = weights.shape
    channels = x.shape[3]
    if one != 1 or outputs % channels:
        raise ModelError(f"its weights of shape {weights.shape} do not fit an input of {channels} channels")
    stride, dilation = operator.pair("stride"), operator.pair("dilation")
    padding, (rows, cols) = operator.padding(x.shape, (kernel_h, kernel_w), stride, dilation)
    output, q_out = operator.int8_output((x.shape[0], rows, cols, outputs), x.dtype)
    return DepthwiseConv2D(
        **operator.node(DepthwiseConv2D.op),
        output=output,
        weights=weights[0],
        bias=operator.bias(outputs, x),
        input_zero_point=quantization.zero_point,
        requant=_requant(operator, quantization, weight_scales, q_out, once=x.dtype == "int16"),
        depth_multiplier=outputs // channels,
        stride=stride,
        dilation=dilation,
        padding=padding,
    )


def _requant(operator: Operator, x: Quantization, weight_scales: tuple[float, ...], y: Quantization, *, once: bool) -> Requant:
    """With two roundings, or with one, an entry an output. Source: `PopulateConvolutionQuantizationParams`."""
    low, high = operator.range(y)
    pairs = [scaling.multiplier_and_shift(x.scale * scale / y.scale) for scale in weight_scales]
    if once:
        pairs = [(reduced_multiplier(multiplier), shift) for multiplier, shift in pairs]
    return replace(_requant_of(pairs, y.zero_point, low, high), once=once)


def _fully_connected(operator: Operator) -> FullyConnected:
    x, quantization = operator.int8_input(or_int16=True)
    weights, weight_scales = operator.weights(rank=2, axis=0)
    if operator.options["weights_format"]:
        raise ModelError("its weights are shuffled: export the model with the default format of weights")
    outputs, depth = weights.shape
    keep = bool(operator.options["keep_num_dims"])
    if prod(x.shape) % depth or (keep and x.shape[-1] != depth):
        raise ModelError(f"its weights of shape {weights.shape} do not fit an input of shape {x.shape}")
    shape = (*x.shape[:-1], outputs) if keep else (prod(x.shape) // depth, outputs)
    output, q_out = operator.int8_output(shape, x.dtype)
    bias = operator.bias(outputs, x)
    _check_bias_scale(operator, quantization, weight_scales, q_out)
    if x.dtype == "int16":
        requant = _real_requant(operator, quantization, weight_scales, q_out)
    else:
        requant = _exact_requant(operator, quantization, weights, weight_scales, bias, q_out)
    return FullyConnected(
        **operator.node(FullyConnected.op),
        output=output,
        weights=weights,
        bias=bias,
        input_zero_point=quantization.zero_point,
        requant=requant,
    )


def _check_bias_scale(operator: Operator, x: Quantization, weight_scales: tuple[float, ...], y: Quantization) -> None:
    """Source: `GetQuantizedConvolutionMultipler`, which the kernel asks if its weights have one scale."""
    stored = operator.optional(2)
    bias = stored.quantization if stored else None
    if bias is None or len(set(weight_scales)) > 1 or len(bias.scales) > 1:
        return
    product = x.scale * weight_scales[0]
    if not abs(product - bias.scale) / y.scale <= 0.02:
        raise ModelError(
            f"its bias must have the scale of input times weights, {product:.6g}, not {bias.scale:.6g}: quantize the"
            " model again"
        )


def _exact_requant(
    operator: Operator,
    x: Quantization,
    weights: Int8Array,
    weight_scales: tuple[float, ...],
    bias: NumberArray,
    y: Quantization,
) -> Requant:
    """With one rounding, an entry an output, exact for each sum that these weights can make."""
    low, high = operator.range(y)
    largest = max(127 - x.zero_point, x.zero_point + 128)
    reach = np.abs(weights.astype(np.int64)).sum(axis=1) * largest + np.abs(bias.astype(np.int64))
    if len(set(weight_scales)) == 1:
        reach[:] = reach.max()
    channels = list(zip(weight_scales, reach.tolist(), strict=True))
    found = {
        (scale, most): scaling.exact_multiplier(x.scale * scale / y.scale, low - y.zero_point, high - y.zero_point, most)
        for scale, most in dict.fromkeys(channels)
    }
    return _requant_of([found[channel] for channel in channels], y.zero_point, low, high)


def _real_requant(operator: Operator, x: Quantization, weight_scales: tuple[float, ...], y: Quantization) -> Requant:
    """By real numbers: sums of int16 are too large for a multiplier of 31 bits to equal the kernel's double precision."""
    low, high = operator.range(y)
    factors = np.array([x.scale * scale / y.scale for scale in weight_scales])
    pairs = [scaling.multiplier_and_shift(factor) for factor in factors.tolist()]
    return replace(_requant_of(pairs, y.zero_point, low, high), factors=factors)


def _requant_of(pairs: list[Pair], zero_point: int, low: int, high: int) -> Requant:
    multiplier, shift = np.array(pairs, np.int32).T
    return Requant(multiplier=multiplier.copy(), shift=shift.copy(), zero_point=zero_point, low=low, high=high)


def _mean(operator: Operator) -> Mean:
    x, quantization = operator.int8_input()
    rank = len(x.shape)
    values = operator.integers(1, "axes")
    if any(not -rank <= axis < rank for axis in values):
        raise ModelError(f"its axes {values} must be axes of an input of shape {x.shape}")
    axes = tuple(sorted({axis % rank for axis in values}))
    if not axes or axes[0] == 0:
        raise ModelError(f"its axes must be others than the batch, not {axes}")
    keep = bool(operator.options["keep_dims"])
    kept = (1 if axis in axes else extent for axis, extent in enumerate(x.shape) if keep or axis not in axes)
    output, q_out = operator.int8_output(tuple(kept))
    base = scaling.multiplier_and_shift(quantization.scale / q_out.scale)
    multiplier, shift = mean_multiplier(*base, prod(x.shape[axis] for axis in axes))
    return Mean(
        **operator.node(Mean.op),
        output=output,
        axes=axes,
        keep_dims=keep,
        input_zero_point=quantization.zero_point,
        output_zero_point=q_out.zero_point,
        multiplier=multiplier,
        shift=shift,
    )


def _pad(operator: Operator) -> Pad:
    x, _ = operator.int8_input(or_int16=True)
    values = operator.integers(1, "paddings")
    if len(values) != 2 * len(x.shape) or min(values, default=0) < 0:
        raise ModelError(f"its paddings {values} must be a pair >= 0 for each axis of an input of shape {x.shape}")
    padding = tuple(zip(values[::2], values[1::2], strict=True))
    if padding[0] != (0, 0):
        raise ModelError(f"its paddings must leave the batch axis alone, not pad it by {padding[0]}")
    output, quantization = operator.int8_output(
        tuple(before + extent + after for extent, (before, after) in zip(x.shape, padding, strict=True)), x.dtype
    )
    value = quantization.zero_point
    stored = operator.optional(2)
    if stored is not None:
        constant = operator.constant(2, "padding value", x.dtype)
        if constant.size != 1 or stored.quantization is None or not stored.quantization.equals(quantization):
            raise ModelError("its padding value must be one number in the quantization of its output")
        value = int(constant.ravel()[0])
    return Pad(**operator.node(Pad.op), output=output, padding=padding, value=value)


def _reshape(operator: Operator) -> Reshape:
    x, quantization = operator.int8_input(or_int16=True)
    shape = operator.output_shape
    if operator.name == "RESHAPE" and operator.optional(1) is not None:
        wanted = operator.integers(1, "new shape")
        if len(wanted) != len(shape) or any(w not in (-1, s) for w, s in zip(wanted, shape, strict=True)):
            raise ModelError(f"its new shape {wanted} must be that of its output, {shape}: the file is damaged")
    if prod(shape) != prod(x.shape):
        raise ModelError(f"its input of shape {x.shape} cannot become the shape {shape}: the file is damaged")
    output, q_out = operator.int8_output(shape, x.dtype)
    if not q_out.equals(quantization):
        raise ModelError("its output must have the quantization of its input: quantize the model again")
    return Reshape(**operator.node(Reshape.op), output=output, shape=shape)


def _softmax(operator: Operator) -> Softmax:
    x, quantization = operator.int8_input(or_int16=True)
    if len(x.shape) < 2 or x.shape[-1] > _MAX_CLASSES:
        raise ModelError(f"its input must have several axes, the last of up to {_MAX_CLASSES} elements, not {x.shape}")
    output, q_out = operator.int8_output(x.shape, x.dtype)
    if x.dtype == "int16":
        if abs(q_out.scale * 32768 - 1) > 0.001:
            raise ModelError(f"its output must have scale 1/32768, not {q_out.scale:.6g}")
        multiplier, left_shift = scaling.softmax_int16_scaling(operator.number("beta"), quantization.scale)
        return Softmax(
            **operator.node(Softmax.op), output=output, input_multiplier=multiplier, input_left_shift=left_shift, diff_min=0
        )
    if abs(q_out.scale * 256 - 1) > 0.001 or q_out.zero_point != -128:
        raise ModelError(f"its output must have scale 1/256 and zero point -128, not {q_out.scale:.6g} and {q_out.zero_point}")
    multiplier, left_shift, diff_min = scaling.softmax_scaling(operator.number("beta"), quantization.scale)
    return Softmax(
        **operator.node(Softmax.op),
        output=output,
        input_multiplier=multiplier,
        input_left_shift=left_shift,
        diff_min=diff_min,
    )


def _quantize(operator: Operator) -> Quantize:
    x = operator.input(0, "float32", "int8", "uint8")
    if x.dtype == "float32":
        output = operator.output(x.shape, "int8", "int16")
    else:
        _, quantization = operator.quantized_input(0, "int8", "uint8")
        output = operator.output(x.shape, "int8", "uint8")
        scaling.multiplier_and_shift(quantization.scale / operator.output_quantization.scale)
    return Quantize(**operator.node(Quantize.op), output=output)


def _dequantize(operator: Operator) -> Dequantize:
    x, _ = operator.quantized_input(0, "int8", "uint8", "int16")
    return Dequantize(**operator.node(Dequantize.op), output=operator.output(x.shape, "float32"))


NODES: Mapping[str, Callable[[Operator], Node]] = {
    "ADD": _add,
    "AVERAGE_POOL_2D": _average_pool_2d,
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "DEQUANTIZE": _dequantize,
    "EXPAND_DIMS": _reshape,
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": _max_pool_2d,
    "MEAN": _mean,
    "PAD": _pad,
    "PADV2": _pad,
    "QUANTIZE": _quantize,
    "RESHAPE": _reshape,
    "SOFTMAX": _softmax,
    "SQUEEZE": _reshape,
}

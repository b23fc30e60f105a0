"""Float networks as ONNX models, in one of three forms.

float       as they are
qonnx       with QONNX' quantizers: what Celosia and QONNX' executor run
simulated   with those quantizers spelled in standard operators: what onnxruntime runs, equal to the executor wherever its sums
            are exact

Layers hold whole numbers in bytes, which Cast and Mul bring to their scale in front of the quantizer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from .network import FUNCTIONS, LAYERS, FloatNetwork, Step

_DOMAIN = "qonnx.custom_op.general"
_OPSET = 13
_BIAS_BITS = 32
_BATCH = "samples"


@dataclass(frozen=True, kw_only=True)
class Quantizer:
    """The quantizer of an activation: whole numbers of so many bits, real value scale * (whole - zero)."""

    scale: float
    zero: int
    bits: int
    signed: bool
    rounding: str

    @property
    def low(self) -> int:
        """The least whole number."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The greatest."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizedLayer:
    """Weights are `whole`, int8 (outputs, ...) of `bits`, times `scale`; biases `bias` times `bias_scale`; each (outputs,)."""

    whole: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    bits: int
    bias: npt.NDArray[np.int64]
    bias_scale: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantization:
    """Quantizers by the activation that they stand behind, layers by their output."""

    points: Mapping[str, Quantizer]
    layers: Mapping[str, QuantizedLayer]


def float_model(network: FloatNetwork, outputs: Sequence[str]) -> bytes:
    """The network in floating point, for any number of samples, with these activations as its outputs."""
    writer = _Writer(network)
    for step in network.steps:
        writer.step(step, [writer.names[name] for name in step.inputs], step.output)
    return writer.model(outputs, batch=None)


def simulated_model(network: FloatNetwork, quantization: Quantization) -> bytes:
    """The quantized network in standard operators, for any number of samples."""
    return _quantized(_Writer(network), quantization, _Writer.simulated_quantizer, _Writer.known_weights).model(
        [network.output], batch=None
    )


def qonnx_model(network: FloatNetwork, quantization: Quantization) -> bytes:
    """The quantized network as a QONNX file, for one sample at a time."""
    return _quantized(_Writer(network), quantization, _Writer.quantizer, _Writer.quantized_weights).model(
        [network.output], batch=1
    )


def _quantized(writer: "_Writer", quantization: Quantization, quantize: Any, weigh: Any) -> "_Writer":
    network, points = writer.network, quantization.points
    if network.input in points:
        writer.names[network.input] = quantize(writer, network.input, points[network.input], f"{network.input}_quantized")
    for step in network.steps:
        raw = writer.unique(f"{step.output}_sums") if step.output in points else step.output
        inputs = [writer.names[name] for name in step.inputs]
        if step.output in quantization.layers:
            inputs += weigh(writer, step, quantization.layers[step.output])
        writer.step(step, inputs, raw, weighed=step.output in quantization.layers)
        if step.output in points:
            quantize(writer, raw, points[step.output], step.output)
    return writer


class _Writer:
    """A graph that grows node by node."""

    def __init__(self, network: FloatNetwork) -> None:
        self.network = network
        self.names = {network.input: network.input, **{step.output: step.output for step in network.steps}}
        self._taken = set(self.names)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def unique(self, wanted: str) -> str:
        """A name that is not taken yet."""
        found, number = wanted, 1
        while found in self._taken:
            number += 1
            found = f"{wanted}_{number}"
        self._taken.add(found)
        return found

    def constant(self, wanted: str, values: npt.ArrayLike) -> str:
        """A constant; float32 where its values are floating-point numbers."""
        array = np.asarray(values)
        name = self.unique(wanted)
        self._constants.append(numpy_helper.from_array(array.astype(np.float32) if array.dtype.kind == "f" else array, name))
        return name

    def node(self, op: str, inputs: list[str], output: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        """A node of one output."""
        self._nodes.append(helper.make_node(op, inputs, [output], name=name or output, domain=domain, **attributes))
        return output

    def step(self, step: Step, inputs: list[str], output: str, *, weighed: bool = False) -> None:
        """A step of the network; a layer's weights are among its inputs where it is `weighed`."""
        attributes = dict(step.attributes)
        if step.op in LAYERS and not weighed:
            inputs = [*inputs, self.constant(f"{output}_weights", step.kernel), self.constant(f"{output}_bias", step.offsets)]
        if step.op == "Gemm":
            attributes["transB"] = 1
        elif step.op == "Affine":
            shape = (1, -1, *(1,) * (len(step.shape) - 2))
            scaled = self.node(
                "Mul", [*inputs, self.constant(f"{output}_factor", step.kernel.reshape(shape))], self.unique(f"{output}_scaled")
            )
            inputs = [scaled, self.constant(f"{output}_offset", step.offsets.reshape(shape))]
        elif step.op in FUNCTIONS and step.op != "Relu":
            inputs = [*inputs, *self._limits(step, output)]
        elif step.op == "Reshape":
            inputs = [*inputs, self.constant(f"{output}_shape", np.array([0, *step.shape[1:]], np.int64))]
        elif step.op == "Pad":
            inputs = [*inputs, self.constant(f"{output}_pads", np.array(attributes.pop("pads"), np.int64))]
        self.node("Add" if step.op == "Affine" else step.op, inputs, output, step.name, **attributes)

    def _limits(self, step: Step, output: str) -> list[str]:
        return [
            self.constant(f"{output}_{what}", np.float32(value)) if np.isfinite(value) else ""
            for what, value in (("low", step.low), ("high", step.high))
        ]

    def quantizer(self, x: str, found: Quantizer, output: str) -> str:
        """QONNX' Quant."""
        parameters = [
            self.constant(f"{output}_{what}", np.float32(value))
            for what, value in (("scale", found.scale), ("zero", found.zero), ("bits", found.bits))
        ]
        return self.node(
            "Quant", [x, *parameters], output, f"{output}_quant", _DOMAIN,
            signed=int(found.signed), narrow=0, rounding_mode=found.rounding,
        )  # fmt: skip

    def simulated_quantizer(self, x: str, found: Quantizer, output: str) -> str:
        """The same in standard operators: divided, clipped, rounded, multiplied."""
        scale, zero, half = (
            self.constant(f"{output}_{what}", np.float32(value))
            for what, value in (("scale", found.scale), ("zero", found.zero), ("half", 0.5))
        )
        ends = [
            self.constant(f"{output}_{what}", np.float32(value)) for what, value in (("low", found.low), ("high", found.high))
        ]

        def then(op: str, *inputs: str) -> str:
            return self.node(op, list(inputs), self.unique(f"{output}_{op.lower()}"))

        value = then("Clip", then("Add", then("Div", x, scale), zero), *ends)
        if found.rounding == "HALF_UP":
            value = then("Mul", then("Sign", value), then("Floor", then("Add", then("Abs", value), half)))
        else:
            value = then({"FLOOR": "Floor", "ROUND": "Round"}[found.rounding], value)
        return self.node("Mul", [then("Sub", value, zero), scale], self.unique(output) if x == self.network.input else output)

    def quantized_weights(self, step: Step, layer: QuantizedLayer) -> list[str]:
        """Weights and bias, each behind its quantizer."""
        base = step.output
        scale = self.constant(f"{base}_unit", _column(layer.scale, layer.whole.ndim))
        whole = self.constant(f"{base}_whole", layer.whole)
        real = self.node("Cast", [whole], self.unique(f"{base}_float"), to=TensorProto.FLOAT)
        real = self.node("Mul", [real, scale], self.unique(f"{base}_real"))
        weights = self._grid(real, scale, layer.bits, f"{base}_weights", narrow=1)
        bias = self.constant(f"{base}_offset", (layer.bias * layer.bias_scale.astype(np.float64)).astype(np.float32))
        unit = self.constant(f"{base}_offset_unit", layer.bias_scale)
        return [weights, self._grid(bias, unit, _BIAS_BITS, f"{base}_bias", narrow=0)]

    def _grid(self, x: str, scale: str, bits: int, wanted: str, *, narrow: int) -> str:
        zero, width = self.constant(f"{wanted}_zero", np.float32(0)), self.constant(f"{wanted}_bits", np.float32(bits))
        return self.node(
            "Quant", [x, scale, zero, width], self.unique(wanted), "", _DOMAIN, signed=1, narrow=narrow, rounding_mode="ROUND"
        )

    def known_weights(self, step: Step, layer: QuantizedLayer) -> list[str]:
        """Weights and bias as the real numbers that they stand for."""
        return [
            self.constant(f"{step.output}_weights", layer.whole * _column(layer.scale, layer.whole.ndim)),
            self.constant(f"{step.output}_bias", (layer.bias * layer.bias_scale.astype(np.float64)).astype(np.float32)),
        ]

    def model(self, outputs: Sequence[str], *, batch: int | None) -> bytes:
        """The bytes of the whole."""
        size = _BATCH if batch is None else batch
        network = self.network
        shapes = {network.input: network.shape, **{step.output: step.shape for step in network.steps}}
        inputs, answers = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, (size, *shapes[name][1:])) for name in names]
            for names in ((network.input,), outputs)
        )
        graph = helper.make_graph(self._nodes, network.name, inputs, answers, self._constants)
        model = helper.make_model(
            graph,
            producer_name="celosia quantize",
            opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_DOMAIN, 1)],
        )
        model.ir_version = 8
        return model.SerializeToString()


def _column(scale: npt.NDArray[np.float32], rank: int) -> npt.NDArray[np.float32]:
    return scale.reshape(-1, *(1,) * (rank - 1))

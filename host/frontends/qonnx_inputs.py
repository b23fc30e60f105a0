"""What a node finds at its inputs."""

from collections.abc import Sequence

from ...sim.errors import ModelError
from .qonnx_values import Constant, Joined, Quantized, Real, Sums, Value

Inputs = Sequence[Value | None]
QUANTIZE_FIRST = "its input is not quantized: put a quantizer before it"


def activation(inputs: Inputs, position: int = 0) -> Real | Quantized | Sums | Joined:
    value = inputs[position] if len(inputs) > position else None
    if value is None or isinstance(value, Constant):
        raise ModelError("its first input must be an activation: the file is damaged")
    return value


def movable(inputs: Inputs) -> Real | Quantized | Sums:
    """An activation whose elements may be moved, or compared."""
    value = activation(inputs)
    if isinstance(value, Joined):
        raise ModelError("it moves the sum of two activations in front of its quantizer: put a quantizer before it")
    return value


def quantized(inputs: Inputs) -> Quantized:
    value = activation(inputs)
    if not isinstance(value, Quantized):
        raise ModelError(QUANTIZE_FIRST)
    return value


def constant(inputs: Inputs, position: int, what: str) -> Constant:
    value = inputs[position] if len(inputs) > position else None
    if not isinstance(value, Constant):
        raise ModelError(f"its {what} must be a constant, and is computed or missing")
    return value

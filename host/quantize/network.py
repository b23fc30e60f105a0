"""A network in floating point, as the quantizer sees it: a few operators, everything folded that folds.

    Conv                weights float32 (outputs, channels / groups, height, width), bias (outputs,)
    Gemm                weights float32 (outputs, K), bias (outputs,): y = x @ weights.T + bias
    Add                 of two activations
    AveragePool, GlobalAveragePool, MaxPool, Relu, Clip
    Reshape, Transpose, Pad     move elements
    Affine              x * weights + bias, both float32 (channels,): of the network's input alone

Shapes are ONNX's, channels second, a batch of one in the first axis.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Shape = tuple[int, ...]

LAYERS = ("Conv", "Gemm")
ADDING = (*LAYERS, "Add", "AveragePool", "GlobalAveragePool")  # what they compute lies on no grid until it is quantized
FUNCTIONS = ("Relu", "Clip")


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One operator. `inputs` are names of activations; constants live in the step itself.

    low, high: of Clip and Relu. `attributes` as ONNX has them.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    shape: Shape
    attributes: Mapping[str, Any] = field(default_factory=dict)
    weights: Float32Array | None = None
    bias: Float32Array | None = None
    low: float = -np.inf
    high: float = np.inf

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.op})"

    @property
    def kernel(self) -> Float32Array:
        """The weights of a layer."""
        assert self.weights is not None
        return self.weights

    @property
    def offsets(self) -> Float32Array:
        """The bias of a layer."""
        assert self.bias is not None
        return self.bias


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatNetwork:
    """Steps in an order in which they can be computed; one input, one output. `notes` are what its user should know."""

    name: str
    input: str
    shape: Shape
    output: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[Step, ...]:
        """The steps with weights, in order."""
        return tuple(step for step in self.steps if step.op in LAYERS)

    def consumers(self, name: str) -> tuple[Step, ...]:
        """The steps that read an activation."""
        return tuple(step for step in self.steps if name in step.inputs)

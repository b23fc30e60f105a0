"""What the names of a QONNX graph stand for, while its nodes are read one after the other.

    Constant    an array that is known, with the whole numbers and scales behind it where a quantizer made it
    Real        the model's input in floating point, with the element-wise functions that wait for a quantizer
    Quantized   whole numbers in a tensor of the integer graph; the executor's real value is scale * (q - zero_point)
    Sums        what a layer of whole numbers adds up, with the functions that wait for a quantizer
    Joined      two Quantized added, with the functions that wait for a quantizer

Shapes are ONNX's (channels second); `index` says where an element lies in the tensor of the integer graph (channels last).
Functions take and give float32 (n, channels): n values for each channel, in the executor's own arithmetic.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir import Node

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
Shape = tuple[int, ...]
Function = Callable[[Float32Array], Float32Array]


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Whole numbers and their scales, both of one shape: value = scale * whole."""

    whole: Int64Array
    scale: Float32Array

    def moved(self, move: Callable[[Array], Array]) -> "Grid":
        """The same after a transposition or a reshape."""
        return Grid(whole=move(self.whole), scale=move(self.scale))


@dataclass(frozen=True, kw_only=True, eq=False)
class Constant:
    """A known array."""

    array: Array
    grid: Grid | None = None

    @property
    def shape(self) -> Shape:
        """Of the array."""
        return self.array.shape

    def weights(self) -> Grid | None:
        """Its whole numbers and scales: a quantizer's, or its own values where they are whole numbers of 8 bits."""
        if self.grid is not None:
            return self.grid
        if self.array.dtype.kind != "f" or not self.array.size:
            return None
        if (np.abs(self.array) <= 127).all() and (self.array == np.round(self.array)).all():
            return Grid(whole=self.array.astype(np.int64), scale=np.ones(self.shape, np.float32))
        return None


@dataclass(frozen=True, kw_only=True, eq=False)
class Real:
    """The model's input: element i of `shape` is element `index.flat[i]` of the input, after the functions."""

    shape: Shape
    index: Int64Array
    functions: tuple[Function, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantized:
    """A tensor of the integer graph, int8 or int16, its values in low..high."""

    tensor: str
    shape: Shape
    index: Int64Array
    scale: np.float32
    zero_point: int
    low: int
    high: int
    bits: int

    @property
    def wide(self) -> bool:
        """Whether a byte does not hold them."""
        return self.bits > 8

    @property
    def whole(self) -> Int64Array:
        """All that its values, less the zero point, can be."""
        return np.arange(self.low, self.high + 1, 2 if self.bits == 1 else 1) - self.zero_point

    @property
    def levels(self) -> Float32Array:
        """The executor's real values of `whole`."""
        return self.whole.astype(np.float32) * self.scale


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """A maximum pooling that waits for the quantizer: its fields in the integer graph, its place among the functions."""

    fields: Mapping[str, Any]
    after: int
    shape: Shape
    label: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """The sums of a layer that waits for its requantization; channel c's sum a has the real value scale[c] * a.

    `weights` are int64, outputs first. `make` builds the node from the other fields, given weights of that shape and the
    bias, and says the shape in the integer graph. `low`, `high`: what sums can be, a channel each. `slack` bounds the rounding
    error of the executor's own float32 sums; 0 where they are exact. `wide`: a byte does not hold what is multiplied.
    """

    make: Callable[..., Node]
    label: str
    name: str
    shape: Shape
    tensor_shape: Shape
    weights: Int64Array
    scale: Float64Array
    slack: Float64Array
    low: Int64Array
    high: Int64Array
    once: bool
    wide: bool
    functions: tuple[Function, ...] = ()
    pools: tuple[Pool, ...] = field(default=())

    @property
    def channels(self) -> int:
        """Output channels."""
        return len(self.scale)


@dataclass(frozen=True, kw_only=True, eq=False)
class Joined:
    """The sum of two activations of one shape, which waits for its quantizer."""

    left: Quantized
    right: Quantized
    shape: Shape
    name: str
    functions: tuple[Function, ...] = ()


Value = Constant | Real | Quantized | Sums | Joined


def composed(functions: tuple[Function, ...]) -> Function:
    """One function after the other."""

    def apply(x: Float32Array) -> Float32Array:
        for function in functions:
            x = function(x)
        return x

    return apply

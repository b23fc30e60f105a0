"""The typed graph between a model file and the fabric: integers only.

A front end resolves everything that its format leaves open (scales, "same" padding, fused activations, optional biases) into
the integers of TensorFlow Lite's reference arithmetic, so that the golden models, the schedule and the gateware read the
same numbers. Activations are NHWC, int8 or int16, with a batch of one in the first axis.

    scale, zero point      stay on a tensor, for the user's input and output only
    multiplier, shift      `real = multiplier * 2**(shift - 31)`, multiplier in [2**30, 2**31) or 0
    padding                ((top, bottom), (left, right)), explicit; padded positions hold the input's zero point
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..sim.golden.requantize import NumberArray as NumberArray

Int8Array = npt.NDArray[np.int8]
Int32Array = npt.NDArray[np.int32]
WeightArray = npt.NDArray[np.int8] | npt.NDArray[np.int16]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An activation of the graph: shape (batch of one first), NumPy type name, and the quantization its user sees.

    `bits` is what the values of an int8 or int16 tensor need: below 8 or 16, they are those of a signed or unsigned integer of
    so many bits; with 1, every value is -1 or +1.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: float = 1.0
    zero_point: int = 0
    bits: int = 8
    packed: bool = False  # a fabric holds its -1 and +1 as bits, eight a byte: `passes.pack_bits`
    planes: int = 0  # a fabric holds so many planes of its numbers' bits, none of which is negative; 0: a byte each

    @property
    def size(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def doubled(self) -> bool:
        """Whether a fabric holds two bytes a number."""
        return self.dtype == "int16"

    @property
    def stored_bytes(self) -> int:
        """Bytes in a fabric's activation memory."""
        if self.doubled:
            return 2 * self.size
        return self.size * (1 if self.packed else self.planes or 8) // 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Requant:
    """How 32-bit sums become int8: `clip(mbqm(acc, multiplier, shift) + zero_point, low, high)`, per output channel.

    `mbqm` is TensorFlow Lite's MultiplyByQuantizedMultiplier with two roundings; fully-connected layers round once, halves up.
    `multiplier` and `shift` hold one entry a channel (a model with one scale for all channels repeats it). Where a layer reads
    or gives int16, it is `once` that says how often it rounds, whatever the layer is, and sums are of 64 bits. With `factors`,
    real numbers, it is `round(acc * factor)` in double precision, halves away from zero, which no fabric does.
    """

    multiplier: Int32Array
    shift: Int32Array
    zero_point: int
    low: int = -128
    high: int = 127
    once: bool = False
    factors: Float64Array | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """One operation. `inputs` are names of activation tensors; constants live in the node itself."""

    name: str
    inputs: tuple[str, ...]
    output: str

    op: ClassVar[str]  # the operation's name in reports, after TensorFlow Lite's: `conv_2d`, `add`, ...

    def macs(self, graph: "Graph") -> int:
        """Useful multiply-accumulates for one inference; 0 where the operation multiplies no weights."""
        return 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv2D(Node):
    """Dense convolution. weights int8 or int16 (outputs, kernel_h, kernel_w, channels / groups), bias (outputs,)."""

    weights: WeightArray
    bias: NumberArray
    input_zero_point: int
    requant: Requant
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: Padding = ((0, 0), (0, 0))

    op: ClassVar[str] = "conv_2d"

    def macs(self, graph: "Graph") -> int:
        _, height, width, _ = graph.tensors[self.output].shape
        return height * width * self.weights.size


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthwiseConv2D(Node):
    """Depthwise convolution. weights int8 or int16 (kernel_h, kernel_w, outputs); output o reads input o // multiplier."""

    weights: WeightArray
    bias: NumberArray
    input_zero_point: int
    requant: Requant
    depth_multiplier: int = 1
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: Padding = ((0, 0), (0, 0))

    op: ClassVar[str] = "depthwise_conv_2d"

    def macs(self, graph: "Graph") -> int:
        _, height, width, _ = graph.tensors[self.output].shape
        return height * width * self.weights.size


@dataclass(frozen=True, kw_only=True, eq=False)
class FullyConnected(Node):
    """y[m, o] = sum_k (x[m, k] - input_zero_point) * weights[o, k] + bias[o], requantized.

    weights int8 or int16 (outputs, K). The input may have any shape with a multiple of K elements: it is read as (M, K). One
    rounding: the reference kernel multiplies in double precision, and the front end finds the multiplier that equals it; of
    int16 it may not find one, see `Requant.factors`.
    """

    weights: WeightArray
    bias: NumberArray
    input_zero_point: int
    requant: Requant

    op: ClassVar[str] = "fully_connected"

    def macs(self, graph: "Graph") -> int:
        return graph.tensors[self.output].size * self.weights.shape[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Add(Node):
    """Element-wise sum of two tensors, as TensorFlow Lite's reference kernel does it.

    raw_i = mbqm((x_i - zero_points[i]) << 20, multipliers[i], shifts[i]), of int16 << 15;  y = clip(mbqm(raw_0 + raw_1,
    output_multiplier, output_shift) + zero_point, low, high). The two shapes are equal, or NumPy broadcasts them.
    """

    zero_points: Pair
    multipliers: Pair
    shifts: Pair
    output_multiplier: int
    output_shift: int
    zero_point: int
    low: int = -128
    high: int = 127

    op: ClassVar[str] = "add"


@dataclass(frozen=True, kw_only=True, eq=False)
class AveragePool2D(Node):
    """Average over a window; padded positions do not count. Halves round away from zero; then clip to low..high."""

    kernel: Pair
    stride: Pair
    padding: Padding = ((0, 0), (0, 0))
    low: int = -128
    high: int = 127

    op: ClassVar[str] = "average_pool_2d"


@dataclass(frozen=True, kw_only=True, eq=False)
class MaxPool2D(Node):
    """Maximum over a window; padded positions do not count; then clip to low..high."""

    kernel: Pair
    stride: Pair
    padding: Padding = ((0, 0), (0, 0))
    low: int = -128
    high: int = 127

    op: ClassVar[str] = "max_pool_2d"


@dataclass(frozen=True, kw_only=True, eq=False)
class Mean(Node):
    """Mean over `axes`, as TensorFlow Lite's reference MEAN for int8 does it."""

    axes: tuple[int, ...]
    keep_dims: bool
    input_zero_point: int
    output_zero_point: int
    multiplier: int
    shift: int

    op: ClassVar[str] = "mean"


@dataclass(frozen=True, kw_only=True, eq=False)
class Pad(Node):
    """Pads with `value` (before, after) per axis."""

    padding: tuple[Pair, ...]
    value: int

    op: ClassVar[str] = "pad"


@dataclass(frozen=True, kw_only=True, eq=False)
class Reshape(Node):
    """The same elements under another shape: nothing moves."""

    shape: tuple[int, ...]

    op: ClassVar[str] = "reshape"


@dataclass(frozen=True, kw_only=True, eq=False)
class Softmax(Node):
    """Softmax over the last axis, int8 in and out (output scale 1/256, zero point -128) or int16 (1/32768), fixed point as in
    the reference.

    `input_multiplier`, `input_left_shift` and, of int8, `diff_min` are TensorFlow Lite's SoftmaxParams.
    """

    input_multiplier: int
    input_left_shift: int
    diff_min: int

    op: ClassVar[str] = "softmax"


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantize(Node):
    """float32 -> int8 or int16 with the output tensor's scale and zero point, or int8 -> int8 between two quantizations."""

    op: ClassVar[str] = "quantize"


@dataclass(frozen=True, kw_only=True, eq=False)
class Dequantize(Node):
    """int8 or int16 -> float32 with the input tensor's scale and zero point."""

    op: ClassVar[str] = "dequantize"


@dataclass(frozen=True, kw_only=True, eq=False)
class Transpose(Node):
    """The input with its axes in another order, `numpy.transpose(x, axes)`; the batch stays first."""

    axes: tuple[int, ...]

    op: ClassVar[str] = "transpose"


@dataclass(frozen=True, kw_only=True, eq=False)
class Discretize(Node):
    """float32 -> int8 or int16: y = low + the number of thresholds that x is not below.

    `thresholds` are float32 (channels, levels - 1), each row rising: a row for each index along `axis`, or one for all.
    """

    thresholds: Float32Array
    low: int
    axis: int = 1

    op: ClassVar[str] = "discretize"


@dataclass(frozen=True, kw_only=True, eq=False)
class LookUp(Node):
    """int8 -> float32: y[..., c] = table[c, sum_j (x[..., j * channels + c] + 128)]; table float32 (channels, entries).

    What leaves a layer in several slices of -128..127, because it does not fit a byte, is whole again.
    """

    table: Float32Array

    op: ClassVar[str] = "look_up"


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Nodes in an order in which each finds its inputs computed; one input, one or more outputs."""

    name: str
    tensors: Mapping[str, Tensor]
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates for one inference."""
        return sum(node.macs(self) for node in self.nodes)

    def is_wide(self, node: Node) -> bool:
        """Whether a node reads, gives or multiplies by numbers of 16 bits: its sums then have 64."""
        if isinstance(node, Conv2D | DepthwiseConv2D | FullyConnected) and node.weights.dtype == np.int16:
            return True
        return any(self.tensors[name].doubled for name in (*node.inputs, node.output))

    def consumers(self, tensor: str) -> tuple[Node, ...]:
        """The nodes that read `tensor`."""
        return tuple(node for node in self.nodes if tensor in node.inputs)

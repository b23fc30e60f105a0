"""The sum of two activations: TensorFlow Lite's addition, where it gives the executor's very values.

Both operands are whole numbers of a byte, so there are 65,536 pairs at most: all of them are computed in the executor's float32
arithmetic and in the integer graph's, and compared. Scales that are powers of two and the rounding mode HALF_UP always agree.
"""

import numpy as np

from ...sim.errors import ModelError
from ...sim.golden import add
from ..ir import Add
from .qonnx_builder import Builder, as_channels_last, channels_last, natural_index
from .qonnx_quantizers import Quantizer
from .qonnx_reader import StoredNode
from .qonnx_values import Joined, Quantized, Value, composed
from .scaling import add_scaling


def join(node: StoredNode, left: Value | None, right: Value | None) -> Joined:
    """The sum of two activations, which waits for its quantizer. Raises ModelError."""
    if node.op != "Add":
        raise ModelError("it joins two activations, and the integer graph can only add them: use an addition")
    if not isinstance(left, Quantized) or not isinstance(right, Quantized):
        raise ModelError("it adds two activations, and one of them is not quantized: put a quantizer before it")
    if left.shape != right.shape or len(left.shape) not in (2, 4):
        raise ModelError(
            f"it adds activations of the shapes {left.shape} and {right.shape}: give both one shape, of 2 or 4 axes"
        )
    return Joined(left=left, right=right, shape=left.shape, name=node.name or node.outputs[0])


def added(builder: Builder, x: Joined, quantizer: Quantizer, output: str) -> Quantized:
    """The sum behind its quantizer. Raises ModelError where an addition of integers differs for some pair."""
    function = composed(x.functions)
    if function(np.zeros((1, 1), np.float32)).shape[1] > 1:
        raise ModelError("what it adds has constants of each channel behind it: put a quantizer between")
    a, b = np.meshgrid(x.left.whole, x.right.whole, indexing="ij")
    with np.errstate(all="ignore"):
        real = a.astype(np.float32) * x.left.scale + b.astype(np.float32) * x.right.scale
        levels = quantizer.levels(function(real.reshape(-1, 1)))[:, 0].astype(np.int64)
    scaling = add_scaling(float(x.left.scale), float(x.right.scale), float(quantizer.scale))
    fields = {
        "zero_points": (x.left.zero_point, x.right.zero_point),
        "multipliers": scaling.multipliers,
        "shifts": scaling.shifts,
        "output_multiplier": scaling.output_multiplier,
        "output_shift": scaling.output_shift,
        "low": int(levels.min()),
        "high": int(levels.max()),
    }
    whole = (a + x.left.zero_point).astype(np.int8).ravel(), (b + x.right.zero_point).astype(np.int8).ravel()
    wrong = int((add(*whole, output_zero_point=quantizer.zero_point, **fields) != levels).sum())  # type: ignore[arg-type]
    if wrong or quantizer.bits == 1:
        raise ModelError(
            f"{wrong:,} of {levels.size:,} pairs of values add up to another level in integers: use scales that are powers of"
            " two and the rounding mode HALF_UP, and more than one bit"
        )
    tensors = tuple(
        builder.arranged(operand.tensor, as_channels_last(operand.index), f"{x.name}_{side}")
        for side, operand in (("left", x.left), ("right", x.right))
    )
    shape = channels_last(x.shape)
    name = builder.tensor(output, shape, scale=float(quantizer.scale), zero_point=quantizer.zero_point, bits=quantizer.bits)
    builder.nodes.append(
        Add(name=builder.node_name(x.name), inputs=tensors, output=name, zero_point=quantizer.zero_point, **fields)  # type: ignore[arg-type]
    )
    return Quantized(
        tensor=name,
        shape=x.shape,
        index=natural_index(x.shape),
        scale=quantizer.scale,
        zero_point=quantizer.zero_point,
        low=quantizer.low,
        high=quantizer.high,
        bits=quantizer.bits,
    )

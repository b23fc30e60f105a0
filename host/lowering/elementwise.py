"""Layers that add two tensors, on the vector unit."""

from dataclasses import replace

import numpy as np

from ...hw.config import FabricConfig
from ...hw.isa import ADD_SHIFT_BITS, FIRST_LOG2, Operation
from ..ir import Add, Graph
from .layer import Layer, Unsupported
from .sums import check_shifts, uniform

_MAX_ADD_SHIFT = (1 << ADD_SHIFT_BITS) - 1
_HALF = 1 << 30, 0  # multiplier and shift that make an operand, which is widened by 20 bits, count 2**FIRST_LOG2


def add(node: Add, graph: Graph, config: FabricConfig) -> Layer:
    """The vector unit multiplies the second operand; the first one counts exactly one half."""
    shapes = [graph.tensors[name].shape for name in node.inputs]
    if len(shapes) != 2 or shapes[0] != shapes[1]:
        raise Unsupported(
            f"its operands have the shapes {' and '.join(str(shape) for shape in shapes)}, the fabric adds equal ones",
            "expand the smaller operand",
        )
    scales = list(zip(node.multipliers, node.shifts, strict=True))
    if _HALF not in scales:
        raise Unsupported(
            "neither of its operands is scaled by exactly 1/2, the fabric multiplies only one of them",
            "scale the sum to twice the larger of its operands' scales, as TensorFlow Lite's converter does",
        )
    if scales[0] == _HALF:
        ordered = node
    else:
        ordered = replace(
            node,
            inputs=node.inputs[::-1],
            zero_points=node.zero_points[::-1],
            multipliers=node.multipliers[::-1],
            shifts=node.shifts[::-1],
        )
    for shift in node.shifts:
        if not -_MAX_ADD_SHIFT <= shift <= 0:
            raise Unsupported(
                f"an operand's scale needs a shift of {shift}, the fabric has 0 to -{_MAX_ADD_SHIFT}",
                "quantize the model on data that uses both operands' ranges",
            )
    size = graph.tensors[node.output].size
    check_shifts(np.array([node.output_shift]), np.array([node.output_multiplier]))
    return Layer(
        node=node,
        operation=Operation.ADD,
        inputs=ordered.inputs,
        output=node.output,
        output_channels=size,
        chunks=1,
        kernel_rows=2,
        tiles=-(-size // config.cols),
        diagonal=True,
        repeat=True,
        column_limit=size,
        row_limit=2,
        wide=True,
        channels=uniform(
            config.cols,
            bias=-(ordered.zero_points[0] << FIRST_LOG2),
            multiplier=node.output_multiplier,
            shift=node.output_shift,
        ),
        zero_point=node.zero_point,
        low=node.low,
        high=node.high,
        add=ordered,
    )

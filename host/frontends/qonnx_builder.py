"""The integer graph as it grows: its tensors and nodes, and where ONNX' elements lie in them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import permutations
from math import prod
from typing import Any

import numpy as np

from ...sim.errors import ModelError
from ..ir import Node, Reshape, Tensor, Transpose
from .qonnx_values import Int64Array, Shape


@dataclass(kw_only=True)
class Builder:
    """Takes tensors and nodes; `unproven` counts thresholds that lie within the rounding error of the executor's sums."""

    input: str
    input_shape: Shape
    tensors: dict[str, Tensor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    unproven: int = 0
    thresholds: int = 0

    def name(self, wanted: str) -> str:
        """A tensor's name that is not taken yet."""
        found, number = wanted, 1
        while found in self.tensors:
            number += 1
            found = f"{wanted}:{number}"
        return found

    def node_name(self, wanted: str) -> str:
        """A node's name that is not taken yet."""
        taken = {node.name for node in self.nodes}
        found, number = wanted, 1
        while found in taken:
            number += 1
            found = f"{wanted}:{number}"
        return found

    def tensor(self, wanted: str, shape: Shape, **fields: Any) -> str:
        """A new tensor's name."""
        name = self.name(wanted)
        self.tensors[name] = Tensor(name=name, shape=shape, **fields)
        return name

    def like(self, name: str, wanted: str, shape: Shape) -> str:
        """A new tensor of another shape that holds what `name` holds."""
        twin = self.name(wanted)
        self.tensors[twin] = replace(self.tensors[name], name=twin, shape=shape)
        return twin

    def arranged(self, tensor: str, index: Int64Array, label: str) -> str:
        """A tensor of index.shape whose elements lie as `index` says: the very one, reshaped, or transposed."""
        if (np.diff(index.ravel()) == 1).all():
            return self._reshaped(tensor, index.shape, label)
        source = self.tensors[tensor].shape
        whole = np.arange(prod(source)).reshape(source)
        for order in _orders(len(source)):
            if (whole.transpose(order).ravel() == index.ravel()).all():
                return self._reshaped(self._transposed(tensor, order, label), index.shape, label)
        for order in _orders(index.ndim):
            if (np.diff(index.transpose(order).ravel()) == 1).all():
                back = tuple(int(axis) for axis in np.argsort(order))
                return self._transposed(self._reshaped(tensor, index.transpose(order).shape, label), back, label)
        raise ModelError("its input's elements come in an order that no transposition makes: reshape it once, and do not mix")

    def _reshaped(self, tensor: str, shape: Shape, label: str) -> str:
        if self.tensors[tensor].shape == shape:
            return tensor
        output = self.like(tensor, f"{label}_reshaped", shape)
        self.nodes.append(Reshape(name=self.node_name(f"{label}_reshape"), inputs=(tensor,), output=output, shape=shape))
        return output

    def _transposed(self, tensor: str, axes: tuple[int, ...], label: str) -> str:
        shape = tuple(self.tensors[tensor].shape[axis] for axis in axes)
        output = self.like(tensor, f"{label}_transposed", shape)
        self.nodes.append(Transpose(name=self.node_name(f"{label}_transpose"), inputs=(tensor,), output=output, axes=axes))
        return output


def _orders(rank: int) -> Iterator[tuple[int, ...]]:
    """All orders of so many axes that leave the batch first."""
    return ((0, *axes) for axes in permutations(range(1, rank)))


def channels_last(shape: Shape) -> Shape:
    """The shape in the integer graph."""
    return (shape[0], *shape[2:], shape[1]) if len(shape) > 2 else shape


def channels_second(shape: Shape) -> Shape:
    """The shape in ONNX."""
    return (shape[0], shape[-1], *shape[1:-1]) if len(shape) > 2 else shape


def natural_index(shape: Shape) -> Int64Array:
    """Where the elements of ONNX' shape lie in a tensor with channels last."""
    last = np.arange(prod(shape), dtype=np.int64).reshape(channels_last(shape))
    return np.moveaxis(last, -1, 1) if len(shape) > 2 else last


def as_channels_last(index: Int64Array) -> Int64Array:
    """The index of the same elements with channels last."""
    return np.moveaxis(index, 1, -1) if index.ndim > 2 else index

"""Binary networks for tests, as graphs: layers of -1 and +1 between a first and a last one of int8.

graph = Binary(seed, (8, 8, 3)).first(16).conv(24, padding=1).pool().conv(16, stride=2).flat().fc(40).last(10)
"""

from dataclasses import replace

import numpy as np
from celosia.host.ir import Add, Conv2D, FullyConnected, Graph, MaxPool2D, Requant, Reshape, Tensor
from celosia.sim.golden.windows import output_size


def sign(outputs):
    """The requantization clip(2 * sum + 1, -1, 1)."""
    return Requant(
        multiplier=np.full(outputs, 1 << 30, np.int32), shift=np.full(outputs, 2, np.int32), zero_point=1, low=-1, high=1
    )


class Binary:
    """Grows a network; `last` gives its graph, as `graph` does without a last layer of int8."""

    def __init__(self, seed, shape, *, bits=8):
        self._rng = np.random.default_rng(seed)
        self._tensors = [Tensor(name="x", shape=(1, *shape), bits=bits)]
        self._nodes = []

    @property
    def _source(self):
        return self._tensors[-1]

    def _add(self, kind, size, *, bits, **values):
        name = f"{kind.op}_{len(self._nodes)}"
        self._nodes.append(kind(name=name, inputs=(self._source.name,), output=f"{name}_out", **values))
        self._tensors.append(Tensor(name=f"{name}_out", shape=size, bits=bits))
        return self

    def _signs(self, *shape):
        return self._rng.choice(np.array([-1, 1], np.int8), shape)

    def _conv(self, weights, bias, *, stride=1, padding=0, dilation=(1, 1), requant, bits):
        padding = ((padding, padding),) * 2 if isinstance(padding, int) else padding
        _, height, width, _ = self._source.shape
        rows, columns = (
            output_size(size, kernel, stride, step, before)
            for size, kernel, step, before in zip((height, width), weights.shape[1:3], dilation, padding, strict=True)
        )
        return self._add(
            Conv2D,
            (1, rows, columns, len(weights)),
            bits=bits,
            weights=weights,
            bias=bias.astype(np.int32),
            input_zero_point=0,
            requant=requant,
            stride=(stride, stride),
            dilation=dilation,
            padding=padding,
        )

    def first(self, outputs, kernel=(3, 3), **options):
        """A convolution of int8, whose results are signs."""
        weights = self._rng.integers(-30, 31, (outputs, *kernel, self._source.shape[3]), dtype=np.int8)
        return self._conv(weights, self._rng.integers(-2000, 2000, outputs), requant=sign(outputs), bits=1, **options)

    def conv(self, outputs, kernel=(3, 3), **options):
        """A binary convolution; two thresholds that no sum reaches or all do."""
        weights = self._signs(outputs, *kernel, self._source.shape[3])
        spread = int(weights[0].size ** 0.5) + 1
        bias = self._rng.integers(-spread, spread, outputs)
        bias[:2] = 1 << 20, -(1 << 20)
        return self._conv(weights, bias, requant=sign(outputs), bits=1, **options)

    def pool(self, kernel=2, stride=2, padding=((0, 0), (0, 0))):
        """Max pooling of bits."""
        _, height, width, channels = self._source.shape
        rows, columns = (output_size(n, kernel, stride, 1, p) for n, p in zip((height, width), padding, strict=True))
        return self._add(
            MaxPool2D,
            (1, rows, columns, channels),
            bits=self._source.bits,
            kernel=(kernel, kernel),
            stride=(stride, stride),
            padding=padding,
        )

    def flat(self):
        """A reshape to one row."""
        shape = (1, self._source.size)
        return self._add(Reshape, shape, bits=self._source.bits, shape=shape)

    def fc(self, outputs):
        """A binary fully-connected layer."""
        weights = self._signs(outputs, self._source.shape[-1])
        bias = self._rng.integers(-9, 9, outputs).astype(np.int32)
        shape = (1, outputs)
        return self._add(FullyConnected, shape, bits=1, weights=weights, bias=bias, input_zero_point=0, requant=sign(outputs))

    def last(self, outputs):
        """A fully-connected layer of int8, to int8."""
        weights = self._rng.integers(-100, 101, (outputs, self._source.shape[-1]), dtype=np.int8)
        scale = Requant(multiplier=np.full(outputs, 1 << 30, np.int32), shift=np.full(outputs, -4, np.int32), zero_point=3)
        bias = self._rng.integers(-500, 500, outputs).astype(np.int32)
        self._add(FullyConnected, (1, outputs), bits=8, weights=weights, bias=bias, input_zero_point=0, requant=scale)
        return self.graph()

    def graph(self):
        """What has grown."""
        tensors = {tensor.name: tensor for tensor in self._tensors}
        return Graph(name="binary", tensors=tensors, nodes=tuple(self._nodes), inputs=("x",), outputs=(self._source.name,))


def summed(graph):
    """A graph of two nodes with the sum of their outputs as its own: a reader of both that takes bytes."""
    first, second = (node.output for node in graph.nodes)
    both = Add(
        name="sum",
        inputs=(first, second),
        output="total",
        zero_points=(0, 0),
        multipliers=(1 << 30, 1 << 30),
        shifts=(0, 0),
        output_multiplier=1 << 30,
        output_shift=-18,
        zero_point=0,
    )
    tensors = {**graph.tensors, "total": replace(graph.tensors[first], name="total", bits=8)}
    return replace(graph, nodes=(*graph.nodes, both), tensors=tensors, outputs=("total",))


def samples(graph, count, seed=0):
    """Inputs of a graph."""
    rng = np.random.default_rng(seed)
    tensor = graph.tensors["x"]
    shape = (count, *tensor.shape[1:])
    if tensor.bits == 1:
        return rng.choice(np.array([-1, 1], np.int8), shape)
    return rng.integers(-128, 128, shape, dtype=np.int8)

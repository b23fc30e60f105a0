"""Which tensors become bits: those that all of their readers take so, and only beside an XNOR engine."""

from dataclasses import replace

import numpy as np
import pytest
from binary_networks import Binary, summed
from celosia.host.lowering import lower
from celosia.host.passes.pack_bits import is_binary, pack_bits
from celosia.host.placement import place
from celosia.hw.mac.cell import pack
from celosia.hw.presets import preset
from celosia.sim import golden

FABRIC = preset("mini,rows=8,cols=8,requant_lanes=8,xnor_pixels=2")
MIXED = Binary(1, (7, 9, 3)).first(16).conv(24, padding=1).pool().conv(16, padding=1).flat().fc(40).last(10)


def packed(graph, config=FABRIC):
    return [name for name, tensor in pack_bits(graph, config).tensors.items() if tensor.packed]


def changed(graph, index, **values):
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **values)
    return replace(graph, nodes=tuple(nodes))


def test_between_binary_layers():
    """All but the input, what the last layer reads, and its output; a tensor takes an eighth."""
    names = [node.output for node in MIXED.nodes]
    assert packed(MIXED) == names[:-2]
    graph = pack_bits(MIXED, FABRIC)
    assert graph.tensors[names[0]].stored_bytes * 8 == graph.tensors[names[0]].size
    assert pack_bits(graph, FABRIC) is graph
    assert packed(graph, preset("mini")) == []
    assert pack_bits(MIXED, preset("mini")) is MIXED


def test_a_reader_that_takes_bytes():
    """A sum of two maps of bits; the convolution that reads one of them goes to the array."""
    graph = summed(Binary(3, (4, 4, 8), bits=1).conv(8, padding=1).conv(8, padding=1).graph())
    assert packed(graph) == ["x"]
    assert [placement.engine for placement in place(graph, FABRIC)] == ["xnor", "mac", "vector"]


def test_bytes_all_the_way_to_the_pool():
    """Pooling gives what it takes: before a layer of other weights its map, and so its own input, is of bytes."""
    graph = Binary(4, (6, 6, 8), bits=1).conv(8).pool().flat().last(8)
    assert packed(graph) == ["x"]


@pytest.mark.parametrize(
    "change",
    [
        lambda conv: {"weights": np.where(np.arange(conv.weights.size).reshape(conv.weights.shape) == 5, 0, conv.weights)},
        lambda conv: {"weights": np.where(np.arange(conv.weights.size).reshape(conv.weights.shape) == 5, 2, conv.weights)},
        lambda conv: {"input_zero_point": 1},
        lambda conv: {"dilation": (1, 2)},
        lambda conv: {"stride": (1, 2048)},
        lambda conv: {"requant": replace(conv.requant, low=-128)},
        lambda conv: {"requant": replace(conv.requant, zero_point=0)},
        lambda conv: {"requant": replace(conv.requant, shift=conv.requant.shift + (np.arange(16) == 3))},
        lambda conv: {"weights": conv.weights[..., :8]},
    ],
)
def test_what_is_not_binary(change):
    graph = Binary(5, (9, 9, 16), bits=1).conv(16).graph()
    assert is_binary(graph.nodes[0], graph)
    other = changed(graph, 0, **change(graph.nodes[0]))
    assert not is_binary(other.nodes[0], other)
    assert "x" not in packed(other)


def test_a_sum_that_is_too_long():
    """The accumulators hold 2**15 - 1 products."""
    for depth, fits in ((32760, True), (32768, False)):
        graph = Binary(6, (depth,), bits=1).fc(8).graph()
        assert is_binary(graph.nodes[0], graph) == fits


def test_words_of_weights():
    """What the banks make of a layer's words: each output's bits, two bytes a column of the array."""
    graph = pack_bits(Binary(7, (3, 3, 24), bits=1).conv(24, (2, 2)).graph(), FABRIC)
    (conv,) = graph.nodes
    layer = lower(conv, graph, FABRIC)
    rows = FABRIC.rows
    assert (layer.chunks, layer.kernel_columns, layer.kernel_rows, layer.tiles) == (3, 1, 2, 1)
    bits = golden.pack_bits(conv.weights.reshape(24, 2, -1))  # 48 of them a kernel row: six bytes
    words = layer.weights.reshape(2, 3, rows, rows)
    for kernel_row in range(2):
        for output in range(24):
            own = words[kernel_row, output // rows, output % rows]
            banks = [pack(int(own[2 * pair]), int(own[2 * pair + 1])) for pair in range(rows // 2)]
            found = [byte for word in banks for byte in (word & 0xFF, word >> 10 & 0xFF)]
            assert found == [*bits[output, kernel_row], 0, 0]


def test_weights_that_the_buffer_does_not_hold():
    """One group of tiles is what the engine works on."""
    graph = Binary(8, (7, 7, 64), bits=1).conv(128).graph()
    (placement,) = place(graph, replace(FABRIC, weight_depth=40))
    assert placement.engine == "cpu"
    assert "16 tiles of its outputs take 144 words of weights" in placement.reason
    assert "weight_depth" in placement.advice

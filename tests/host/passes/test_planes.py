"""Which tensors become planes of bits: those that all of their readers take so, in fewer cycles than the array would."""

from dataclasses import replace

import numpy as np
import pytest
from binary_networks import summed
from celosia.host.lowering import lower
from celosia.host.lowering.serial import planes_of
from celosia.host.passes.pack_bits import pack_bits
from celosia.host.placement import place
from celosia.hw.isa import Operation
from celosia.hw.mac.cell import pack
from celosia.hw.presets import preset
from few_bit_networks import Few

FABRIC = preset("mini,rows=8,cols=8,requant_lanes=8,xnor_pixels=4")


def grown(bits=2, weights=2, channels=64):
    """A map of few bits and a layer that reads it."""
    return Few(1, (6, 5, 4)).first(channels, (1, 1), bits=bits).conv(16, weights=weights, bits=8)


GRAPH = grown().graph()


def planes(graph, config=FABRIC):
    return {name: tensor.planes for name, tensor in pack_bits(graph, config).tensors.items() if tensor.planes}


def changed(graph, index, **values):
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **values)
    return replace(graph, nodes=tuple(nodes))


def test_between_layers_of_few_bits():
    """A plane a bit takes an eighth of the bytes; the output is what the host gets."""
    name = GRAPH.nodes[0].output
    assert planes(GRAPH) == {name: 2}
    graph = pack_bits(GRAPH, FABRIC)
    assert graph.tensors[name].stored_bytes * 4 == graph.tensors[name].size
    assert pack_bits(graph, FABRIC) is graph
    assert planes(grown(bits=4).graph()) == {name: 4}
    assert planes(grown(bits=3).graph()) == {name: 4}


@pytest.mark.parametrize("changes", ["xnor_pixels=0", "xnor_pixels=1", "requant_lanes=4,xnor_pixels=0"])
def test_fabrics_that_do_not(changes):
    config = preset(f"mini,rows=8,cols=8,requant_lanes=8,{changes}")
    assert planes(GRAPH, config) == {}
    assert [placement.layer.operation for placement in place(GRAPH, config)] == [Operation.MAC, Operation.MAC]


def test_more_bits_than_pixels():
    config = replace(FABRIC, xnor_pixels=2)
    assert planes(GRAPH, config) != {}
    assert planes(grown(bits=4).graph(), config) == {}


def test_pooling_takes_bytes_and_gives_planes():
    graph = Few(1, (6, 6, 4)).first(64, (1, 1), bits=2).pool().conv(16, weights=2, bits=8).graph()
    assert planes(graph) == {graph.nodes[1].output: 2}
    flat = Few(1, (6, 6, 4)).first(64, (1, 1), bits=2).pool().flat().fc(16, weights=2, bits=8).graph()
    assert planes(flat) == {node.output: 2 for node in flat.nodes[1:3]}


@pytest.mark.parametrize(
    "change",
    [
        lambda conv: {"input_zero_point": 1},
        lambda conv: {"weights": conv.weights[..., :8]},
        lambda conv: {"dilation": (1, 2)},
        lambda conv: {"stride": (1, 256)},
    ],
)
def test_what_the_engine_does_not_do(change):
    graph = changed(GRAPH, 1, **change(GRAPH.nodes[1]))
    assert planes(graph) == {}
    assert "xnor" not in [placement.engine for placement in place(graph, FABRIC)]


def test_what_the_array_does_faster():
    """Numbers of 4 bits times weights of 8 take 32 binary products each."""
    assert planes(grown(bits=4, weights=8).graph()) == {}


@pytest.mark.parametrize("limits", [{"low": -1}, {"high": 16}])
def test_numbers_of_more_bits_or_less_than_zero(limits):
    first = GRAPH.nodes[0]
    assert planes(changed(GRAPH, 0, requant=replace(first.requant, **limits))) == {}


def test_channels_not_by_eights():
    assert planes(grown(channels=60).graph()) == {}


def test_a_reader_that_takes_bytes():
    """The sum's other operand is the layer's own."""
    graph = Few(3, (4, 4, 4)).first(64, (1, 1), bits=2).conv(64, (1, 1), weights=2, bits=2).graph()
    assert planes(summed(graph)) == {}


def test_weights_that_the_buffer_does_not_hold():
    """The array takes the layer."""
    config = replace(FABRIC, weight_depth=16)
    assert planes(GRAPH) != {}
    assert planes(GRAPH, config) == {}


@pytest.mark.parametrize(
    ("values", "expected"), [([0], 2), ([-1, 1], 2), ([-2, 1], 2), ([2], 3), ([-4, 3], 3), ([-5], 4), ([7], 4), ([127], 8)]
)
def test_bits_of_weights(values, expected):
    assert planes_of(np.array(values, np.int8)) == expected


def test_words_of_weights():
    """What the banks make of a layer's words: by plane, each output's bits, two bytes a column, the sign's bit inverted."""
    graph = pack_bits(Few(7, (3, 3, 4)).first(64, (1, 1), bits=2).conv(12, (2, 2), weights=3, bits=8).graph(), FABRIC)
    conv = graph.nodes[1]
    layer = lower(conv, graph, FABRIC)
    rows = FABRIC.rows
    assert (layer.chunks, layer.kernel_columns, layer.kernel_rows, layer.tiles) == (4, 2, 2, 2)
    words = layer.weights.reshape(2, 2, 2, 4, rows, rows)
    numbers = conv.weights.reshape(12, 2, 2, 64).astype(int) + 4
    for tile, kernel_row, chunk, turn, row in np.ndindex(words.shape[:-1]):
        own, output = words[tile, kernel_row, chunk, turn, row], tile * rows + row
        banks = [pack(int(own[2 * pair]), int(own[2 * pair + 1])) for pair in range(rows // 2)]
        found = np.unpackbits(np.array([byte for word in banks for byte in (word & 0xFF, word >> 10 & 0xFF)], np.uint8),
                              bitorder="little")  # fmt: skip
        expected = numbers[output, kernel_row, chunk] >> turn & 1 if output < 12 and turn < 3 else np.zeros(64, int)
        assert found.tolist() == expected.tolist()

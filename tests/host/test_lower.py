"""Layers, walked by plain loops over NumPy arrays, give what the golden models give: node by node, on three arrays."""

from dataclasses import replace

import networks
import numpy as np
import pytest
import zoo
from celosia.host import reference
from celosia.host.frontends import tflite
from celosia.host.ir import (
    Add,
    AveragePool2D,
    Conv2D,
    FullyConnected,
    Graph,
    MaxPool2D,
    Mean,
    Requant,
    Reshape,
    Softmax,
    Tensor,
)
from celosia.host.lowering import Unsupported, lower, lower_transposed
from celosia.host.lowering.windows import reciprocal
from celosia.host.passes import simplify
from celosia.hw.isa import FIRST_LOG2, MAX_OFFSET, Operation
from celosia.hw.presets import preset
from celosia.sim import golden
from hypothesis import given
from hypothesis import strategies as st

FABRICS = [preset(name) for name in ("mini", "ecp5-45", "ecp5-85")]
NO_UNIT = preset("mini,depthwise_tiles=0")
ROOMY = preset("mini,activation_bytes=1048576")


def run_layer(layer, inputs, config):
    """The layer's output, int8 (n,), by the loops that its fields name. Bytes that nothing writes are None."""
    cols = config.cols
    values = [np.asarray(value).reshape(-1) for value in inputs]
    output = np.full(_output_size(layer), None)
    walks = {Operation.MAC: _mac, Operation.DEPTHWISE: _depthwise, Operation.MAX: _max, Operation.ADD: _add}
    sums = list(walks[layer.operation](layer, values, config))
    channels = layer.channels
    for tile in range(layer.tiles):
        part = slice(0, cols) if layer.repeat else slice(tile * cols, (tile + 1) * cols)
        shift, bias, multiplier = channels.shift[part], channels.bias[part], channels.multiplier[part]
        limits = (layer.zero_point, layer.low, layer.high)
        if layer.average:
            magnitude = ((np.abs(sums[tile]) + bias) * multiplier.astype(object)) >> (31 - shift.astype(object))
            result = golden.saturate((np.sign(sums[tile]) * magnitude.astype(np.int64)).astype(np.int32), *limits)
        else:
            total = (sums[tile] + bias + 2**31) % 2**32 - 2**31
            result = (golden.requantize_once if layer.round_once else golden.requantize)(total, multiplier, shift, *limits)
        lanes = min(cols, layer.output_channels - tile * cols)
        for (row, column), _ in np.ndenumerate(result[..., 0]):
            at = row * layer.write_row_stride + column * layer.write_column_stride + tile * cols
            assert all(byte is None for byte in output[at : at + lanes]), "a byte is written twice"
            output[at : at + lanes] = result[row, column, :lanes]
    return output


def _output_size(layer):
    rows, columns = (layer.window.rows, layer.window.columns) if layer.window else (layer.output_rows, layer.output_columns)
    return rows * columns * layer.output_channels


def _grid(layer, config, tile):
    """Byte columns and rows of a tile's steps: (out row, out column, kernel row, kernel column, chunk, lane)."""
    shape = (layer.output_rows, layer.output_columns, layer.kernel_rows, layer.kernel_columns, layer.chunks, config.rows)
    out_row, out_column, kernel_row, kernel_column, chunk, lane = np.ogrid[tuple(slice(size) for size in shape)]
    column = layer.column_start + (tile * config.cols if layer.diagonal else 0) + chunk * config.rows + lane
    column = column + out_column * layer.output_column_stride + kernel_column * layer.kernel_column_stride
    row = layer.row_start + out_row * layer.output_row_step + kernel_row * layer.kernel_row_step
    return np.broadcast_to(row, shape), np.broadcast_to(column, shape)


def _read(layer, values, row, column):
    inside = (row >= 0) & (row < layer.row_limit) & (column >= 0) & (column < layer.column_limit)
    address = np.where(inside, row * layer.row_pitch + column, 0)
    return np.where(inside, values[address].astype(np.int64), layer.pad_value)


def _mac(layer, values, config):
    results = (layer.output_rows, layer.output_columns)
    for tile in range(layer.tiles):
        words = _read(layer, values[0], *_grid(layer, config, tile)).reshape(*results, layer.steps, config.rows)
        if layer.repeat:
            yield (words @ layer.weights[0, 0].astype(np.int64)).sum(axis=2)
        else:
            yield np.einsum("yxsr,src->yxc", words, layer.weights[tile].astype(np.int64))


def _max(layer, values, config):
    results = (layer.output_rows, layer.output_columns)
    for tile in range(layer.tiles):
        words = _read(layer, values[0], *_grid(layer, config, tile)).reshape(*results, layer.steps, config.rows)
        yield words.max(axis=2) + MAX_OFFSET


def _add(layer, values, config):
    left, right = (np.pad(value, (0, layer.tiles * config.cols - value.size)).astype(np.int32) for value in values)
    add = layer.add
    scaled = golden.multiply_by_quantized_multiplier((right - add.zero_points[1]) << 20, add.multipliers[1], add.shifts[1])
    yield from ((left << FIRST_LOG2) + scaled).astype(np.int64).reshape(layer.tiles, 1, 1, config.cols)


def _depthwise(layer, values, config):
    """The walk gives the unit the whole map of a tile in raster order; its window takes the centres."""
    window = layer.window
    for tile in range(layer.tiles):
        image = _read(layer, values[0], *_grid(layer, config, tile)).reshape(
            layer.output_rows, layer.output_columns, config.rows
        )
        padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), constant_values=layer.pad_value)
        taps = window.entries(tile, tile + 1, config.cols)[0].astype(np.int64)
        places = [
            (window.row + y * window.stride, window.column + x * window.stride)
            for y in range(window.rows)
            for x in range(window.columns)
        ]
        sums = [(padded[y : y + 3, x : x + 3].reshape(9, -1) * taps).sum(axis=0) for y, x in places]
        yield np.array(sums).reshape(window.rows, window.columns, config.cols)


def check_node(node, graph, config, rng):
    """Every way to run a node gives the golden answer to noise; gives the layer, or None where the fabric has no way."""
    inputs = [rng.integers(-128, 128, graph.tensors[name].shape).astype(np.int8) for name in node.inputs]
    try:
        layer = lower(node, graph, config)
    except Unsupported:
        return None
    expected = reference.evaluate(node, inputs, graph).reshape(-1).tolist()
    prepared = [list(run_layer(layer, [inputs[node.inputs.index(name)] for name in layer.inputs], config))]
    turned = lower_transposed(node, graph, config)
    if turned is not None:
        assert turned.steps < layer.steps
        prepared.append(list(run_layer(turned, [inputs[0].transpose(0, 2, 1, 3)], config)))
    for result in prepared:
        assert result == expected, f"{node.op} {node.name} on {config.name}"
    return layer


def graph_of(model):
    return simplify(tflite.parse(model))


def kinds(layer):
    """What a layer is, for counting what was met."""
    return {
        layer.operation.name,
        *(name for name in ("diagonal", "repeat", "average", "round_once") if getattr(layer, name)),
        *(["padded"] if layer.column_start < 0 or layer.row_start < 0 else []),
    }


@pytest.mark.parametrize("config", FABRICS, ids=lambda config: config.name)
def test_every_node_of_random_networks(config):
    met = set()
    for seed in range(60):
        graph = graph_of(networks.random_network(seed, size="tiny"))
        for node in graph.nodes:
            layer = check_node(node, graph, config, np.random.default_rng(seed))
            met |= {type(node).__name__} | (kinds(layer) if layer else {"refused"})
    wanted = {"MAC", "MAX", "ADD", "DEPTHWISE", "diagonal", "repeat", "average", "round_once", "padded", "refused"}
    assert wanted <= met, f"the networks miss {wanted - met}"


@pytest.mark.parametrize("name", ["lenet", "temporal", "keyword_1d"])
def test_every_node_of_familiar_networks(name):
    graph = graph_of(zoo.MODELS[name]())
    for node in graph.nodes:
        layer = check_node(node, graph, ROOMY, np.random.default_rng(1))
        assert (layer is None) == isinstance(node, (Softmax, Reshape)), node.name


WINDOWS = [
    ("conv", {"kernel": (3, 3)}),
    ("conv", {"kernel": (11, 11), "stride": (4, 4)}),
    ("conv", {"kernel": (11, 11), "padding": "VALID"}),
    ("conv", {"kernel": (3, 3), "dilation": (2, 3)}),
    ("conv", {"kernel": (1, 3), "dilation": (1, 4)}),
    ("conv", {"kernel": (3, 1), "dilation": (4, 1), "stride": (1, 1)}),
    ("conv", {"kernel": (2, 5), "stride": (3, 2)}),
    ("conv", {"kernel": (10, 4), "stride": (2, 2)}),
    ("conv", {"kernel": (3, 3), "groups": 3}),
    ("depthwise", {"kernel": (3, 3)}),
    ("depthwise", {"kernel": (3, 3), "stride": (2, 2)}),
    ("depthwise", {"kernel": (3, 3), "padding": "VALID"}),
    ("depthwise", {"kernel": (2, 2)}),
    ("depthwise", {"kernel": (2, 3), "padding": "VALID"}),
    ("depthwise", {"kernel": (1, 1)}),
    ("depthwise", {"kernel": (3, 1)}),
    ("depthwise", {"kernel": (3, 3), "stride": (2, 1)}),
    ("depthwise", {"kernel": (5, 5)}),
    ("depthwise", {"kernel": (3, 3), "dilation": (2, 2)}),
    ("depthwise", {"kernel": (3, 3), "depth_multiplier": 3}),
]


@pytest.mark.parametrize("config", [*FABRICS, NO_UNIT], ids=lambda config: config.name)
@pytest.mark.parametrize(("kind", "options"), WINDOWS, ids=str)
@pytest.mark.parametrize("shape", [(1, 12, 13, 9), (1, 11, 11, 3)], ids=str)
def test_windows(kind, options, shape, config):
    if options.get("groups") and kind == "conv":
        model = networks.conv(1, shape, 6, **options)
    else:
        model = networks.conv(1, shape, 7, **options) if kind == "conv" else networks.depthwise(1, shape, **options)
    graph = graph_of(model)
    (node,) = graph.nodes
    assert check_node(node, graph, config, np.random.default_rng(2)) is not None


@pytest.mark.parametrize("shape", [(1, 1, 50, 3), (1, 50, 1, 3), (1, 1, 1, 20), (1, 2, 2, 1), (1, 3, 3, 1)], ids=str)
@pytest.mark.parametrize("kernel", [(1, 1), (3, 1), (1, 3), (9, 9)], ids=str)
def test_narrow_maps(shape, kernel):
    for model in (networks.conv(1, shape, 5, kernel), networks.depthwise(1, shape, kernel)):
        graph = graph_of(model)
        assert check_node(graph.nodes[0], graph, FABRICS[0], np.random.default_rng(3)) is not None


def test_depthwise_takes_its_unit_where_it_fits():
    def operation(shape, config=FABRICS[0], **options):
        graph = graph_of(networks.depthwise(1, shape, **options))
        return lower(graph.nodes[0], graph, config).operation

    assert operation((1, 8, 8, 8)) is Operation.DEPTHWISE
    assert operation((1, 8, 8, 8), stride=(2, 2)) is Operation.DEPTHWISE
    assert operation((1, 8, 8, 8), kernel=(5, 5)) is Operation.MAC
    assert operation((1, 8, 8, 8), stride=(2, 1)) is Operation.MAC
    assert operation((1, 8, 8, 8), dilation=(2, 2)) is Operation.MAC
    assert operation((1, 8, 8, 4), depth_multiplier=2) is Operation.MAC
    assert operation((1, 8, 8, 8), NO_UNIT) is Operation.MAC
    assert operation((1, 2, FABRICS[0].line_depth, 1)) is Operation.DEPTHWISE
    assert operation((1, 2, FABRICS[0].line_depth + 1, 1)) is Operation.MAC
    # Its last result must come when no step is on its way any more.
    assert operation((1, 8, 40, 8), padding="VALID") is Operation.DEPTHWISE
    assert operation((1, 4, 60, 8), stride=(59, 59), padding="VALID") is Operation.MAC


def test_a_depthwise_layer_walks_the_rows_that_it_needs():
    graph = graph_of(networks.depthwise(1, (1, 9, 8, 8), (3, 3), stride=(4, 4), padding="VALID"))
    assert lower(graph.nodes[0], graph, FABRICS[0]).output_rows == 7


def test_one_column_is_walked_as_one_row():
    """A map of one column lies in memory as its transpose does: a kernel 9x1 is one run, not nine."""
    graph = graph_of(networks.conv(1, (1, 50, 1, 3), 4, (9, 1)))
    layer = lower(graph.nodes[0], graph, FABRICS[0])
    assert (layer.kernel_rows, layer.kernel_columns, layer.chunks) == (1, 1, 7)


def test_a_tall_kernel_over_few_channels_is_turned():
    graph = graph_of(networks.conv(1, (1, 49, 10, 1), 8, (10, 4), stride=(2, 2)))
    assert lower(graph.nodes[0], graph, FABRICS[2]).steps == 10
    assert lower_transposed(graph.nodes[0], graph, FABRICS[2]).steps == 4
    graph = graph_of(networks.conv(1, (1, 10, 10, 8), 8, (3, 3)))
    assert lower_transposed(graph.nodes[0], graph, FABRICS[2]) is None


@pytest.mark.parametrize(
    ("shape", "channels", "options", "neighbours"),
    [
        ((1, 8, 12, 3), 8, {"stride": (2, 2)}, 2),  # vww01's first layer: 15 bytes of a step are two windows
        ((1, 8, 12, 3), 8, {"stride": (2, 2), "padding": "VALID"}, 1),  # five outputs a row
        ((1, 8, 13, 3), 8, {"stride": (2, 2), "padding": "VALID"}, 2),
        ((1, 7, 12, 1), 3, {}, 4),  # of five columns idle are four outputs more, but 12 outputs are no five
        ((1, 7, 12, 1), 1, {}, 12),
        ((1, 7, 12, 1), 1, {"stride": (1, 3)}, 4),
        ((1, 7, 12, 2), 24, {}, 2),  # three tiles for two
        ((1, 7, 12, 8), 8, {}, 2),  # 24 bytes are two steps, and so are 32
        ((1, 7, 12, 8), 8, {"kernel": (2, 2)}, 1),  # 16 bytes are one, 24 two
        ((1, 7, 12, 8), 8, {"kernel": (1, 1)}, 2),
        ((1, 7, 12, 1), 4, {"dilation": (1, 2)}, 1),
        ((1, 7, 12, 1), 4, {"dilation": (2, 1)}, 4),
        ((1, 7, 12, 4), 8, {"kernel": (3, 1), "dilation": (1, 2)}, 2),
        ((1, 7, 12, 16), 16, {}, 1),
    ],
)
def test_neighbours_of_a_row_are_one_pixel(shape, channels, options, neighbours):
    """Where that is fewer steps; the answers stay."""
    graph = graph_of(networks.conv(1, shape, channels, **options))
    (node,) = graph.nodes
    layer = check_node(node, graph, FABRICS[2], np.random.default_rng(1))
    assert layer.output_columns * neighbours == graph.tensors[node.output].shape[2]
    assert layer.output_channels == neighbours * channels
    assert layer.node is node


@pytest.mark.parametrize("count", [*range(1, 300), 529, 1024, 1025, 4095, 16384, 65535])
def test_reciprocal_divides_exactly(count):
    """For every sum that a window of int8 can have, at the quotients' edges, where a rounded reciprocal would go wrong."""
    multiplier, shift = reciprocal(count)
    assert 2**30 <= multiplier < 2**31
    quotients = np.arange(0, 130, dtype=np.int64)
    for offset in (-1, 0, 1, count // 2, count - 1):
        total = np.maximum(quotients * count + offset, 0)
        np.testing.assert_array_equal((total * multiplier) >> (31 - shift), total // count)


@given(st.integers(1, 1 << 20), st.data())
def test_reciprocal_keeps_its_promise(count, data):
    total = data.draw(st.integers(0, min(count << 23, 2**31 - 1)))
    multiplier, shift = reciprocal(count)
    assert (total * multiplier) >> (31 - shift) == total // count


def refusal(node, graph, config=ROOMY):
    with pytest.raises(Unsupported) as refused:
        lower(node, graph, config)
    assert refused.value.advice
    return str(refused.value)


def single(node, **tensors):
    """A graph of one node; tensors by name and shape."""
    return Graph(
        name="single",
        tensors={name: Tensor(name=name, shape=shape) for name, shape in tensors.items()},
        nodes=(node,),
        inputs=("x",),
        outputs=("y",),
    )


def requant(channels, shift=-8, multiplier=1 << 30):
    return Requant(multiplier=np.full(channels, multiplier, np.int32), shift=np.full(channels, shift, np.int32), zero_point=3)


def conv(channels=4, depth=4, *, kernel=(1, 1), weight=1, shift=-8, **options):
    return Conv2D(
        name="conv",
        inputs=("x",),
        output="y",
        weights=np.full((channels, *kernel, depth), weight, np.int8),
        bias=np.zeros(channels, np.int32),
        input_zero_point=0,
        requant=requant(channels, shift),
        **options,
    )


def test_weights_of_minus_128_are_refused_on_the_array():
    node = conv(weight=-128)
    assert "weights of -128" in refusal(node, single(node, x=(1, 4, 4, 4), y=(1, 4, 4, 4)))


@pytest.mark.parametrize("shift", [8, -32])
def test_scales_beyond_the_requantizer_are_refused(shift):
    node = conv(shift=shift)
    words = refusal(node, single(node, x=(1, 4, 4, 4), y=(1, 4, 4, 4)))
    assert f"a shift of {shift}, the requantizer has -31 to 7" in words


def test_a_factor_of_zero_has_any_shift():
    node = replace(conv(shift=0), requant=requant(4, 0, 0))
    graph = single(node, x=(1, 4, 4, 4), y=(1, 4, 4, 4))
    assert check_node(node, graph, FABRICS[0], np.random.default_rng(1)) is not None


def test_tensors_that_do_not_fit_are_refused():
    node = conv()
    graph = single(node, x=(1, 64, 64, 4), y=(1, 64, 64, 4))
    words = refusal(node, graph, FABRICS[0])
    assert words == "its input and output need 32768 bytes of activation memory, mini has 16384"
    assert lower(node, graph, preset("mini,activation_bytes=32768")) is not None


def test_maps_of_more_rows_than_the_walker_counts_are_refused():
    node = conv(1, 1, kernel=(1, 1))
    words = refusal(node, single(node, x=(1, 40_000, 2, 1), y=(1, 40_000, 2, 1)))
    assert "40000 rows, a descriptor counts to 32767" in words


def test_loops_longer_than_their_counters_are_refused():
    node = conv(1, 1)
    words = refusal(node, single(node, x=(1, 1, 70_001, 1), y=(1, 1, 70_001, 1)))
    assert words == "it has 70001 output columns, a descriptor counts to 65535"


def test_a_stride_above_255_is_refused():
    node = conv(1, 1, stride=(300, 1))
    assert "stride or dilation is above 255" in refusal(node, single(node, x=(1, 601, 2, 1), y=(1, 3, 2, 1)))


def test_windows_that_reach_beyond_the_walkers_columns_run_or_are_refused():
    """Its column register is two bits wider than an address; far padding of wide pixels must not wrap into the map."""
    config = preset("mini,activation_bytes=256")
    reach = 1 << (config.activation_address_bits + 1)  # its greatest column
    node = conv(1, 100, kernel=(1, 11), dilation=(1, 2), padding=((0, 0), (10, 10)))
    graph = single(node, x=(1, 1, 1, 100), y=(1, 1, 1, 1))
    try:
        layer = lower(node, graph, config)
    except Unsupported:
        return
    columns = np.concatenate([_grid(layer, config, tile)[1].reshape(-1) for tile in range(layer.tiles)])
    # Wrapped by the register, a column outside of the row must stay outside.
    wrapped = (columns + reach) % (2 * reach) - reach
    outside = (columns < -config.rows) | (columns >= layer.column_limit)
    lands = (wrapped > -config.rows) & (wrapped < layer.column_limit)
    assert not (outside & lands).any(), "a padded column reads the map"


def test_average_pooling_with_padding_is_refused():
    node = AveragePool2D(name="pool", inputs=("x",), output="y", kernel=(3, 3), stride=(2, 2), padding=((1, 1), (1, 1)))
    assert "divides by one count" in refusal(node, single(node, x=(1, 5, 5, 4), y=(1, 3, 3, 4)))
    uneven = replace(node, padding=((0, 1), (0, 1)))
    assert "divides by one count" in refusal(uneven, single(uneven, x=(1, 4, 4, 4), y=(1, 2, 2, 4)))
    # Padding that no window reaches does no harm.
    idle = replace(node, padding=((0, 1), (0, 0)))
    graph = single(idle, x=(1, 5, 5, 4), y=(1, 2, 2, 4))
    assert check_node(idle, graph, FABRICS[0], np.random.default_rng(1)) is not None


def test_maximum_pooling_ignores_padding():
    """Even where every element is -128, and with a clip."""
    node = MaxPool2D(
        name="pool", inputs=("x",), output="y", kernel=(3, 3), stride=(2, 2), padding=((1, 1), (1, 1)), low=-100, high=90
    )
    graph = single(node, x=(1, 5, 5, 6), y=(1, 3, 3, 6))
    layer = check_node(node, graph, FABRICS[0], np.random.default_rng(1))
    lowest = np.full((1, 5, 5, 6), -128, np.int8)
    assert set(run_layer(layer, [lowest], FABRICS[0])) == {-100}


def test_mean_over_other_axes_is_refused():
    node = Mean(
        name="mean",
        inputs=("x",),
        output="y",
        axes=(3,),
        keep_dims=True,
        input_zero_point=0,
        output_zero_point=0,
        multiplier=1 << 30,
        shift=-3,
    )
    assert "over the axes (3,)" in refusal(node, single(node, x=(1, 4, 4, 8), y=(1, 4, 4, 1)))
    negative = replace(node, axes=(-3, -2))
    graph = single(negative, x=(1, 4, 4, 8), y=(1, 1, 1, 8))
    assert lower(negative, graph, FABRICS[0]).operation is Operation.MAC


def test_sums_that_broadcast_are_refused():
    node = Add(
        name="add",
        inputs=("x", "z"),
        output="y",
        zero_points=(0, 0),
        multipliers=(1 << 30, 1 << 30),
        shifts=(0, 0),
        output_multiplier=1 << 30,
        output_shift=-19,
        zero_point=0,
    )
    words = refusal(node, single(node, x=(1, 4, 4, 8), z=(1, 1, 1, 8), y=(1, 4, 4, 8)))
    assert "shapes (1, 4, 4, 8) and (1, 1, 1, 8)" in words
    odd = replace(node, shifts=(0, 1))
    assert "a shift of 1" in refusal(odd, single(odd, x=(1, 4), z=(1, 4), y=(1, 4)))
    small = replace(node, shifts=(0, -16))
    words = refusal(small, single(small, x=(1, 4), z=(1, 4), y=(1, 4)))
    assert words == "an operand's scale needs a shift of -16, the fabric has 0 to -15"
    # Scales beside which neither operand is the larger: no product is exactly half.
    neither = replace(node, multipliers=(0x50000000, 0x40000000), shifts=(0, -1))
    words = refusal(neither, single(neither, x=(1, 4), z=(1, 4), y=(1, 4)))
    assert words == "neither of its operands is scaled by exactly 1/2, the fabric multiplies only one of them"


@pytest.mark.parametrize("halved", [0, 1, 2])
def test_sums_take_the_larger_scale_first(halved):
    """Whichever operand that is; where both have it, the first one stays."""
    scales = [[(1 << 30, 0), (0x5A5A5A5B, -3)], [(0x5A5A5A5B, 0), (1 << 30, 0)], [(1 << 30, 0)] * 2][halved]
    node = Add(
        name="add",
        inputs=("x", "z"),
        output="y",
        zero_points=(-128, 77),
        multipliers=tuple(multiplier for multiplier, _ in scales),
        shifts=tuple(shift for _, shift in scales),
        output_multiplier=0x5555AAAA,
        output_shift=-18,
        zero_point=-4,
    )
    graph = single(node, x=(1, 6, 6, 8), z=(1, 6, 6, 8), y=(1, 6, 6, 8))
    layer = check_node(node, graph, FABRICS[0], np.random.default_rng(1))
    assert layer.inputs == (("z", "x") if halved == 1 else ("x", "z"))
    assert layer.node is node


def test_what_the_fabric_has_no_unit_for_is_refused():
    node = Softmax(name="softmax", inputs=("x",), output="y", input_multiplier=1 << 30, input_left_shift=20, diff_min=-100)
    assert refusal(node, single(node, x=(1, 10), y=(1, 10))) == "the fabric has no unit for softmax"


def test_the_largest_layers_fit_a_descriptor():
    """Kernel 11x11 with stride 4 and dilation, a map of 512x512, 4,096 channels, a fully-connected layer 25,088 x 4,096."""
    huge = preset("ecp5-85,activation_bytes=8388608")
    node = conv(16, 3, kernel=(11, 11), stride=(4, 4), padding=((4, 4), (4, 4)))
    assert lower(node, single(node, x=(1, 512, 512, 3), y=(1, 128, 128, 16)), huge).results == 128 * 128
    node = conv(8, 4096, kernel=(3, 3), dilation=(2, 2), padding=((2, 2), (2, 2)))
    assert lower(node, single(node, x=(1, 7, 7, 4096), y=(1, 7, 7, 8)), huge).steps == 9 * 256
    node = FullyConnected(
        name="fc",
        inputs=("x",),
        output="y",
        weights=np.ones((4096, 25_088), np.int8),
        bias=np.zeros(4096, np.int32),
        input_zero_point=-1,
        requant=requant(4096),
    )
    layer = lower(node, single(node, x=(1, 25_088), y=(1, 4096)), huge)
    assert (layer.chunks, layer.tiles) == (1568, 256)

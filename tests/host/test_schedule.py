"""Schedules: every step of every layer once, in memories that hold it, whatever the fabric lacks."""

from dataclasses import replace
from itertools import groupby

import networks
import numpy as np
import pytest
import zoo
from celosia.host import schedule as module
from celosia.host.cost.model import estimate
from celosia.host.frontends import tflite
from celosia.host.ir import AveragePool2D, Conv2D, Graph, Requant, Reshape, Tensor
from celosia.host.passes import simplify
from celosia.host.schedule import Segment, schedule
from celosia.hw.presets import preset

FABRICS = {
    "mini": "mini",
    "ecp5-85": "ecp5-85",
    "no weights": "mini,weight_depth=8,partial_depth=8,tile_depth=8",
    "two words": "mini,weight_depth=2,partial_depth=1,tile_depth=1,depthwise_tiles=1",
    "odd sizes": "mini,weight_depth=23,partial_depth=5,tile_depth=3,depthwise_tiles=0",
    "little memory": "mini,activation_bytes=2048,weight_depth=64",
}


def graph_of(model):
    return simplify(tflite.parse(model))


def single(node, shape, output_shape):
    tensors = {"x": Tensor(name="x", shape=shape), "y": Tensor(name="y", shape=output_shape)}
    return Graph(name="single", tensors=tensors, nodes=(node,), inputs=("x",), outputs=("y",))


def conv(channels, depth, kernel=(1, 1), **options):
    requant = Requant(multiplier=np.full(channels, 1 << 30, np.int32), shift=np.full(channels, -8, np.int32), zero_point=0)
    weights = np.random.default_rng(1).integers(-127, 128, (channels, *kernel, depth)).astype(np.int8)
    bias = np.zeros(channels, np.int32)
    return Conv2D(
        name="conv", inputs=("x",), output="y", weights=weights, bias=bias, input_zero_point=0, requant=requant, **options
    )


def check(plan):
    """All that must hold of any schedule."""
    check_order(plan)
    check_residency(plan)
    for segment in plan.segments:
        for _, jobs in groupby(segment.jobs, key=lambda job: job.layer.node.name):
            check_layer(list(jobs), plan)


def check_order(plan):
    """Every node once, in an order in which its inputs are there; a segment has what it needs and gives what others need."""
    known = set(plan.graph.inputs)
    seen = []
    for step in plan.steps:
        if isinstance(step, Segment):
            assert set(step.inputs) <= known
            inside = set(step.inputs)
            for node in step.nodes:
                assert set(node.inputs) <= inside
                inside.add(node.output)
                seen.append(node)
            known |= set(step.outputs)
            assert step.memory.used <= plan.config.activation_bytes
            on_fabric = [node.name for node in step.nodes if not isinstance(node, Reshape)]
            assert [name for name, _ in groupby(step.jobs, key=lambda job: job.layer.node.name)] == on_fabric
            assert len(step.outputs) == len(set(step.outputs)) > 0
        else:
            assert set(step.inputs) <= known
            known.add(step.output)
            seen.append(step)
    assert seen == list(plan.graph.nodes)
    assert set(plan.graph.outputs) <= known


def check_residency(plan):
    """What stays fits below the ring; the ring is what is left, and there is one where something streams."""
    jobs = [job for segment in plan.segments for job in segment.jobs]
    identities = {id(job.layer.weights) for job in jobs if job.layer.repeat and job.layer.weights is not None}
    resident = sum(
        len(job.weights) for job in jobs if job.layer.weights is not None and not job.streamed and not job.layer.repeat
    )
    assert resident + bool(identities) <= plan.ring_base
    assert plan.ring_base + plan.ring_size == plan.config.weight_depth
    assert plan.ring_size >= any(job.streamed for job in jobs)


def check_layer(jobs, plan):
    layer, config = jobs[0].layer, plan.config
    shape = (layer.tiles, layer.output_rows, layer.output_columns, layer.kernel_rows, layer.kernel_columns, layer.chunks)
    taken = np.zeros(shape, np.int8)
    waiting = None  # the tile and the block whose partial sums wait
    for job in jobs:
        block, piece = job.block, job.piece
        box = (
            slice(job.first_tile, job.first_tile + job.tiles),
            slice(block.row, block.row + block.rows),
            slice(block.column, block.column + block.columns),
            slice(piece.kernel_row, piece.kernel_row + piece.kernel_rows),
            slice(piece.kernel_column, piece.kernel_column + piece.kernel_columns),
            slice(piece.chunk, piece.chunk + piece.chunks),
        )
        assert taken[box].size == job.tiles * block.rows * block.columns * piece.steps > 0, "it reaches beyond the layer"
        taken[box] += 1

        assert job.partial_in == (waiting is not None)
        if waiting is not None:
            assert waiting == (job.first_tile, job.tiles, block), "partial sums of something else wait"
        waiting = (job.first_tile, job.tiles, block) if job.partial_out else None
        if job.partial_in or job.partial_out:
            assert job.tiles * block.rows * block.columns <= config.partial_depth
            assert job.streamed
        else:
            assert piece.steps == layer.steps

        assert job.entries <= config.tile_depth
        assert len(job.channels.bias) == job.entries * config.cols
        if layer.window is not None:
            assert job.depthwise_entries <= config.depthwise_tiles
            assert job.taps.shape == (job.tiles, 9, config.cols)
        if job.streamed and block.rows * block.columns > 1:
            assert piece.steps <= plan.ring_size, "the ring holds no tile, and its words serve several results"
        if layer.weights is not None and not layer.repeat:
            shaped = layer.weights.reshape(layer.tiles, *shape[3:], config.rows, config.cols)
            part = shaped[box[0], box[3], box[4], box[5]].reshape(-1, config.rows, config.cols)
            np.testing.assert_array_equal(job.weights, part)
    assert waiting is None, "partial sums are left over"
    assert (taken == 1).all(), "a step is left out or taken twice"


@pytest.mark.parametrize("fabric", FABRICS)
def test_random_networks(fabric):
    config = preset(FABRICS[fabric])
    met = set()
    for seed in range(60):
        plan = schedule(graph_of(networks.random_network(seed, size="tiny" if seed % 2 else "small")), config)
        check(plan)
        met |= {"streamed" for segment in plan.segments for job in segment.jobs if job.streamed}
        met |= {"partial" for segment in plan.segments for job in segment.jobs if job.partial_in}
        met |= {"cpu"} if any(placement.engine == "cpu" for placement in plan.placements) else set()
        met |= {"segments"} if len(plan.segments) > 1 else set()
    wanted = {"mini": {"cpu"}, "ecp5-85": {"cpu"}, "little memory": {"segments", "streamed"}}
    missed = wanted.get(fabric, {"streamed", "partial"}) - met
    assert not missed, f"the networks miss {missed}"


@pytest.mark.parametrize("name", zoo.MODELS)
@pytest.mark.parametrize("fabric", ["mini,activation_bytes=65536", "ecp5-85-w8k"])
def test_familiar_networks(name, fabric):
    check(schedule(graph_of(zoo.MODELS[name]()), preset(fabric)))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (1, 7), (5, 2)], ids=str)
@pytest.mark.parametrize("depth", [3, 20, 90])
@pytest.mark.parametrize("weight_depth", [2, 3, 5, 8, 17, 64])
def test_pieces_of_every_cut(kernel, depth, weight_depth):
    """Reductions cut between kernel rows, kernel columns and chunks; outputs cut into rows and into parts of one."""
    for dilation in (1, 2):
        node = conv(9, depth, kernel, dilation=(dilation, dilation))
        height, width = 6 + dilation * (kernel[0] - 1), 7 + dilation * (kernel[1] - 1)
        graph = single(node, (1, height, width, depth), (1, 6, 7, 9))
        for partial_depth in (1, 5, 20, 42):
            config = preset(f"mini,weight_depth={weight_depth},partial_depth={partial_depth}")
            check(schedule(graph, config))


def test_everything_stays_where_it_fits():
    plan = schedule(graph_of(networks.random_network(4, size="small")), preset("ecp5-85"))
    jobs = [job for segment in plan.segments for job in segment.jobs]
    assert not any(job.streamed for job in jobs)
    assert len({job.layer.node.name for job in jobs}) == len(jobs), "a whole layer is one descriptor"


def test_a_layer_of_many_results_streams_before_one_of_few():
    """While the array works on a tile of many results the next one loads; a fully-connected layer would only wait."""
    builder = networks.Network(np.random.default_rng(1))
    x = builder.conv(builder.input((1, 12, 12, 16)), 32, (3, 3))
    x = builder.pool(x, "average")
    graph = graph_of(builder.finish(builder.fully_connected(builder.flatten(x), 100)))
    everything = schedule(graph, preset("mini"))
    words = {job.layer.node.name: job.layer.words for segment in everything.segments for job in segment.jobs}
    convolution, _, dense = words
    depth = words[dense] + words[convolution] // 2 + 1
    plan = schedule(graph, preset(f"mini,weight_depth={depth}"))
    check(plan)
    streamed = {job.layer.node.name for segment in plan.segments for job in segment.jobs if job.streamed}
    assert streamed == {convolution}


def test_the_ring_holds_two_tiles_where_it_can():
    graph = single(conv(64, 64), (1, 8, 8, 64), (1, 8, 8, 64))
    plan = schedule(graph, preset("mini,weight_depth=64"))
    assert plan.ring_size >= 2 * 16
    check(plan)


def test_many_pools_in_a_small_weight_buffer():
    """They share one identity word, so a buffer of two words has room for any number of them."""
    names = [f"t{index}" for index in range(6)]
    nodes = tuple(
        AveragePool2D(name=f"pool{index}", inputs=(names[index],), output=names[index + 1], kernel=(1, 1), stride=(1, 1))
        for index in range(5)
    )
    tensors = {name: Tensor(name=name, shape=(1, 4, 4, 4)) for name in names}
    graph = Graph(name="pools", tensors=tensors, nodes=nodes, inputs=names[:1], outputs=names[-1:])
    plan = schedule(graph, preset("mini,weight_depth=2"))
    assert plan.ring_size >= 0
    check(plan)


def test_a_turned_convolution_never_stops_a_schedule():
    """Turned over, the map would have more rows than the walker counts: then it is not turned."""
    graph = single(conv(1, 1, (3, 1)), (1, 4, 33_000, 1), (1, 2, 33_000, 1))
    plan = schedule(graph, preset("ecp5-85,activation_bytes=262144"))
    check(plan)
    assert plan.placements[0].engine == "mac"


def test_memory_too_small_for_two_tensors_that_live_together_cuts_the_run():
    builder = networks.Network(np.random.default_rng(1))
    x = builder.input((1, 12, 12, 8))
    inner = builder.conv(x, 16, (3, 3))
    graph = graph_of(builder.finish(builder.add(x, builder.conv(inner, 8, (3, 3)))))
    assert len(schedule(graph, preset("mini")).segments) == 1
    plan = schedule(graph, preset("mini,activation_bytes=4000"))
    check(plan)
    assert len(plan.segments) == 2


def test_nodes_of_the_cpu_lie_between_segments():
    builder = networks.Network(np.random.default_rng(1))
    x = builder.fully_connected(builder.input((1, 20)), 12)
    graph = graph_of(builder.finish(builder.fully_connected(builder.softmax(x), 5)))
    plan = schedule(graph, preset("mini"))
    check(plan)
    assert [isinstance(step, Segment) for step in plan.steps] == [True, False, True]


def test_a_network_of_reshapes_alone_has_no_segment():
    x, y = Tensor(name="x", shape=(1, 4, 4, 2)), Tensor(name="y", shape=(1, 32))
    node = Reshape(name="flat", inputs=("x",), output="y", shape=(1, 32))
    graph = Graph(name="flat", tensors={"x": x, "y": y}, nodes=(node,), inputs=("x",), outputs=("y",))
    plan = schedule(graph, preset("mini"))
    check(plan)
    assert plan.segments == ()


def test_an_input_that_others_read_is_not_turned():
    """The host sends a tensor once: turned over only for a convolution that alone reads it."""
    tall = {"kernel": (10, 4), "stride": (1, 1)}
    builder = networks.Network(np.random.default_rng(1))
    x = builder.input((1, 20, 17, 1))
    alone = graph_of(builder.finish(builder.conv(x, 1, **tall)))
    assert schedule(alone, preset("ecp5-85")).segments[0].transposed == {alone.inputs[0]}
    builder = networks.Network(np.random.default_rng(1))
    x = builder.input((1, 20, 17, 1))
    shared = graph_of(builder.finish(builder.add(x, builder.conv(x, 1, **tall))))
    plan = schedule(shared, preset("ecp5-85"))
    check(plan)
    assert plan.segments[0].transposed == set()


def test_narrowed_jobs_are_of_their_layer():
    """A job's parts: channel parameters of its tiles, one entry where all tiles share it."""
    plan = schedule(single(conv(30, 5), (1, 3, 3, 5), (1, 3, 3, 30)), preset("mini,tile_depth=3"))
    check(plan)
    (segment,) = plan.segments
    assert [(job.first_tile, job.tiles) for job in segment.jobs] == [(0, 3), (3, 3), (6, 2)]
    whole = segment.jobs[0].layer.channels
    np.testing.assert_array_equal(np.concatenate([job.channels.bias for job in segment.jobs]), whole.bias)
    assert replace(segment.jobs[0], tiles=1).entries == 1


@pytest.mark.parametrize(("name", "fabric"), [("keyword_1d", "ecp5-85-w8k"), ("mlp", "ecp5-85"), ("vgg", "ecp5-25")])
def test_the_cheapest_way_is_taken(name, fabric, monkeypatch):
    """Of the ways to divide the weights, the one of least predicted cycles, transfer ahead included."""
    graph = graph_of(zoo.MODELS[name]())
    ways = []

    def cost(plan):
        predicted = estimate(plan)
        return predicted.cycles + sum(run.words_before for run in predicted.runs)

    def remember(layers, config):
        ways.extend(original(layers, config))
        return ways

    original = module.residencies
    monkeypatch.setattr(module, "residencies", remember)
    chosen = cost(schedule(graph, preset(fabric)))
    costs = []
    for way in list(ways):
        monkeypatch.setattr(module, "residencies", lambda layers, config, way=way: [way])
        plan = schedule(graph, preset(fabric))
        check(plan)
        costs.append(cost(plan))
    assert len(set(costs)) > 1, "there is nothing to choose"
    assert chosen == min(costs)

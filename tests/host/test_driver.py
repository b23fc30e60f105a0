"""The fabric, compiled, computes whole networks through the driver: bit for bit, and its counters add up."""

import os
from functools import cache
from pathlib import Path

import networks
import numpy as np
import pytest
import zoo
from celosia.host import reference
from celosia.host.driver import FabricDevice
from celosia.host.emit import emit
from celosia.host.frontends.tflite import parse
from celosia.host.ir import Reshape
from celosia.host.passes import simplify
from celosia.host.placement import place
from celosia.host.programs import PACKET_WORDS
from celosia.host.schedule import Segment, schedule
from celosia.hw.presets import preset
from celosia.sim.engine import Simulator
from celosia.sim.errors import DeviceError
from fabrics import SMALL, STARVED, fabric_of

WIDE = "mini,activation_bytes=65536"  # mini's cost with memory for the maps of real models
DIGITS = Path(__file__).parents[2] / "host/demo"

SHARED_MODELS = {
    "kws01": "kws01_dscnn_int8",
    "ic01": "ic01_resnet8_int8",
    "ad01": "ad01_int8",
    "vww01": "vww01_mobilenet_int8",
}


@cache
def graph_of(model):
    return simplify(parse(model))


class Opened:
    """A device on a fresh simulator, with its transport at hand."""

    def __init__(self, graph, fabric):
        self.graph = graph
        self.config = fabric_of(fabric)
        self.transport = Simulator(self.config)
        self.device = FabricDevice(graph, self.config, self.transport)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.device.close()

    def run(self, samples):
        """The first output of each sample, all of them in one `infer`: they overlap where they can."""
        (name,) = self.graph.inputs
        return self.device.infer({name: samples})[self.graph.outputs[0]]

    def run_alone(self, samples):
        """The same, one `infer` after the other."""
        return np.concatenate([self.run(sample[np.newaxis]) for sample in samples])


def golden(graph, samples):
    (name,) = graph.inputs
    return reference.run(graph, {name: samples})[graph.outputs[0]]


def check_counters(opened):
    """Every record sums up; the inference takes at least its layers' cycles, and the array at least its steps."""
    counters = opened.device.counters()
    for name, layer in counters.layers.items():
        assert layer.cycles == layer.busy + layer.weights + layer.activations + layer.output, name
    on_fabric = {item.node.name for item in opened.device.placements if item.engine not in ("cpu", "none")}
    assert set(counters.layers) == on_fabric
    assert counters.cycles >= sum(layer.cycles for layer in counters.layers.values())
    assert counters.cycles <= opened.transport.cycles
    return counters


def check_exact(graph, fabric, samples):
    with Opened(graph, fabric) as opened:
        np.testing.assert_array_equal(opened.run(samples), golden(graph, samples))
        counters = check_counters(opened)
        assert counters.samples == len(samples)
    return counters


def random_case(seed, size):
    """A random network and two samples for it; CELOSIA_SEED moves all of them."""
    seed += 1000 * int(os.environ.get("CELOSIA_SEED", "0"))
    print(f"networks.random_network({seed}, size={size!r})")
    model = networks.random_network(seed, size=size)
    return graph_of(model), networks.random_input(model, seed, samples=2)


def test_digits_on_the_smallest_fabric():
    graph = graph_of((DIGITS / "digits.tflite").read_bytes())
    data = np.load(DIGITS / "digits.npz")
    counters = check_exact(graph, "mini", data["inputs"][:6])
    with Opened(graph, "mini") as opened:
        np.testing.assert_array_equal(opened.run(data["inputs"][6:8]), data["outputs"][6:8])
        again = opened.device.counters()
    # A cycle count is exact: it does not depend on the data.
    assert again.cycles * 3 == counters.cycles


def test_inferences_overlap():
    """The next input comes while the fabric computes: it takes no cycle of its own, and none from the layers."""
    graph = graph_of((DIGITS / "digits.tflite").read_bytes())
    samples = np.load(DIGITS / "digits.npz")["inputs"][:8]

    def run(name):
        with Opened(graph, "mini") as opened:
            begun = opened.transport.cycles
            answers = getattr(opened, name)(samples)
            return answers, opened.device.counters(), opened.transport.cycles - begun

    (answers, together, cycles), (others, alone, cycles_alone) = run("run"), run("run_alone")
    np.testing.assert_array_equal(answers, others)
    assert together.layers == alone.layers
    assert together.cycles == alone.cycles
    words = PACKET_WORDS + samples[0].size // 4
    assert alone.cycles_io - together.cycles_io == 7 * words, "all but the first are hidden"
    assert 7 * words <= cycles_alone - cycles <= 7 * (words + 20)


@pytest.mark.parametrize("too_early", [False, True])
@pytest.mark.parametrize("shape", [(1, 40, 20, 4), (1, 20, 40, 4)])
def test_the_next_input_waits_until_its_place_is_free(monkeypatch, shape, too_early):
    """The first layers need all of the memory: what comes a layer too early is written over, or writes over what is needed."""
    model = networks.filling(shape)
    graph, samples = graph_of(model), networks.random_input(model, 1, samples=4)
    (segment,) = schedule(graph, fabric_of(SMALL)).segments
    assert segment.again == segment.jobs_before_next == 3
    if too_early:
        monkeypatch.setattr(Segment, "jobs_before_next", 2)
        with pytest.raises(AssertionError, match="Mismatched elements"):
            check_exact(graph, SMALL, samples)
    else:
        check_exact(graph, SMALL, samples)


@pytest.mark.parametrize(("seed", "size"), [*((seed, "tiny") for seed in range(15)), *((seed, "small") for seed in range(12))])
def test_random_networks(seed, size):
    graph, samples = random_case(seed, size)
    check_exact(graph, "mini", samples)


@pytest.mark.parametrize(
    ("seed", "size"), [*((seed, "tiny") for seed in range(20, 29)), *((seed, "small") for seed in range(20, 25))]
)
def test_starved_fabric(seed, size):
    """Weights stream, sums wait, programs are cut: the answers stay, and loading overlaps with computing."""
    graph, samples = random_case(seed, size)
    counters = check_exact(graph, STARVED, samples)
    plan = schedule(graph, preset(STARVED))
    words = sum(len(job.weights) for segment in plan.segments for job in segment.jobs if job.streamed)
    starved = sum(layer.weights for layer in counters.layers.values()) / counters.samples
    if words:
        assert starved < words * plan.config.macs_per_cycle / 4, "weights load, then the array works: no overlap"


def single_layers():
    """Layers at the edges of what a descriptor holds, each a model of its own."""
    yield "one pixel, one channel", networks.conv(1, (1, 1, 1, 1), 1, (1, 1))
    yield "last tile of one channel", networks.conv(2, (1, 5, 4, 3), 9, (3, 3))
    yield "kernel 11, stride 4", networks.conv(3, (1, 23, 19, 2), 5, (11, 11), stride=(4, 4))
    yield "dilation", networks.conv(4, (1, 12, 11, 5), 6, (3, 3), dilation=(2, 3))
    yield "groups", networks.conv(5, (1, 6, 5, 8), 8, (3, 3), groups=2)
    yield "one row", networks.conv(6, (1, 1, 50, 3), 7, (1, 9), stride=(1, 4))
    yield "one column", networks.conv(7, (1, 50, 1, 3), 7, (9, 1), stride=(4, 1))
    yield "depthwise of width 3", networks.depthwise(8, (1, 4, 3, 9), (3, 3))
    yield "depthwise of width 2, beside the unit", networks.depthwise(9, (1, 4, 2, 9), (3, 3))
    yield "depthwise, stride 2", networks.depthwise(10, (1, 9, 8, 6), (3, 3), stride=(2, 2))
    yield "depthwise, stride 3", networks.depthwise(11, (1, 9, 10, 6), (3, 3), stride=(3, 3), padding="VALID")
    # Maps so small that a tile's weights are hardly there when it begins.
    yield "depthwise of 2x3, stride 2", networks.depthwise(23, (1, 2, 3, 17), (3, 3), stride=(2, 2))
    yield "depthwise of 2x3, stride 3", networks.depthwise(24, (1, 2, 3, 9), (3, 3), stride=(3, 3))
    yield "depthwise of 1x3, stride 2", networks.depthwise(25, (1, 1, 3, 17), (3, 3), stride=(2, 2))
    yield "depthwise of 1x5, stride 2", networks.depthwise(26, (1, 1, 5, 17), (3, 3), stride=(2, 2))
    yield "depthwise of 2x3", networks.depthwise(27, (1, 2, 3, 17), (3, 3))
    yield "depthwise 2x2", networks.depthwise(12, (1, 7, 6, 5), (2, 2))
    yield "depthwise 1x1", networks.depthwise(13, (1, 4, 5, 10), (1, 1))
    yield "depthwise 5x5", networks.depthwise(14, (1, 7, 9, 10), (5, 5))
    yield "depthwise multiplier", networks.depthwise(15, (1, 6, 6, 3), (3, 3), depth_multiplier=2)
    yield "fully connected, K = 1", networks.fully_connected(16, (1, 1), 13)
    yield "fully connected, long", networks.fully_connected(17, (1, 700), 3)
    yield "fully connected of a map", networks.fully_connected(18, (1, 5, 3, 4), 6)
    yield "addition, odd size", networks.add(19, (1, 5, 3, 7), activation="RELU")
    yield "average pooling", networks.pool(20, (1, 6, 6, 5), "average", (3, 2), stride=(3, 2), padding="VALID")
    yield "global average", networks.pool(21, (1, 7, 5, 6), "average", None)
    yield "maximum pooling with padding", networks.pool(22, (1, 7, 5, 6), "max", (3, 3), stride=(2, 2), padding="SAME")


LAYERS = dict(single_layers())


@pytest.mark.parametrize(
    ("height", "width", "stride"), [(6, 60, 1), (7, 60, 2), (6, 60, 2), (6, 20, 1), (8, 60, 3), (6, 60, 4), (4, 60, 59)]
)
def test_a_depthwise_layer_that_ends_before_its_map_does(height, width, stride):
    """Without padding the last result comes before the unit's last pushes, with strides before the map's last rows: what is
    still on its way must not reach the next descriptor."""
    builder = networks.Network(np.random.default_rng(1))
    x = builder.input((1, height, width, 9))
    x = builder.depthwise(x, (3, 3), stride=(stride, stride), padding="VALID")
    model = builder.finish(builder.conv(builder.depthwise(x, (3, 3)), 5, (1, 1)))
    check_exact(graph_of(model), "mini", networks.random_input(model, 1, samples=2))


@pytest.mark.parametrize("fabric", ["mini", STARVED], ids=["mini", "starved"])
@pytest.mark.parametrize("name", LAYERS)
def test_single_layers(name, fabric):
    model = LAYERS[name]
    graph = graph_of(model)
    placements = [item for item in place(graph, preset(fabric)) if not isinstance(item.node, Reshape)]
    assert all(item.engine != "cpu" for item in placements), [item.reason for item in placements]
    check_exact(graph, fabric, networks.random_input(model, 1, samples=3))


def test_extreme_values():
    """All -128, all 127: the largest sums of a layer, and their saturation."""
    for seed in (1, 2):
        model = networks.conv(seed, (1, 6, 6, 16), 8, (3, 3))
        graph = graph_of(model)
        samples = np.stack([np.full(networks.input_shape(model)[1:], value, np.int8) for value in (-128, 127, 0)])
        check_exact(graph, "mini", samples)


def test_sums_overlap_with_loading():
    """A layer of many results a tile that does not fit: the array works on a tile while the next one comes."""
    model = networks.conv(30, (1, 12, 12, 4), 64, (1, 1))
    graph = graph_of(model)
    counters = check_exact(graph, STARVED, networks.random_input(model, 1, samples=2))
    (layer,) = counters.layers.values()
    assert layer.weights < 0.02 * layer.cycles
    assert layer.busy == 2 * 12 * 12 * 64 // 4


@pytest.mark.parametrize("fabric", ["mini", STARVED], ids=["mini", "starved"])
def test_answers_do_not_depend_on_what_ran_before(fabric):
    graph, samples = random_case(3, "small")
    with Opened(graph, fabric) as opened:
        first = opened.run(samples)
        opened.run(networks.random_input(networks.random_network(3), 99, samples=3))
        np.testing.assert_array_equal(opened.run(samples), first)


def test_a_device_out_of_step_says_so():
    class Shifted:
        """Gives zeros, whatever is asked."""

        def write(self, words):
            pass

        def read(self, count):
            return np.zeros(count, np.uint32)

        def close(self):
            pass

    graph, samples = random_case(0, "tiny")
    device = FabricDevice(graph, preset("mini"), Shifted())
    with pytest.raises(DeviceError, match="answered 0x00000000 where a .* was due: it is out of step; reopen it"):
        device.infer({graph.inputs[0]: samples[:1]})


def test_bytes_are_counted():
    graph, samples = random_case(1, "tiny")
    with Opened(graph, "mini") as opened:
        opened.run(samples)
        counters = opened.device.counters()
        assert counters.bytes_in % 8 == counters.bytes_out % 8 == 0
        programs = emit(schedule(graph, opened.config)).programs
        answers = sum(program.answer_words for cut in programs.values() for program in cut)
        assert counters.bytes_out == 4 * 2 * answers
        half = counters - counters
        assert half.samples == half.cycles == half.bytes_in == 0


def check_zoo(name, fabric):
    """Exact on the fabric; what is not on it says why and what would help."""
    model = zoo.MODELS[name]()
    graph = graph_of(model)
    for item in place(graph, preset(fabric)):
        assert (item.engine == "cpu") == bool(item.reason) == bool(item.advice)
    return check_exact(graph, fabric, zoo.samples(model, seed=2, count=1))


@pytest.mark.parametrize("name", zoo.MODELS)
def test_zoo(name):
    check_zoo(name, WIDE)


def shared_case(shared, name):
    graph = graph_of((shared / "models" / f"{SHARED_MODELS[name]}.tflite").read_bytes())
    data = np.load(shared / "data" / f"{name}.npz")
    return graph, data["inputs"], data["outputs"]


@pytest.mark.parametrize(("name", "samples", "fabric"), [("kws01", 1, WIDE), ("ad01", 2, WIDE)])
def test_samples_of_real_models(shared, name, samples, fabric):
    graph, inputs, outputs = shared_case(shared, name)
    with Opened(graph, fabric) as opened:
        np.testing.assert_array_equal(opened.run(inputs[:samples]), outputs[:samples])
        check_counters(opened)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED_MODELS)
def test_real_models(shared, name):
    """All of the data; every node but softmax and its kind on the fabric."""
    graph, inputs, outputs = shared_case(shared, name)
    with Opened(graph, "ecp5-85") as opened:
        assert {item.node.op for item in opened.device.placements if item.engine == "cpu"} <= {
            "softmax",
            "quantize",
            "dequantize",
        }
        np.testing.assert_array_equal(opened.run(inputs), outputs)
        check_counters(opened)


@pytest.mark.slow
def test_weight_buffer_of_8_kib(shared):
    graph, inputs, outputs = shared_case(shared, "ic01")
    with Opened(graph, "ecp5-85-w8k") as opened:
        assert opened.config.weight_bytes == 8192
        np.testing.assert_array_equal(opened.run(inputs[:8]), outputs[:8])
        counters = check_counters(opened)
    plan = schedule(graph, opened.config)
    words = sum(len(job.weights) for segment in plan.segments for job in segment.jobs if job.streamed)
    assert words > 0
    starved = sum(layer.weights for layer in counters.layers.values()) / counters.samples
    loading = words * opened.config.macs_per_cycle // 4
    print(f"{loading} cycles of loading, {starved:.0f} of them waited for, {counters.cycles // 8} cycles in all")
    assert starved < loading

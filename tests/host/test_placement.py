"""Where nodes run, and what is said of those that do not run on the fabric."""

import networks
import numpy as np
import pytest
import zoo
from celosia.host.frontends import tflite
from celosia.host.ir import Reshape
from celosia.host.lowering import lower
from celosia.host.passes import simplify
from celosia.host.placement import place
from celosia.host.schedule import Segment, schedule
from celosia.hw.presets import preset

MINI = preset("mini")
ENGINES = {"mac", "depthwise", "vector", "cpu", "none"}


def graph_of(model):
    return simplify(tflite.parse(model))


def engines(model, config=MINI):
    return [placement.engine for placement in place(graph_of(model), config)]


def test_engines():
    shape = (1, 8, 8, 8)
    assert engines(networks.conv(1, shape, 4)) == ["mac"]
    assert engines(networks.fully_connected(1, (1, 20), 4)) == ["mac"]
    assert engines(networks.depthwise(1, shape)) == ["depthwise"]
    assert engines(networks.depthwise(1, shape), preset("mini,depthwise_tiles=0")) == ["mac"]
    assert engines(networks.depthwise(1, shape, (7, 7))) == ["mac"]
    assert engines(networks.add(1, shape))[-1] == "vector"
    assert engines(networks.pool(1, shape, "max")) == ["vector"]
    assert engines(networks.pool(1, shape, "average")) == ["mac"]


@pytest.mark.parametrize("fabric", ["mini", "mini,activation_bytes=512,weight_depth=2", "ecp5-25", "ecp5-85"])
def test_placement_and_schedule_agree(fabric):
    """What is placed on the fabric is scheduled there, and nothing else; a reason and advice go with the CPU."""
    config = preset(fabric)
    for seed in range(40):
        graph = graph_of(networks.random_network(seed))
        placements = place(graph, config)
        assert [placement.node for placement in placements] == list(graph.nodes)
        for placement in placements:
            assert placement.engine in ENGINES
            assert (placement.engine == "cpu") == bool(placement.reason) == bool(placement.advice)
            assert (placement.layer is not None) == (placement.engine in {"mac", "depthwise", "vector"})
            assert (placement.engine == "none") == isinstance(placement.node, Reshape)
            if placement.layer is not None:
                again = lower(placement.node, graph, config)
                assert (again.operation, again.steps, again.tiles) == (
                    placement.layer.operation,
                    placement.layer.steps,
                    placement.layer.tiles,
                )
        plan = schedule(graph, config)
        scheduled = {node.name for step in plan.steps if isinstance(step, Segment) for node in step.nodes}
        on_fabric = {placement.node.name for placement in placements if placement.layer is not None}
        free = {placement.node.name for placement in placements if placement.engine == "none"}
        assert on_fabric <= scheduled <= on_fabric | free


def test_reasons_are_half_sentences():
    """`celosia check` puts a subject before the reason; the advice follows: no capital, no full stop, no line break."""
    said = set()
    for seed in range(60):
        for placement in place(graph_of(networks.random_network(seed)), preset("mini,activation_bytes=4096")):
            said |= {placement.reason, placement.advice} - {""}
    assert len(said) > 4
    for sentence in said:
        assert sentence[0].islower(), sentence
        assert not sentence.endswith("."), sentence
        assert "\n" not in sentence


def test_a_reason_names_need_and_have():
    placements = place(graph_of(networks.conv(1, (1, 64, 64, 4), 4, (1, 1))), MINI)
    (placement,) = placements
    assert placement.engine == "cpu"
    assert "need 32768 bytes" in placement.reason
    assert "mini has 16384" in placement.reason
    assert "activation_bytes" in placement.advice


@pytest.mark.parametrize("name", zoo.MODELS)
def test_familiar_networks_run_on_the_fabric(name):
    """All of them whole, softmax aside, where the largest map of one finds room."""
    graph = graph_of(zoo.MODELS[name]())
    config = preset("ecp5-85,activation_bytes=131072")
    left = [placement.node.op for placement in place(graph, config) if placement.engine == "cpu"]
    assert set(left) <= {"softmax"}


@pytest.mark.parametrize("model", ["ad01_int8", "ic01_resnet8_int8", "kws01_dscnn_int8", "vww01_mobilenet_int8"])
def test_the_four_models_run_on_the_fabric(shared, model):
    """Every convolution, depthwise, fully-connected, addition and pooling."""
    graph = graph_of((shared / f"models/{model}.tflite").read_bytes())
    left = [placement.node.op for placement in place(graph, preset("ecp5-85")) if placement.engine == "cpu"]
    assert set(left) <= {"softmax"}
    assert np.isin(["conv_2d", "depthwise_conv_2d", "fully_connected", "add", "average_pool_2d"], left).sum() == 0

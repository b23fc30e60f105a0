"""Constant channels: their values stay, their weights and outsized biases go; no other channel changes."""

import numpy as np
import pytest
from celosia.host import reference
from celosia.host.ir import Conv2D, DepthwiseConv2D, FullyConnected, Graph, Requant, Tensor
from celosia.host.passes import fold_constant_channels

CHANNELS = 6


def graph_of(rng, kind):
    """One layer: channels 1 and 4 give one value for every input, the others do not."""
    zero_point = int(rng.integers(-128, 128))
    bias = rng.integers(-500, 500, CHANNELS).astype(np.int32)
    multiplier = rng.integers(1 << 30, (1 << 31) - 1, CHANNELS).astype(np.int32)
    shift = np.full(CHANNELS, -8, np.int32)
    shapes = {"conv": (CHANNELS, 3, 3, 4), "depthwise": (3, 3, CHANNELS), "connected": (CHANNELS, 36)}
    weights = rng.integers(-127, 128, shapes[kind]).astype(np.int8)
    channel = weights[..., 1] if kind == "depthwise" else weights[1]
    channel[...] = 0
    channel.flat[3] = -1
    bias[1], shift[1] = 1 << 30, -26  # a dead channel, as converters write it
    bias[4], multiplier[4], shift[4] = (1 << 29), (1 << 30), -2  # always saturated
    requant = Requant(multiplier=multiplier, shift=shift, zero_point=-3)
    common = {
        "name": "layer",
        "inputs": ("x",),
        "output": "y",
        "bias": bias,
        "input_zero_point": zero_point,
        "requant": requant,
    }
    if kind == "connected":
        shape, out = (1, 36), (1, CHANNELS)
        node = FullyConnected(weights=weights, **common)
    elif kind == "conv":
        shape, out = (1, 6, 5, 4), (1, 6, 5, CHANNELS)
        node = Conv2D(weights=weights, padding=((1, 1), (1, 1)), **common)
    else:
        shape, out = (1, 6, 5, CHANNELS), (1, 6, 5, CHANNELS)
        node = DepthwiseConv2D(weights=weights, padding=((1, 1), (1, 1)), **common)
    tensors = {"x": Tensor(name="x", shape=shape, zero_point=zero_point), "y": Tensor(name="y", shape=out)}
    return Graph(name="one", inputs=("x",), outputs=("y",), nodes=(node,), tensors=tensors)


@pytest.mark.parametrize("kind", ["conv", "depthwise", "connected"])
@pytest.mark.parametrize("seed", range(4))
def test_outputs_stay(kind, seed):
    rng = np.random.default_rng(seed)
    graph = graph_of(rng, kind)
    folded = fold_constant_channels(graph)
    before, after = graph.nodes[0], folded.nodes[0]
    axis = -1 if kind == "depthwise" else 0
    changed = [i for i in range(CHANNELS) if not np.array_equal(before.weights.take(i, axis), after.weights.take(i, axis))]
    assert changed == [1, 4]
    assert not after.weights.take(changed, axis).any()
    assert np.abs(after.bias[changed]).max() < 256
    kept = [i for i in range(CHANNELS) if i not in changed]
    np.testing.assert_array_equal(before.bias[kept], after.bias[kept])
    samples = rng.integers(-128, 128, (20, *graph.tensors["x"].shape[1:])).astype(np.int8)
    samples[0], samples[1] = -128, 127
    for sample in samples:
        x = {"x": sample[np.newaxis]}
        np.testing.assert_array_equal(reference.run(graph, x)["y"], reference.run(folded, x)["y"])


def test_nothing_to_fold():
    graph = graph_of(np.random.default_rng(0), "conv")
    folded = fold_constant_channels(graph)
    assert fold_constant_channels(folded).nodes[0].bias.tolist() == folded.nodes[0].bias.tolist()


def test_of_sixteen_bits():
    """What bytes would leave constant moves with 16 bits; what nothing moves is folded, in 64 bits."""
    weights = np.array([[1, 0], [0, 0], [100, 100]], np.int8)
    bias = np.array([0, 1 << 33, 0], np.int64)
    requant = Requant(
        multiplier=np.full(3, 1 << 30, np.int32),
        shift=np.array([-9, -15, -12], np.int32),
        zero_point=0,
        low=-(2**15),
        high=2**15 - 1,
        once=True,
    )
    node = FullyConnected(
        name="layer", inputs=("x",), output="y", weights=weights, bias=bias, input_zero_point=0, requant=requant
    )
    tensors = {name: Tensor(name=name, shape=(1, size), dtype="int16", bits=16) for name, size in (("x", 2), ("y", 3))}
    graph = Graph(name="one", inputs=("x",), outputs=("y",), nodes=(node,), tensors=tensors)
    folded = fold_constant_channels(graph)
    assert folded.nodes[0].bias.tolist() == [0, 2**15 - 1, 0]
    x = np.random.default_rng(0).integers(-(2**15), 2**15, (50, 2)).astype(np.int16)
    before, after = (reference.run(each, {"x": x})["y"] for each in (graph, folded))
    np.testing.assert_array_equal(before, after)
    assert len(np.unique(before[:, 0])) > 20

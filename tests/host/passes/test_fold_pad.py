"""Padding folds into the convolution behind it where that changes nothing, and only there."""

import networks
import numpy as np
import pytest
from celosia.host import reference
from celosia.host.frontends import tflite
from celosia.host.frontends.tflite_writer import ModelWriter
from celosia.host.passes import simplify


def padded(op: str, *, value: int | None = None, twice: bool = False, widths=((0, 0), (0, 1), (2, 3), (0, 0))) -> bytes:
    """PAD or PADV2 of 5x6x4, then a convolution 3x2 that pads by itself as well."""
    writer = ModelWriter()
    rng = np.random.default_rng(1)
    quantization = {"scale": 0.5, "zero_point": 4}
    shape = tuple(size + sum(pair) for size, pair in zip((1, 5, 6, 4), widths, strict=True))
    x = writer.tensor("x", (1, 5, 6, 4), **quantization)
    inputs = [x, writer.tensor("widths", (4, 2), "int32", data=widths)]
    if value is not None:
        inputs.append(writer.tensor("value", (1,), data=[value], **quantization))
    middle = writer.tensor("middle", shape, **quantization)
    writer.op("PAD" if value is None else "PADV2", inputs, [middle])
    weights_shape, axis = ((3, 3, 2, shape[3]), 0) if op == "CONV_2D" else ((1, 3, 2, shape[3]), 3)
    weights = rng.integers(-127, 128, weights_shape).astype(np.int8)
    scales = [0.01] * weights_shape[axis]
    w = writer.tensor("w", weights_shape, scale=scales, axis=axis, data=weights)
    b = writer.tensor("b", (len(scales),), "int32", scale=0.005, data=rng.integers(-900, 900, len(scales)))
    rows, cols = -(-shape[1] // 2), -(-shape[2] // 2)
    y = writer.tensor("y", (1, rows, cols, len(scales)), scale=0.2, zero_point=-3)
    writer.op(op, [middle, w, b], [y], stride=(2, 2))
    outputs = [y]
    if twice:
        pooled = writer.tensor("pooled", (1, shape[1] // 2, shape[2] // 2, shape[3]), **quantization)
        writer.op("MAX_POOL_2D", [middle], [pooled], padding="VALID")
        outputs.append(pooled)
    return writer.finish([x], outputs)


@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize("value", [None, 4])
def test_folds(op, value):
    model = padded(op, value=value)
    graph = tflite.parse(model)
    folded = simplify(graph)
    assert [node.op for node in graph.nodes] == ["pad", op.lower()]
    assert [node.op for node in folded.nodes] == [op.lower()]
    assert set(folded.tensors) == {"x", "y"}
    own = graph.nodes[1].padding
    assert folded.nodes[0].padding == ((own[0][0], own[0][1] + 1), (own[1][0] + 2, own[1][1] + 3))
    x = networks.random_input(model, 1, samples=4)
    np.testing.assert_array_equal(reference.run(folded, {"x": x})["y"], networks.reference(model, x))


@pytest.mark.parametrize(
    "options",
    [{"value": 5}, {"twice": True}, {"widths": ((0, 0), (1, 1), (1, 1), (0, 2))}],
    ids=["another value", "another reader", "padded channels"],
)
def test_stays_where_it_would_change_something(options):
    model = padded("CONV_2D", **options)
    graph = tflite.parse(model)
    folded = simplify(graph)
    assert folded.nodes == graph.nodes
    x = networks.random_input(model, 1, samples=4)
    np.testing.assert_array_equal(reference.run(folded, {"x": x})["y"], networks.reference(model, x))


def test_stays_where_the_padded_image_is_an_output():
    writer = ModelWriter()
    x = writer.tensor("x", (1, 2, 2, 1), scale=0.5)
    widths = writer.tensor("widths", (4, 2), "int32", data=[[0, 0], [1, 1], [1, 1], [0, 0]])
    y = writer.tensor("y", (1, 4, 4, 1), scale=0.5)
    writer.op("PAD", [x, widths], [y])
    graph = tflite.parse(writer.finish([x], [y]))
    assert simplify(graph).nodes == graph.nodes

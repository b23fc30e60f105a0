"""Compares the golden models with LiteRT's reference kernels on a model's bytes: every element, no tolerance."""

import networks
import numpy as np
from celosia.host import reference
from celosia.host.frontends import tflite
from celosia.host.frontends.tflite_writer import ModelWriter
from celosia.host.ir import Graph


def check(model: bytes, x: np.ndarray) -> Graph:
    """Runs samples (N, ...) through both; returns the graph for whoever wants to look at its numbers."""
    graph = tflite.parse(model)
    (outputs,) = reference.run(graph, {graph.inputs[0]: x}).values()
    expected = networks.reference(model, x)
    assert outputs.dtype == expected.dtype
    np.testing.assert_array_equal(outputs, expected)
    return graph


def check_noise(model: bytes, seed: int, samples: int = 3) -> Graph:
    """`check` with uniform noise, and with inputs that are all -128 and all 127."""
    x = networks.random_input(model, seed, samples)
    return check(model, np.concatenate([x, np.full_like(x[:1], -128), np.full_like(x[:1], 127)]))


def weighted(
    op: str,
    x: tuple[tuple[int, ...], float, int],
    weights: np.ndarray,
    scales,
    bias: np.ndarray | None,
    y: tuple[tuple[int, ...], float, int],
    **options,
) -> bytes:
    """A model of one layer with weights. `x` and `y` are (shape, scale, zero point)."""
    writer = ModelWriter()
    axis = 3 if op == "DEPTHWISE_CONV_2D" else 0
    scales = np.float32(scales)
    source = writer.tensor("x", x[0], scale=x[1], zero_point=x[2])
    inputs = [source, writer.tensor("w", weights.shape, scale=scales, axis=axis, data=weights)]
    if bias is not None:
        inputs.append(writer.tensor("b", bias.shape, "int32", scale=scales * np.float32(x[1]), data=bias))
    target = writer.tensor("y", y[0], scale=y[1], zero_point=y[2])
    writer.op(op, inputs, [target], **options)
    return writer.finish([source], [target])


def unary(op: str, x: tuple[tuple[int, ...], float, int], y: tuple[tuple[int, ...], float, int], **options) -> bytes:
    """A model of one operator with one input. A `constant` among the options becomes its second, of int32."""
    writer = ModelWriter()
    source = writer.tensor("x", x[0], scale=x[1], zero_point=x[2])
    inputs = [source]
    if "constant" in options:
        constant = np.asarray(options.pop("constant"))
        inputs.append(writer.tensor("c", constant.shape, "int32", data=constant))
    target = writer.tensor("y", y[0], scale=y[1], zero_point=y[2])
    writer.op(op, inputs, [target], **options)
    return writer.finish([source], [target])

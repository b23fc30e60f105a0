"""PAD and PADV2 against LiteRT."""

import numpy as np
import pytest
from celosia.host.frontends.tflite_writer import ModelWriter
from golden_check import check_noise, unary


@pytest.mark.parametrize("seed", range(10))
def test_random_padding(seed):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(2, 5))
    shape = (1, *rng.integers(1, 6, rank - 1).tolist())
    widths = np.vstack([[[0, 0]], rng.integers(0, 4, (rank - 1, 2))])
    padded = tuple((np.array(shape) + widths.sum(axis=1)).tolist())
    tensor = (0.25, int(rng.integers(-128, 128)))
    check_noise(unary("PAD", (shape, *tensor), (padded, *tensor), constant=widths), seed)


def test_padding_with_a_value():
    writer = ModelWriter()
    x = writer.tensor("x", (1, 3), scale=0.5, zero_point=4)
    widths = writer.tensor("widths", (2, 2), "int32", data=[[0, 0], [2, 1]])
    value = writer.tensor("value", (1,), scale=0.5, zero_point=4, data=[-77])
    y = writer.tensor("y", (1, 6), scale=0.5, zero_point=4)
    writer.op("PADV2", [x, widths, value], [y])
    graph = check_noise(writer.finish([x], [y]), 1)
    assert graph.nodes[0].value == -77

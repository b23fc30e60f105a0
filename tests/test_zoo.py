"""The models of familiar architectures run in LiteRT and tell their inputs apart."""

import networks
import numpy as np
import pytest
import zoo


@pytest.mark.parametrize("name", zoo.MODELS)
def test_reference_kernels_run_the_zoo(name):
    model = zoo.MODELS[name]()
    assert model == zoo.MODELS[name]()
    x = zoo.samples(model, seed=1, count=3)
    tensors = networks.reference_tensors(model, x[:1])
    for tensor, values in tensors.items():
        if values.dtype == np.int8 and values.size > 100 and not tensor.startswith("weights"):
            assert (values == 127).mean() < 0.1, f"{tensor} is cut off"
    outputs = networks.reference(model, x)
    assert len(np.unique(outputs, axis=0)) == 3

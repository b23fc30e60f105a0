"""onnxruntime: answers of float networks and of simulated ones, some samples at a time."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...sim.errors import ModelError
from . import extras
from .network import Float32Array

_CHUNK = 1 << 21  # values of the largest activation at once, more or less


class Runner:
    """A model for any number of samples. `samples_at_once` keeps memory small."""

    def __init__(self, model: bytes, outputs: Sequence[str], samples_at_once: int) -> None:
        runtime = extras.load("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others may need the cores
        try:
            self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # classes of its own, made in C++
            raise ModelError(f"onnxruntime cannot run the network: {' '.join(str(error).split())}") from error
        self._outputs = list(outputs)
        self._input = self._session.get_inputs()[0].name
        self._step = samples_at_once

    def chunks(self, x: Float32Array, tell: Callable[[int], None] | None = None) -> Iterator[list[Float32Array]]:
        """The outputs, some samples after others."""
        for first in range(0, len(x), self._step):
            part = {self._input: x[first : first + self._step]}
            try:
                found = self._session.run(self._outputs, part)
            except Exception as error:
                raise ModelError(f"onnxruntime cannot run the network: {' '.join(str(error).split())}") from error
            yield found
            if tell:
                tell(min(first + self._step, len(x)))

    def run(self, x: Float32Array) -> Float32Array:
        """The first output for all samples."""
        return np.concatenate([outputs[0] for outputs in self.chunks(x)])


def at_once(sizes: Sequence[int]) -> int:
    """How many samples at a time, for activations of these sizes."""
    return max(1, min(500, _CHUNK // max(sizes)))

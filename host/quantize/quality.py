"""How good a network's answers are: right labels, or the float network's own answers where there are no labels.

accuracy     of labels: share of samples whose largest output is the label's
agreement    without labels: share of samples whose largest output is the float network's
fidelity     where the output is no row of classes: 1 - mean square of the difference to the float network's answers, in
             units of those answers' variance
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..labels import accuracy, check, has_classes
from .network import Float32Array, FloatNetwork


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """Judges answers (N, ...) by `labels` (N,), or by the float network's `answers`. Scores are 0..1, fidelity below 0 too."""

    measure: str
    answers: Float32Array
    labels: npt.NDArray[np.int64]

    @property
    def float_score(self) -> float:
        """Of the float network."""
        return self.score(self.answers)

    def score(self, answers: Float32Array) -> float:
        """Of a network's answers to the same samples."""
        if self.measure == "fidelity":
            variance = float(np.var(self.answers.astype(np.float64))) or 1.0
            return 1 - float(np.square(answers.astype(np.float64) - self.answers).mean()) / variance
        return accuracy(answers, self.labels)


def judge_of(network: FloatNetwork, answers: Float32Array, labels: npt.NDArray[np.generic] | None) -> Judge:
    """The judge for a float network's answers (N, ...). Raises ModelError where labels do not fit them."""
    shape = next((step.shape for step in network.steps if step.output == network.output), network.shape)
    if labels is None:
        largest = answers.reshape(len(answers), -1).argmax(axis=1).astype(np.int64)
        return Judge(measure="agreement" if has_classes(shape) else "fidelity", answers=answers, labels=largest)
    whole = check(labels, samples=len(answers), shape=shape)
    return Judge(measure="accuracy", answers=answers, labels=whole)

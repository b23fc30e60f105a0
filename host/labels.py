"""The right class of every sample: checks labels against a network's answers, and counts the answers that are right."""

from math import prod

import numpy as np
import numpy.typing as npt

from ..sim.errors import ModelError


def has_classes(shape: tuple[int, ...]) -> bool:
    """Whether an output of this shape, of one sample, is a row of values, one a class."""
    return max(shape[1:], default=1) == prod(shape) > 1


def check(labels: npt.NDArray[np.generic], *, samples: int, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """The labels (samples,) of a network whose output for one sample has `shape`. Raises ModelError where they do not fit."""
    classes = prod(shape)
    if not has_classes(shape):
        raise ModelError(f"labels need a network with an output a class, and its output has the shape {shape}: leave them out")
    if labels.shape != (samples,):
        raise ModelError(f"the labels have the shape {labels.shape}, and must be ({samples},): one a sample of the data")
    if labels.dtype.kind not in "iu":
        raise ModelError(f"the labels are {labels.dtype}, and must be whole numbers: the index of each sample's class")
    whole = labels.astype(np.int64)
    wrong = np.flatnonzero((whole < 0) | (whole >= classes))
    if len(wrong):
        raise ModelError(
            f"label {wrong[0]} is {whole[wrong[0]]}, and must be one of 0 to {classes - 1}: the network has {classes} outputs"
        )
    return whole


def accuracy(answers: npt.NDArray[np.generic], labels: npt.NDArray[np.integer]) -> float:
    """Share of the answers (N, ...) whose largest value is at the label's index."""
    return float((answers.reshape(len(answers), -1).argmax(axis=1) == labels).mean())

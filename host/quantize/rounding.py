"""Rounding weights so that errors cancel: what one weight loses, the ones that are still to be rounded make up for.

Optimal brain quantization in the order and with the Cholesky factor of GPTQ (Frantar et al., "GPTQ: Accurate Post-Training
Quantization for Generative Pre-trained Transformers", 2022): minimizes (w - q)' C (w - q) greedily, C the covariance of the
layer's inputs; the means are left to the bias.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .network import Float64Array

_DAMPING = 0.01  # of the mean variance: inputs that the data leaves unknown


@dataclass(frozen=True, kw_only=True, eq=False)
class Factor:
    """Of a covariance: itself, damped; the order to round in, largest variance first; the factor of its inverse in it."""

    damped: Float64Array
    order: npt.NDArray[np.intp]
    factor: Float64Array


def factor_of(covariance: Float64Array) -> Factor:
    """The factor of a covariance (K, K)."""
    width = len(covariance)
    damped = covariance + np.eye(width) * (_DAMPING * np.trace(covariance) / width + 1e-12)
    order = np.argsort(-np.diag(damped), kind="stable")
    factor = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    return Factor(damped=damped, order=order, factor=factor)


def compensated(
    weights: Float64Array, scales: npt.NDArray[np.floating], found: Factor | None, most: int
) -> npt.NDArray[np.int64]:
    """Whole numbers (outputs, K) in -most..most for weights / scales, scales (outputs,); to the nearest without a factor."""
    units = scales.astype(np.float64)[:, np.newaxis]
    nearest = np.clip(np.round(weights / units), -most, most)
    if found is None:
        return nearest.astype(np.int64)
    order, factor = found.order, found.factor
    left = weights[:, order].copy()
    whole = np.empty_like(left)
    for place in range(left.shape[1]):
        whole[:, place] = np.clip(np.round(left[:, place] / units[:, 0]), -most, most)
        error = (left[:, place] - whole[:, place] * units[:, 0]) / factor[place, place]
        left[:, place + 1 :] -= error[:, np.newaxis] * factor[place, place + 1 :]
    ordered = np.empty_like(whole)
    ordered[:, order] = whole
    better = _lost(weights - ordered * units, found.damped) < _lost(weights - nearest * units, found.damped)
    return np.where(better[:, np.newaxis], ordered, nearest).astype(np.int64)


def _lost(errors: Float64Array, covariance: Float64Array) -> Float64Array:
    return ((errors @ covariance) * errors).sum(axis=1)

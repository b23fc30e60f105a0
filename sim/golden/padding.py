"""Padding with a constant."""

from collections.abc import Sequence

import numpy as np

from .requantize import Int8Array
from .windows import Pair


def pad(x: Int8Array, padding: Sequence[Pair], value: int) -> Int8Array:
    """x inside a frame of `value`: (before, after) for each axis. Source: TensorFlow Lite `reference_ops::Pad`."""
    return np.pad(x, padding, constant_values=value)

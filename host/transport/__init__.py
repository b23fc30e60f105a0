"""Links to a fabric: the same words, whatever carries them."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]


class Transport(Protocol):
    """Two streams of 32-bit words. `sim.engine.Simulator` is one; a board's link is another."""

    def write(self, words: Words) -> None:
        """Sends words, or queues them."""

    def read(self, count: int) -> Words:
        """Waits for `count` words. Raises DeviceError where they do not come."""

    def close(self) -> None:
        """Lets the link go."""

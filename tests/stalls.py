"""When one side of a stream pauses, for unit tests and benches alike."""

from collections.abc import Iterator

import numpy as np

STALLS = ("none", "random", "bursty")


def pauses(rng: np.random.Generator, kind: str) -> Iterator[bool]:
    """Whether it pauses, cycle by cycle: never, in every other cycle or so, or in bursts."""
    share = rng.uniform(0.2, 0.8)
    while True:
        if kind == "none":
            yield False
        elif kind == "random":
            yield bool(rng.random() < share)
        else:
            yield from [False] * int(rng.integers(1, 30))
            yield from [True] * int(rng.integers(1, 30))

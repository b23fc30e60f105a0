"""Damaged model files: an importer answers with a graph or with a `ModelError`, whatever the bytes are."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import networks
import numpy as np
from celosia import ModelError
from celosia.host.frontends.tflite import parse
from celosia.host.passes import simplify

BYTES, RUNS = 1_000_000, 20
"""Changed bytes of the long run, and seeds that share them."""

_TELLING = np.array([0, 1, 2, 3, 4, 7, 8, 15, 16, 63, 64, 127, 128, 129, 254, 255], np.uint8)


@cache
def whole_models() -> tuple[bytes, ...]:
    """Files to damage: every operator, few weights, so that most bytes mean something."""
    # With few fully-connected outputs, whose multipliers are searched for, a file is read in milliseconds.
    small = [networks.random_network(seed, size="tiny", branches=True) for seed in (0, 3, 6, 7, 16, 18, 19, 21)]
    single = [
        networks.conv(1, (1, 4, 4, 3), 2, (3, 3)),
        networks.depthwise(2, (1, 4, 4, 3)),
        networks.fully_connected(3, (1, 6), 3),
        networks.add(4, (1, 3, 2, 2), broadcast=True),
        networks.pool(5, (1, 4, 4, 2), "average"),
    ]
    return (*single, *small)


def damaged(rng: np.random.Generator, data: bytes) -> tuple[bytes, int]:
    """A file with some bytes other than they were, and how many: scattered, in a row, as a number, cut out or put in."""
    values = np.frombuffer(data, np.uint8).copy()
    kind = rng.integers(6)
    count = int(rng.choice([1, 1, 2, 4, 8, 32, 128, 512]))
    # Headers and tables lie at both ends of what is no weights; draw near the ends as often as anywhere.
    if rng.random() < 0.5:
        begin = int(rng.integers(min(len(values), 600)))
        begin = begin if rng.random() < 0.3 else len(values) - 1 - begin
    else:
        begin = int(rng.integers(len(values)))
    if kind == 0:
        places = rng.integers(0, len(values), count)
        values[places] = rng.integers(0, 256, count)
    elif kind == 1:
        part = values[begin : begin + count]
        part[:] = rng.integers(0, 256, len(part))
        count = len(part)
    elif kind == 2:
        part = values[begin : begin + 4]
        part[:] = rng.choice(_TELLING, len(part))
        count = len(part)
    elif kind == 3:
        values[begin] ^= 1 << rng.integers(8)
        count = 1
    elif kind == 4:
        values = np.delete(values, slice(begin, begin + count))
    else:
        values = np.insert(values, begin, rng.integers(0, 256, count).astype(np.uint8))
    return values.tobytes(), count


@dataclass
class Tally:
    """What became of the files."""

    files: int = 0
    fuzzed_bytes: int = 0
    read: int = 0
    refused: int = 0
    crashes: list[str] = field(default_factory=list)


def import_one(data: bytes) -> str:
    """Whether the file was "read", or "refused" with one sentence; anything but a ModelError passes through."""
    try:
        simplify(parse(data))
    except ModelError as error:
        sentence = str(error)
    else:
        return "read"
    if not sentence.strip() or "\n" in sentence:
        raise AssertionError(f"a ModelError must be one sentence, not {sentence!r}")
    return "refused"


def fuzz(seed: int, fuzzed_bytes: int) -> Tally:
    """Files until so many bytes have been changed. A crash names the seed and the number of the file that does it."""
    tally = Tally()
    for number, data, count in files(seed):
        if tally.fuzzed_bytes >= fuzzed_bytes:
            return tally
        tally.files += 1
        tally.fuzzed_bytes += count
        try:
            outcome = import_one(data)
        except Exception as error:
            tally.crashes.append(f"seed {seed}, file {number}: {type(error).__name__}: {error}")
        else:
            tally.read += outcome == "read"
            tally.refused += outcome == "refused"
    raise AssertionError("there is no end of files")


def files(seed: int) -> Iterator[tuple[int, bytes, int]]:
    """(number, damaged file, bytes changed), each from a generator of its own."""
    models = whole_models()
    number = 0
    while True:
        rng = np.random.default_rng((seed, number))
        data, count = damaged(rng, models[int(rng.integers(len(models)))])
        if rng.random() < 0.3:
            data, more = damaged(rng, data)
            count += more
        yield number, data, count
        number += 1

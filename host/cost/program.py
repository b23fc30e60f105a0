"""Cycles of one program: its descriptors in order, their fetching, and the weights that stream meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...hw.config import FabricConfig
from .latencies import latencies_of
from .stream import Ring
from .walk import Cycles, Walk

_STREAM_BEGIN = 2
"""Cycle of the first payload word behind START's packet, where START's address came in cycle -1: header and address."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """A tensor on its way out: `words` of 32 bits."""

    words: int


@dataclass(frozen=True, kw_only=True)
class Span:
    """One descriptor in time, in cycles since its program's start.

    begin       the first cycle that its record counts
    launched    the first cycle of its unit
    walked      the cycle behind the last step, or the last word sent
    end         the cycle behind the last one that its record counts
    """

    begin: int
    launched: int
    walked: int
    end: int
    cycles: Cycles


@dataclass(frozen=True, kw_only=True)
class ProgramCycles:
    """A program in time: a span a descriptor, and the cycles of the first and last stream word of each weight word loaded."""

    spans: tuple[Span, ...]
    loads: tuple[tuple[int, int], ...]

    @property
    def cycles(self) -> int:
        """From the start to the end of the last descriptor."""
        return self.spans[-1].end if self.spans else 0


def run_program(parts: Sequence[Walk | Store], config: FabricConfig, *, ring_words: int) -> ProgramCycles:
    """The cycles of a program, its first descriptor's record beginning at 0; the host gives and takes a word a cycle."""
    latencies = latencies_of(config)
    ring = Ring(config, words=ring_words, begin=_STREAM_BEGIN - 1)
    spans = []
    fetched = latencies.fetch - 1
    begin = 0
    for part in parts:
        take = max(begin, fetched)
        fetched = take + latencies.fetch
        launched = take + latencies.launch + (1 if isinstance(part, Store) else latencies.start)
        if isinstance(part, Store):
            walked = launched - 1 + latencies.store + part.words
            end = walked + latencies.stored
            cycles = Cycles(activations=launched - begin + end - walked, output=walked - launched)
        else:
            steps = ring.walk(part, launched, config) if part.streamed else part.resident(config)
            walked = launched + steps.cycles
            end = walked + part.drain(config)
            cycles = steps + Cycles(activations=launched - begin + end - walked)
        spans.append(Span(begin=begin, launched=launched, walked=walked, end=end, cycles=cycles))
        begin = end
    return ProgramCycles(spans=tuple(spans), loads=tuple(ring.loads))

"""Weights through the ring: when each word is there, and when its place is free again.

stream words --> claim the next place, when its last reader has left --> loaded --> taken for the last time, released
"""

from ...hw.config import STREAM_BYTES, FabricConfig
from .latencies import latencies_of
from .walk import Cycles, Walk


class Ring:
    """The ring during one program, weight word by weight word.

    Parameters: `words` that the ring holds, full when the program starts as far as the program has so many; `begin`, the
    cycle of the first stream word behind the start.
    """

    def __init__(self, config: FabricConfig, *, words: int, begin: int):
        latencies = latencies_of(config)
        self._load, self._release = latencies.load, latencies.release
        self._words = words
        self._stream_words = config.word_bytes // STREAM_BYTES
        self._free = begin  # the loader's
        self._released: list[int] = []
        self._next = 0
        self.loads: list[tuple[int, int]] = []
        """Cycles of the first and the last stream word of every weight word that came after the start."""

    def walk(self, walk: Walk, begin: int, config: FabricConfig) -> Cycles:
        """Steps and stalls of a streamed descriptor whose first cycle is `begin`."""
        result_pace, tile_pace = walk.result_pace(config), config.tile_cycles
        now = begin - 1  # the last step's cycle
        result_end = tile_end = begin - max(result_pace, tile_pace)
        weights = output = 0
        for _ in range(walk.tiles):
            # The first result waits for each word; the last one releases them.
            for step in range(walk.steps):
                paced = now + 1
                if step == walk.steps - 1:
                    paced = max(paced, result_end + result_pace)
                    if walk.results == 1:
                        paced = max(paced, tile_end + tile_pace)
                taken = max(paced, self._arrival(self._next + step))
                output += paced - now - 1
                weights += taken - paced
                now = taken
                if walk.results == 1:
                    self._released.append(now)
            result_end = now
            if walk.results > 1:
                last_begin = now + (walk.results - 2) * walk.result_cycles(config)
                now = max(last_begin + walk.result_cycles(config), tile_end + tile_pace)
                output += now - result_end - (walk.results - 1) * walk.steps
                self._released.extend(last_begin + 1 + step for step in range(walk.steps - 1))
                self._released.append(now)
                result_end = now
            tile_end = now
            self._next += walk.steps
        return Cycles(busy=walk.words * walk.results, weights=weights, output=output)

    def _arrival(self, word: int) -> int:
        """First cycle in which a step may take the program's weight word of that number."""
        if word < self._words:
            return 0
        while len(self.loads) <= word - self._words:
            place = self._released[len(self.loads)] + self._release
            first = max(self._free, place)
            self._free = first + self._stream_words
            self.loads.append((first, self._free - 1))
        return self.loads[word - self._words][1] + self._load

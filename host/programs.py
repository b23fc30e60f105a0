"""A segment's jobs cut into programs: what one START runs, within what the fabric's memories hold. No addresses yet."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..hw.config import FabricConfig
from ..hw.isa import DESCRIPTOR_WORDS
from ..sim.errors import CapacityError
from .ir import Graph
from .jobs import Job

PACKET_WORDS = 2
"""Words of a packet before its payload: header and address."""

PAYLOAD_LIMIT = (1 << 24) - 1
"""Most payload words of a packet: what its header can count."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """A tensor that a program sends back."""

    tensor: str
    words: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Draft:
    """A program before it has addresses."""

    jobs: tuple[Job, ...]
    results: tuple[Result, ...]

    @property
    def entries(self) -> int:
        """Entries of the channel-parameter memory."""
        return sum(job.entries for job in self.jobs)

    @property
    def depthwise_entries(self) -> int:
        """Entries of the depthwise unit's weight memory."""
        return sum(job.depthwise_entries for job in self.jobs)

    @property
    def words(self) -> int:
        """Words of program memory."""
        return DESCRIPTOR_WORDS * (len(self.jobs) + len(self.results) + 1)

    @property
    def records(self) -> tuple[str, ...]:
        """The node of each descriptor, "" for a result on its way out."""
        return tuple(job.layer.node.name for job in self.jobs) + ("",) * len(self.results)


def cut(jobs: Sequence[Job], outputs: Sequence[str], graph: Graph, config: FabricConfig) -> list[Draft]:
    """The programs of a segment; the last one sends the results.

    Raises CapacityError where the fabric holds not even the descriptors of the results.
    """
    limit = min(config.program_words // DESCRIPTOR_WORDS - 1, config.record_depth)
    stores = tuple(Result(tensor=name, words=-(-graph.tensors[name].stored_bytes // 4)) for name in outputs)
    if len(stores) > limit:
        raise CapacityError(
            f"a run of nodes has {len(stores)} results, and the program memory of {config.name} holds {limit} descriptors; "
            "take a fabric with more program_words and record_depth"
        )
    drafts = []
    taken: list[Job] = []
    entries = depthwise_entries = 0
    for job in jobs:
        if taken and (
            len(taken) == limit
            or entries + job.entries > config.tile_depth
            or depthwise_entries + job.depthwise_entries > config.depthwise_tiles
        ):
            drafts.append(Draft(jobs=tuple(taken), results=()))
            taken, entries, depthwise_entries = [], 0, 0
        taken.append(job)
        entries += job.entries
        depthwise_entries += job.depthwise_entries
    if len(taken) + len(stores) > limit:
        drafts.append(Draft(jobs=tuple(taken), results=()))
        taken = []
    return [*drafts, Draft(jobs=tuple(taken), results=stores)]


def streamed_runs(jobs: Sequence[Job], ahead: int) -> tuple[list[tuple[bool, int]], list[tuple[bool, int]]]:
    """Words of weights that stream, in order: up to `ahead` of them, and the rest, as (whether of 16 bits, how many)."""
    parts: tuple[list[tuple[bool, int]], list[tuple[bool, int]]] = ([], [])
    for job in jobs:
        words = job.walk.words if job.streamed else 0
        for part, count in zip(parts, (min(ahead, words), words - min(ahead, words)), strict=True):
            if count and part and part[-1][0] == job.layer.whole:
                part[-1] = (job.layer.whole, part[-1][1] + count)
            elif count:
                part.append((job.layer.whole, count))
        ahead -= min(ahead, words)
    return parts


def all_stay(drafts: Sequence[Draft], config: FabricConfig) -> bool:
    """Whether the fabric holds all programs with their channel parameters at once; else each is loaded when it is due."""
    return (
        sum(draft.words for draft in drafts) <= config.program_words
        and sum(draft.entries for draft in drafts) <= config.tile_depth
        and sum(draft.depthwise_entries for draft in drafts) <= config.depthwise_tiles
    )

"""What an inference costs on a fabric, without running it: cycles by descriptor and by layer, memory, transfers.

All of it is exact as long as the link carries a stream word a cycle, as the simulator's does: tests hold the simulator's
records to it. A slower link adds waiting for weights where they stream, and transfer at both ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...hw.config import STREAM_BYTES, FabricConfig
from ...hw.isa import CHANNEL_WORDS, RECORD_WORDS
from ...hw.mac.depthwise_lane import TAPS
from ..device import Counters, LayerCounters
from ..programs import PACKET_WORDS, PAYLOAD_LIMIT, Draft, all_stay, cut, streamed_runs
from .program import ProgramCycles, Store, run_program
from .walk import Cycles, Walk

if TYPE_CHECKING:
    from ..schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """What a network takes of one of the fabric's memories, of `available` in all."""

    name: str
    unit: str
    used: int
    available: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One program of an inference, in time.

    words_before    stream words that come before its start, its input's among them
    words_after     stream words of weights that come behind it
    """

    draft: Draft
    time: ProgramCycles
    words_before: int
    words_after: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """What one inference costs.

    cycles          from its start command, its input on the chip, to its last output word
    cycles_io       transfer in and out at a stream word a cycle
    words_in, words_out     stream words of one inference
    setup_words     stream words once, when the network is loaded
    runs            its programs, in order
    memory          the fabric's memories
    """

    cycles: int
    cycles_io: int
    words_in: int
    words_out: int
    setup_words: int
    runs: tuple[Run, ...]
    memory: tuple[MemoryUse, ...]

    @property
    def layers(self) -> dict[str, Cycles]:
        """By node name, results' transfer ("") too: all descriptors of a node together."""
        layers: dict[str, Cycles] = {}
        for run in self.runs:
            for name, span in zip(run.draft.records, run.time.spans, strict=True):
                layers[name] = layers.get(name, Cycles()) + span.cycles
        return layers

    @property
    def counters(self) -> Counters:
        """As a device would have counted one inference."""
        spans = [span for run in self.runs for span in run.time.spans]
        return Counters(
            samples=1,
            cycles=self.cycles,
            cycles_io=self.cycles_io,
            bytes_in=STREAM_BYTES * self.words_in,
            bytes_out=STREAM_BYTES * self.words_out,
            layers={name: _counted(cycles) for name, cycles in self.layers.items() if name},
            descriptors=tuple(_counted(span.cycles) for span in spans),
        )


def estimate(plan: "Schedule") -> Estimate:
    """The cost of one inference of a schedule.

    Raises CapacityError where the fabric holds not even the descriptors of the network's results.
    """
    graph, config = plan.graph, plan.config
    segments = [(segment, cut(segment.jobs, segment.outputs, graph, config)) for segment in plan.segments]
    drafts = [draft for _, part in segments for draft in part]
    stay = all_stay(drafts, config)
    runs = []
    inputs = 0
    for segment, part in segments:
        before = sum(PACKET_WORDS + -(-graph.tensors[name].stored_bytes // STREAM_BYTES) for name in segment.inputs)
        inputs += before
        for draft in part:
            runs.append(_run(draft, plan, before + (0 if stay else PACKET_WORDS + _load_words(draft, config))))
            before = 0
    results = sum(PACKET_WORDS + result.words for draft in drafts for result in draft.results)
    resident, identity = _resident(drafts)
    return Estimate(
        cycles=sum(run.time.cycles for run in runs),
        cycles_io=inputs + results,
        words_in=sum(run.words_before + PACKET_WORDS + run.words_after for run in runs),
        words_out=results + sum(PACKET_WORDS + RECORD_WORDS * len(draft.records) for draft in drafts),
        setup_words=PACKET_WORDS  # the ring
        + sum(_packets(count * config.word_bytes // STREAM_BYTES) for count in [*resident, *identity])
        + (sum(_load_words(draft, config) for draft in drafts) if stay else 0),
        runs=tuple(runs),
        memory=_memory(plan, drafts, sum(resident) + sum(identity), stay),
    )


def _run(draft: Draft, plan: "Schedule", before: int) -> Run:
    config = plan.config
    word = config.word_bytes // STREAM_BYTES
    ahead, rest = streamed_runs(draft.jobs, plan.ring_size)
    parts: list[Walk | Store] = [*(job.walk for job in draft.jobs), *(Store(words=result.words) for result in draft.results)]
    return Run(
        draft=draft,
        time=run_program(parts, config, ring_words=plan.ring_size),
        words_before=before + sum(_packets(count * word) for _, count in ahead),
        words_after=sum(_packets(count * word) for _, count in rest),
    )


def _packets(words: int) -> int:
    """Stream words of `words` payload words: packets are filled up, and there is none of no words."""
    return words + PACKET_WORDS * -(-words // PAYLOAD_LIMIT)


def _load_words(draft: Draft, config: FabricConfig) -> int:
    """Stream words that load a program, its channel parameters, and its weights of the depthwise unit."""
    words = _packets(draft.words)
    words += _packets(draft.entries * config.cols * CHANNEL_WORDS)
    return words + _packets(draft.depthwise_entries * TAPS * config.cols // STREAM_BYTES)


def _resident(drafts: Sequence[Draft]) -> tuple[list[int], list[int]]:
    """Words of the weight buffer by layer part; then the identity word of pooling, if there is any."""
    kept = [job for draft in drafts for job in draft.jobs if job.layer.weights is not None and not job.streamed]
    return [job.walk.words for job in kept if not job.layer.repeat and not job.again], [1] if any(
        job.layer.repeat for job in kept
    ) else []


def _memory(plan: "Schedule", drafts: Sequence[Draft], resident: int, stay: bool) -> tuple[MemoryUse, ...]:
    """What the network takes of every memory; of those that programs share, where they do not all stay, the most at a time."""
    config = plan.config
    every = sum if stay else max
    streams = any(job.streamed for draft in drafts for job in draft.jobs)
    partial = [job.walk.results * job.tiles for draft in drafts for job in draft.jobs if job.partial_in or job.partial_out]
    table = [
        ("activations", "bytes", max((segment.memory.used for segment in plan.segments), default=0), config.activation_bytes),
        ("weights", "words", resident + (plan.ring_size if streams else 0), config.weight_depth),
        ("programs", "words", every([draft.words for draft in drafts] or [0]), config.program_words),
        ("channel parameters", "tiles", every([draft.entries for draft in drafts] or [0]), config.tile_depth),
        (
            "depthwise weights",
            "tiles",
            every([draft.depthwise_entries for draft in drafts] or [0]),
            config.depthwise_tiles,
        ),
        ("partial sums", "results", max(partial, default=0), config.partial_depth),
        ("records", "descriptors", max((len(draft.records) for draft in drafts), default=0), config.record_depth),
    ]
    return tuple(MemoryUse(name=name, unit=unit, used=used, available=there) for name, unit, used, there in table)


def _counted(cycles: Cycles) -> LayerCounters:
    return LayerCounters(
        cycles=cycles.cycles,
        busy=cycles.busy,
        weights=cycles.weights,
        activations=cycles.activations,
        output=cycles.output,
    )

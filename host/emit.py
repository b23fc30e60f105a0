"""From a schedule to the words on the transport: packed weights, channel parameters, descriptors, packets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..hw.config import BYTE_BITS, FabricConfig
from ..hw.isa import CHANNEL_BIAS_PLACE, CHANNEL_WORDS, DESCRIPTOR_WORDS, RECORD_WORDS, Command, Descriptor, Operation
from ..sim import golden
from .ir import Graph, Int8Array
from .jobs import Job
from .lowering import Channels
from .programs import PACKET_WORDS, PAYLOAD_LIMIT, Draft, Result, all_stay, cut, streamed_runs
from .schedule import Schedule, Segment
from .transport import Words


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """What one START runs.

    again       packet to send before the inputs, where the program before may still run; empty if it must have ended
    before      packets to send each time before START: what had no room to stay, and the ring's first weights
    start       the START packet
    after       packets to send while it runs: the weights that stream
    results     what comes back, in order
    records     the node of each descriptor, "" for a result on its way out
    """

    again: Words
    before: Words
    start: Words
    after: Words
    results: tuple[Result, ...]
    records: tuple[str, ...]

    @property
    def answer_words(self) -> int:
        """Words that come back: RESULT packets, then DONE."""
        results = sum(PACKET_WORDS + result.words for result in self.results)
        return results + PACKET_WORDS + RECORD_WORDS * len(self.records)


@dataclass(frozen=True, kw_only=True, eq=False)
class Commands:
    """A schedule's words: `setup` once, then each segment's programs for every inference."""

    setup: Words
    programs: dict[int, tuple[Program, ...]]  # by the segment's index in Schedule.steps


def emit(plan: Schedule) -> Commands:
    """The words of a schedule. Raises CapacityError where one descriptor alone is too much for the fabric's memories."""
    return _Emitter(plan).run()


def packet(command: Command, address: int, payload: Sequence[int] | Words = ()) -> Words:
    """One packet. Raises ValueError where the payload is longer than a header can count."""
    words = np.asarray(payload, dtype=np.uint32)
    if len(words) > PAYLOAD_LIMIT:
        raise ValueError(f"a packet carries at most {PAYLOAD_LIMIT} words, not {len(words)}")
    return np.concatenate([np.array([len(words) | command.value << 24, address], np.uint32), words])


def activations_packet(address: int, values: Int8Array) -> Words:
    """LOAD_ACTIVATIONS of a tensor's bytes."""
    return packet(Command.LOAD_ACTIVATIONS, address, as_words(values))


def as_words(values: Int8Array) -> Words:
    """Bytes as stream words, the last one filled with zeros."""
    flat = np.ascontiguousarray(values, dtype=np.int8).reshape(-1)
    return np.pad(flat, (0, -flat.size % 4)).view("<u4").astype(np.uint32)


def descriptor_words(**values: object) -> Words:
    """A descriptor as program words."""
    number = Descriptor.const(values).as_value().value
    return np.array([number >> 32 * word & 0xFFFFFFFF for word in range(DESCRIPTOR_WORDS)], np.uint32)


class _Emitter:
    """Walks a schedule once, handing out addresses in the weight buffer, channel parameters and program memory."""

    def __init__(self, plan: Schedule):
        self._plan = plan
        self._config: FabricConfig = plan.config
        self._weights: list[Words] = []
        self._next_word = 0
        self._identity: int | None = None
        self._bases: dict[tuple[str, int], int] = {}  # of weights that stay, by node and first tile

    def run(self) -> Commands:
        config = self._config
        segments = {index: step for index, step in enumerate(self._plan.steps) if isinstance(step, Segment)}
        programs = {index: cut(segment.jobs, segment.outputs, self._plan.graph, config) for index, segment in segments.items()}
        resident = all_stay([draft for drafts in programs.values() for draft in drafts], config)
        setup = [packet(Command.SET_RING, self._plan.ring_base)]
        finished: dict[int, tuple[Program, ...]] = {}
        word = entry = depthwise = 0
        for index, drafts in programs.items():
            ready = []
            for draft in drafts:
                loads, start, stream = self._program(draft, segments[index], word, entry, depthwise)
                if resident:
                    setup.extend(loads)
                    word += draft.words
                    entry += draft.entries
                    depthwise += draft.depthwise_entries
                    loads = []
                else:
                    loads = [packet(Command.WAIT, 0), *loads]
                ahead, rest = self._streamed(draft, stream)
                ready.append(
                    Program(
                        again=_again(segments[index], drafts),
                        before=_join([*loads, *ahead]),
                        start=start,
                        after=_join(rest),
                        results=draft.results,
                        records=draft.records,
                    )
                )
            finished[index] = tuple(ready)
        return Commands(setup=_join([*self._weights, *setup]), programs=finished)

    def _program(
        self, draft: Draft, segment: Segment, word: int, entry: int, depthwise: int
    ) -> tuple[list[Words], Words, Words]:
        """Load packets, START packet, and streamed weight words of one program.

        It begins at program word `word`, tile entry `entry`, and entry `depthwise` of the depthwise unit.
        """
        graph = self._plan.graph
        first, first_depthwise = entry, depthwise
        descriptors, channels, taps, stream = [], [], [], []
        for job in draft.jobs:
            base = 0
            if job.layer.weights is not None:
                if job.streamed:
                    stream.append(as_words(job.weights))
                else:
                    base = self._keep(job)
            if job.layer.window is not None:
                base = depthwise
                taps.append(as_words(job.taps))
                depthwise += job.depthwise_entries
            descriptors.append(_descriptor(job, segment, graph, self._config, weight_base=base, tile_base=entry))
            channels.append(_channel_words(job.channels))
            entry += job.entries
        for tag, result in enumerate(draft.results):
            descriptors.append(
                descriptor_words(
                    operation=Operation.STORE,
                    row_address=segment.memory.addresses[result.tensor],
                    length=result.words,
                    tag=tag,
                )
            )
        descriptors.append(descriptor_words(operation=Operation.END))
        loads = [packet(Command.LOAD_PROGRAM, word, _join(descriptors))]
        if channels:
            loads.append(packet(Command.LOAD_CHANNELS, first, _join(channels)))
        if taps:
            loads.append(packet(Command.LOAD_DEPTHWISE, first_depthwise, _join(taps)))
        return loads, packet(Command.START, word), _join(stream)

    def _streamed(self, draft: Draft, stream: Words) -> tuple[list[Words], list[Words]]:
        """Packets of a program's weights that stream: those that the ring has room for, and the rest."""
        word, begin = self._config.word_bytes // 4, 0
        parts: tuple[list[Words], list[Words]] = ([], [])
        for packets, runs in zip(parts, streamed_runs(draft.jobs, self._plan.ring_size), strict=True):
            for whole, count in runs:
                packets += _stream_packets(stream[begin : begin + count * word], whole=whole)
                begin += count * word
        return parts

    def _keep(self, job: Job) -> int:
        """Places a job's words in the weight buffer for good; the identity word of pooling is kept once."""
        if job.layer.repeat and self._identity is not None:
            return self._identity
        if job.again:
            return self._bases[job.layer.node.name, job.first_tile]
        base = self._next_word
        words = job.weights
        command = Command.LOAD_WHOLE_WEIGHTS if job.layer.whole else Command.LOAD_WEIGHTS
        self._weights.append(packet(command, base, as_words(words)))
        self._next_word += len(words)
        self._bases[job.layer.node.name, job.first_tile] = base
        if job.layer.repeat:
            self._identity = base
        return base


def _descriptor(job: Job, segment: Segment, graph: Graph, config: FabricConfig, *, weight_base: int, tile_base: int) -> Words:
    """The descriptor of a job: the layer's loops, narrowed to the job's tiles, results and steps."""
    layer, block, piece = job.layer, job.block, job.piece
    addresses = segment.memory.addresses
    cols = job.layer.channels.bias.size if layer.repeat else layer.channels.bias.size // layer.tiles
    row = layer.row_start + block.row * layer.output_row_step + piece.kernel_row * layer.kernel_row_step
    column = (
        layer.column_start
        + block.column * layer.output_column_stride
        + piece.kernel_column * layer.kernel_column_stride
        + piece.chunk * cols
        + (job.first_tile * cols if layer.diagonal else 0)
    )
    source, pad_value = addresses[layer.inputs[0]], layer.pad_value
    if layer.passes > 1:
        source += graph.tensors[layer.inputs[0]].size if job.lower else 0
        pad_value = int(golden.split_bytes(np.array(pad_value, np.int16))[int(job.lower)])
    kernel_row_stride = layer.kernel_row_step * layer.row_pitch
    operands: dict[str, Any] = {}
    if layer.add is not None:
        kernel_row_stride = addresses[layer.inputs[1]] - source
        operands = {
            "operand": {
                "right": {
                    "multiplier": layer.add.multipliers[1],
                    "zero_point": layer.add.zero_points[1],
                    "shift": -layer.add.shifts[1],
                }
            }
        }
    channels = layer.output_channels
    if layer.window is not None:
        operands = {
            "window_columns": layer.window.columns,
            "window_rows": layer.window.rows,
            "window_column": layer.window.column,
            "window_row": layer.window.row,
            "window_stride": layer.window.stride,
        }
    chunk_stride = config.rows
    if layer.pixels is not None:
        chunk_stride = layer.pixels.stride
        operands = {
            "last_bytes": layer.pixels.last_bytes,
            "pixels": layer.pixels.count,
            "last_pixels": layer.pixels.last,
            "pace": layer.pixels.pace,
        }
    planes = layer.planes
    if planes.read or planes.write:
        operands["operand"] = {
            "planes": {
                "read_planes": planes.read,
                "weight_planes": planes.weights,
                "write_planes": planes.write,
                "read_stride": planes.read_stride,
                "write_stride": planes.write_stride,
                "tiles": planes.tiles,
            }
        }
        operands.setdefault("pace", job.walk.result_pace(config))
    low, high, double = layer.low, layer.high, layer.double and not job.partial_out
    if layer.double:
        operands["operand"] = {"bytes": {"write_stride": graph.tensors[layer.output].size, "low": low, "high": high}}
        low = high = 0
    # Addresses of bits: the requantizer's count bits, the XNOR engine's bytes.
    outputs = cols // 2 if layer.whole else cols
    target, first_column = addresses[layer.output], job.first_tile * outputs
    if layer.binary and layer.operation is not Operation.XNOR:
        target *= BYTE_BITS
    elif layer.binary:
        first_column //= BYTE_BITS
    last_tile = job.first_tile + job.tiles == layer.tiles
    lanes = channels - (layer.tiles - 1) * outputs if last_tile else outputs
    return descriptor_words(
        operation=layer.operation,
        diagonal=layer.diagonal,
        stream_weights=job.streamed,
        repeat=layer.repeat,
        partial_in=job.partial_in,
        partial_out=job.partial_out,
        average=layer.average,
        round_once=layer.round_once,
        wide=layer.wide,
        binary=layer.binary,
        double=double,
        scaled=job.scaled,
        whole=layer.whole,
        chunk_stride=chunk_stride,
        pad_value=pad_value,
        row_address=source + row * layer.row_pitch,
        column_start=column,
        column_limit=layer.column_limit,
        row_start=row,
        row_limit=layer.row_limit,
        output_row_step=layer.output_row_step,
        kernel_row_step=layer.kernel_row_step,
        kernel_rows=piece.kernel_rows,
        kernel_columns=piece.kernel_columns,
        chunks=piece.chunks,
        output_columns=block.columns,
        output_rows=block.rows,
        tiles=job.tiles,
        last_lanes=lanes - (planes.tiles - 1) * config.cols,
        output_row_stride=layer.output_row_step * layer.row_pitch,
        kernel_row_stride=kernel_row_stride,
        output_column_stride=layer.output_column_stride,
        kernel_column_stride=layer.kernel_column_stride,
        weight_base=weight_base,
        tile_base=tile_base,
        write_address=target + block.row * layer.write_row_stride + block.column * layer.write_column_stride + first_column,
        write_column_stride=layer.write_column_stride,
        write_row_stride=layer.write_row_stride,
        zero_point=layer.zero_point,
        low=low,
        high=high,
        **operands,
    )


def _channel_words(channels: Channels) -> Words:
    """Three words a channel: shift and the rest of the bias, bias, multiplier."""
    shift = channels.shift.astype(np.int64) & ((1 << CHANNEL_BIAS_PLACE) - 1)
    rest = channels.bias >> 32 << CHANNEL_BIAS_PLACE
    table = np.stack([shift | rest, channels.bias, channels.multiplier], axis=1)
    assert table.shape[1] == CHANNEL_WORDS
    return (table & 0xFFFFFFFF).astype(np.uint32).reshape(-1)


def _again(segment: Segment, drafts: Sequence[Draft]) -> Words:
    """WAIT, until the next inputs may come; nothing where several programs share the segment's memory."""
    jobs = segment.jobs_before_next
    return _join([packet(Command.WAIT, jobs)] if jobs and len(drafts) == 1 else [])


def _stream_packets(words: Words, *, whole: bool) -> list[Words]:
    command = Command.STREAM_WHOLE_WEIGHTS if whole else Command.STREAM_WEIGHTS
    return [packet(command, 0, words[begin : begin + PAYLOAD_LIMIT]) for begin in range(0, len(words), PAYLOAD_LIMIT)]


def _join(parts: Sequence[Words]) -> Words:
    return np.concatenate(parts) if parts else np.zeros(0, np.uint32)

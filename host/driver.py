"""The driver: runs a schedule over a transport, segment by segment, and the CPU's nodes in between."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.lib import data

from ..hw.config import FabricConfig
from ..hw.isa import RECORD_WORDS, Answer, Record
from ..sim import golden
from ..sim.errors import DeviceError
from . import reference
from .device import Counters, LayerCounters
from .emit import Program, activations_packet, emit
from .ir import Graph, Node
from .placement import Placement
from .programs import PACKET_WORDS
from .schedule import Segment, schedule
from .transport import Transport, Words

Array = npt.NDArray[Any]
Counts = npt.NDArray[np.int64]

_COUNTERS = tuple(name for name, _ in data.Layout.cast(Record))
"""Names of a record's words, in their order."""


_BATCH = 16  # of inferences that overlap: enough to hide all but one input, little enough to show progress


@dataclass
class _Inference:
    """One on its way.

    values      tensors so far, by name
    layers      counts by node, in the order of a record
    records     of each program, one a descriptor
    cycles      of its programs
    words_io    of transfer: inputs and results with their packets
    hidden      of them, those that came while the inference before ran
    words_in, words_out
                all that went to the device and came from it
    """

    values: dict[str, Array]
    layers: dict[str, Counts] = field(default_factory=lambda: defaultdict(lambda: np.zeros(RECORD_WORDS, np.int64)))
    records: list[Counts] = field(default_factory=list)
    cycles: int = 0
    words_io: int = 0
    hidden: int = 0
    words_in: int = 0
    words_out: int = 0

    def counted(self) -> Counters:
        """What it has cost."""
        return Counters(
            samples=1,
            cycles=self.cycles,
            cycles_io=self.words_io - self.hidden,
            bytes_in=4 * self.words_in,
            bytes_out=4 * self.words_out,
            layers={name: _counters(counts) for name, counts in self.layers.items()},
            descriptors=tuple(_counters(counts) for records in self.records for counts in records),
        )


class FabricDevice:
    """A fabric at the end of a transport that holds one graph: a `Device`.

    Where the graph is one program with room for the next inputs, inferences overlap: while the fabric computes one, the next
    one's inputs come, and the CPU ends the one before.
    """

    def __init__(self, graph: Graph, config: FabricConfig, transport: Transport):
        self._graph = graph
        self._schedule = schedule(graph, config)
        self._commands = emit(self._schedule)
        self._transport = transport
        self._total = Counters()  # of whole inferences: what a lost one has cost does not count
        programs = [program for cut in self._commands.programs.values() for program in cut]
        self._overlaps = len(programs) == 1 and len(programs[0].again) > 0
        self.batch = _BATCH if self._overlaps else 1
        transport.write(self._commands.setup)

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Where each node runs, in the graph's order."""
        return self._schedule.placements

    def infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Runs one sample or more."""
        count = len(next(iter(inputs.values())))
        coming = [_Inference({name: values[at : at + 1] for name, values in inputs.items()}) for at in range(count)]
        if self._overlaps:
            self._run_overlapped(coming)
        else:
            for inference in coming:
                for index, step in enumerate(self._schedule.steps):
                    self._run_step(index, step, inference)
        self._total = sum((inference.counted() for inference in coming), start=self._total)
        return {name: np.concatenate([each.values[name] for each in coming]) for name in self._graph.outputs}

    def counters(self) -> Counters:
        """What was counted since the device was opened."""
        return self._total

    def close(self) -> None:
        """Lets the transport go."""
        self._transport.close()

    def _run_overlapped(self, inferences: Sequence[_Inference]) -> None:
        """Runs a graph of one segment, the CPU's nodes before and behind it aside."""
        steps = list(enumerate(self._schedule.steps))
        (place,) = (index for index, step in steps if isinstance(step, Segment))
        segment, (program,) = self._schedule.segments[0], self._commands.programs[place]
        before: _Inference | None = None
        for inference in (*inferences, None):
            if inference is not None:
                for index, step in steps[:place]:
                    self._run_step(index, step, inference)
                if before is not None:
                    self._send(program.again, inference)
                self._send_inputs(segment, inference)
                self._start(program, inference)
            if before is not None:
                self._take(program, before)
                if inference is not None:
                    left = int(before.records[0][segment.jobs_before_next :, 0].sum())
                    inference.hidden = min(left, inference.words_io)
                for index, step in steps[place + 1 :]:
                    self._run_step(index, step, before)
            before = inference

    def _run_step(self, index: int, step: Segment | Node, inference: _Inference) -> None:
        if isinstance(step, Segment):
            self._send_inputs(step, inference)
            for program in self._commands.programs[index]:
                self._start(program, inference)
                self._take(program, inference)
        else:
            values = inference.values
            values[step.output] = reference.evaluate(step, [values[name] for name in step.inputs], self._graph)

    def _send_inputs(self, segment: Segment, inference: _Inference) -> None:
        for name in segment.inputs:
            value = inference.values[name]
            if name in segment.transposed:
                value = value.transpose(0, 2, 1, 3)
            tensor = self._schedule.graph.tensors[name]
            if tensor.packed:
                value = golden.pack_bits(value).view(np.int8)
            elif tensor.planes:
                value = golden.pack_planes(value, tensor.planes).view(np.int8)
            elif tensor.doubled:
                value = golden.split_bytes(value)
            words = activations_packet(segment.memory.addresses[name], value)
            self._send(words, inference)
            inference.words_io += len(words)

    def _start(self, program: Program, inference: _Inference) -> None:
        for words in (program.before, program.start, program.after):
            self._send(words, inference)

    def _send(self, words: Words, inference: _Inference) -> None:
        self._transport.write(words)
        inference.words_in += len(words)

    def _take(self, program: Program, inference: _Inference) -> None:
        """Reads RESULT packets and the DONE packet of a program."""
        answer = self._transport.read(program.answer_words)
        inference.words_out += len(answer)
        position = 0

        def take(expected: Answer, count: int) -> tuple[int, Words]:
            nonlocal position
            header, address = (int(word) for word in answer[position : position + PACKET_WORDS])
            if header != (count | expected.value << 24):
                raise DeviceError(
                    f"the device answered {header:#010x} where a {expected.name} of {count} words was due: it is out of step; "
                    "reopen it"
                )
            payload = answer[position + PACKET_WORDS : position + PACKET_WORDS + count]
            position += PACKET_WORDS + count
            return address, payload

        for result in program.results:
            _, payload = take(Answer.RESULT, result.words)
            tensor = self._schedule.graph.tensors[result.tensor]
            content: Array = payload.view(np.int8)[: tensor.stored_bytes]
            if tensor.packed:
                content = golden.unpack_bits(content.view(np.uint8))
            elif tensor.planes:
                content = golden.unpack_planes(content.view(np.uint8).reshape(tensor.planes, -1))
            elif tensor.doubled:
                content = golden.join_bytes(content.reshape(2, -1))
            inference.values[result.tensor] = content.reshape(tensor.shape).copy()
            inference.words_io += PACKET_WORDS + result.words
        total, payload = take(Answer.DONE, RECORD_WORDS * len(program.records))
        records = payload.reshape(-1, RECORD_WORDS).astype(np.int64)
        inference.cycles += total if program.results else int(records[:, 0].sum())
        for name, record in zip(program.records, records, strict=True):
            if name:
                inference.layers[name] += record
        inference.records.append(records)


def _counters(counts: Counts) -> LayerCounters:
    return LayerCounters(**dict(zip(_COUNTERS, (int(value) for value in counts), strict=True)))

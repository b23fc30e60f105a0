"""The driver: runs a schedule over a transport, segment by segment, and the CPU's nodes in between."""

from collections import defaultdict
from collections.abc import Mapping
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
from .ir import Graph
from .placement import Placement
from .programs import PACKET_WORDS
from .schedule import Segment, schedule
from .transport import Transport, Words

Array = npt.NDArray[Any]

_COUNTERS = tuple(name for name, _ in data.Layout.cast(Record))
"""Names of a record's words, in their order."""


class FabricDevice:
    """A fabric at the end of a transport that holds one graph: a `Device`."""

    batch = 1

    def __init__(self, graph: Graph, config: FabricConfig, transport: Transport):
        self._graph = graph
        self._schedule = schedule(graph, config)
        self._commands = emit(self._schedule)
        self._transport = transport
        self._total = Counters()  # of whole inferences: what a lost one has cost does not count
        self._begin()
        transport.write(self._commands.setup)

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Where each node runs, in the graph's order."""
        return self._schedule.placements

    def infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Runs one sample."""
        self._begin()
        values = dict(inputs)
        for index, step in enumerate(self._schedule.steps):
            if isinstance(step, Segment):
                self._run_segment(index, step, values)
            else:
                values[step.output] = reference.evaluate(step, [values[name] for name in step.inputs], self._graph)
        self._total += self._counted()
        return {name: values[name] for name in self._graph.outputs}

    def counters(self) -> Counters:
        """What was counted since the device was opened."""
        return self._total

    def close(self) -> None:
        """Lets the transport go."""
        self._transport.close()

    def _begin(self) -> None:
        """Counts anew."""
        self._cycles = self._cycles_io = self._words_in = self._words_out = 0
        self._layers: dict[str, npt.NDArray[np.int64]] = defaultdict(lambda: np.zeros(RECORD_WORDS, np.int64))
        self._records: list[npt.NDArray[np.int64]] = []

    def _counted(self) -> Counters:
        """What this inference has cost."""
        return Counters(
            samples=1,
            cycles=self._cycles,
            cycles_io=self._cycles_io,
            bytes_in=4 * self._words_in,
            bytes_out=4 * self._words_out,
            layers={name: _counters(counts) for name, counts in self._layers.items()},
            descriptors=tuple(_counters(counts) for records in self._records for counts in records),
        )

    def _run_segment(self, index: int, segment: Segment, values: dict[str, Array]) -> None:
        """Sends a segment's inputs, runs its programs, and takes its results."""
        for name in segment.inputs:
            value = values[name].transpose(0, 2, 1, 3) if name in segment.transposed else values[name]
            tensor = self._schedule.graph.tensors[name]
            if tensor.packed:
                value = golden.pack_bits(value).view(np.int8)
            elif tensor.planes:
                value = golden.pack_planes(value, tensor.planes).view(np.int8)
            elif tensor.doubled:
                value = golden.split_bytes(value)
            words = activations_packet(segment.memory.addresses[name], value)
            self._send(words)
            self._cycles_io += len(words)
        for program in self._commands.programs[index]:
            self._send(program.before)
            self._send(program.start)
            self._send(program.after)
            answer = self._transport.read(program.answer_words)
            self._words_out += len(answer)
            self._take(program, answer, values)

    def _send(self, words: Words) -> None:
        self._transport.write(words)
        self._words_in += len(words)

    def _take(self, program: Program, answer: Words, values: dict[str, Array]) -> None:
        """Reads RESULT packets and the DONE packet of a program."""
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
            values[result.tensor] = content.reshape(tensor.shape).copy()
            self._cycles_io += PACKET_WORDS + result.words
        total, payload = take(Answer.DONE, RECORD_WORDS * len(program.records))
        records = payload.reshape(-1, RECORD_WORDS).astype(np.int64)
        self._cycles += total if program.results else int(records[:, 0].sum())
        for name, record in zip(program.records, records, strict=True):
            if name:
                self._layers[name] += record
        self._records.append(records)


def _counters(counts: npt.NDArray[np.int64]) -> LayerCounters:
    return LayerCounters(**dict(zip(_COUNTERS, (int(value) for value in counts), strict=True)))

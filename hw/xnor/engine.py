"""The XNOR engine: what the fabric runs binary layers on, and layers of few bits, bit by bit.

walker's steps, activation memory --> feed --> addresses --> weight banks of the systolic array --+
                                       |                                                          v
                                       +--> activations, turns --------------------------------> array --> writer --> write
channel parameters --> thresholds ------------------------------------------------------------^   +----> planes --> o
"""

from typing import Any

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..config import ACCUMULATOR_BITS, BYTE_BITS, XNOR_TILES, FabricConfig
from ..delay import delay
from ..engine import Results, Step
from ..isa import Descriptor
from ..mac.cell import PACKED_BITS
from ..memory.activations import ActivationWrite
from .array import SUM_BITS, XnorArray
from .feed import XnorFeed
from .planes import PlaneSums
from .writer import XnorWriter


class XnorEngine(wiring.Component):
    """Binary convolutions and fully-connected layers, up to `XNOR_TILES` tiles of `rows` outputs at a time.

    Parameters: `word_latency`, cycles from `o_address` to the words of column 0 on `i_words`.

    Members: `start` begins a layer with `descriptor`, which holds still until `done`; i_step, i_address, i_activations and
    i_inside are those of `XnorFeed`; `o_address` and `i_words` the weight banks'; `biases` are what the sums begin with, of
    `requant_lanes` outputs at each strobe `scanned`, from the first tile's on, a strobe a cycle; `write` goes to the
    activation memory. A SERIAL layer has no `done` and no `write`: its sums leave on `o`, as `PlaneSums` has them.
    """

    def __init__(self, config: FabricConfig, *, word_latency: int):
        self._config = config
        self._word_latency = word_latency
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(Descriptor),
                "i_step": In(Step),
                "i_address": In(config.weight_address_bits),
                "i_activations": In(data.ArrayLayout(BYTE_BITS, config.rows)),
                "i_inside": In(config.rows),
                "o_address": Out(config.weight_address_bits),
                "i_words": In(data.ArrayLayout(data.ArrayLayout(PACKED_BITS, config.pairs), config.rows)),
                "scanned": In(1),
                "biases": In(data.ArrayLayout(signed(ACCUMULATOR_BITS), config.requant_lanes)),
                "write": Out(ActivationWrite(config)),
                "done": Out(1),
                "o": Out(Results(config)),
            }
        )

    @staticmethod
    def serial_latency_of(config: FabricConfig, *, word_latency: int) -> int:
        """Cycles from a block's last step to its first sums on `o`, besides those that `PlaneSums` takes for the block."""
        return XnorFeed.latency_of(word_latency) + XnorArray.sums_latency_of(config) + PlaneSums.LATENCY

    @staticmethod
    def latency_of(config: FabricConfig, *, word_latency: int) -> int:
        """Cycles from a block's last step to its first tile's signs, and those that they wait; a write a cycle follows."""
        return XnorFeed.latency_of(word_latency) + XnorArray.latency_of(config) + XnorWriter.WAIT

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.feed = feed = XnorFeed(config, word_latency=self._word_latency)
        m.submodules.array = array = XnorArray(config)
        m.submodules.writer = writer = XnorWriter(config)
        parts: list[Any] = [feed, writer]
        if config.plane_limit:
            m.submodules.planes = planes = PlaneSums(config)
            m.d.comb += [planes.i_sums.eq(array.o_sums), planes.i_ways.eq(array.o_ways), planes.i_marks.eq(array.o_marks)]
            connect(m, planes.o, flipped(self.o))
            parts.append(planes)
        for part in parts:
            m.d.comb += [part.start.eq(self.start), part.descriptor.eq(self.descriptor)]
        m.d.comb += [
            feed.i_step.eq(self.i_step),
            feed.i_address.eq(self.i_address),
            feed.i_activations.eq(self.i_activations),
            feed.i_inside.eq(self.i_inside),
            self.o_address.eq(feed.o_address),
            array.i_turn.eq(feed.o_turn),
            array.i_load.eq(feed.o_load),
            array.i_words.eq(self.i_words),
            writer.i.eq(array.o),
            self.done.eq(writer.done),
        ]
        connect(m, writer.write, flipped(self.write))

        # Thresholds: `beats` strobes a tile, each with those of `requant_lanes` outputs; behind the last tile come others'.
        beat, tile = Signal(range(max(config.beats, 2))), Signal(range(XNOR_TILES))
        loading = Signal()
        threshold = Signal(array.threshold.shape())
        for row in range(config.rows):
            own, lane = divmod(row, config.requant_lanes)
            m.d.comb += [
                threshold.enable[row].eq(loading & self.scanned & (beat == own)),
                threshold.values[row].eq(self.biases[lane][:SUM_BITS].as_signed()),
            ]
        m.d.comb += [threshold.tile.eq(tile), array.threshold.eq(delay(m, threshold, 1, name="threshold"))]
        with m.If(self.start):
            m.d.sync += [beat.eq(0), tile.eq(0), loading.eq(1)]
        with m.Elif(self.scanned):
            m.d.sync += beat.eq(beat + 1)
            with m.If(beat == config.beats - 1):
                m.d.sync += [beat.eq(0), tile.eq(tile + 1), loading.eq(loading & (tile != XNOR_TILES - 1))]
        return m

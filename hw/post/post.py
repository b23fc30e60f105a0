"""From sums to bytes in activation memory.

i --> partial sums --> hold --> requant_lanes requantizers --> writer --> write
                         ^
                 channel parameters
"""

from amaranth.hdl import Array, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..config import FabricConfig
from ..delay import delay
from ..engine import Marks, Results
from ..isa import Descriptor
from ..memory.activations import ActivationMemory, ActivationWrite
from ..primitives.copies import copies
from .channels import ChannelParameters
from .partial import PartialSums
from .requantize import MULTIPLIERS, OutputRange, RequantizeLane

_LANES_A_COPY = 4  # that one copy of the output's range serves


class _Beat(data.Struct):
    """What goes beside a beat through the lanes."""

    valid: 1
    end: 1  # the result's last beat
    marks: Marks


class PostProcessor(wiring.Component):
    """Takes results as they come, at least `beats` cycles apart, and writes `cols` int8 each.

    Members: `start` begins a layer with `descriptor`; `i` its results, in the walker's order; `write` goes to the activation
    memory; `done` is high for one cycle when the layer's last byte can be read. `channels` and the `load_*` members are
    those of `ChannelParameters`.
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(Descriptor),
                "i": In(Results(config)),
                "write": Out(ActivationWrite(config)),
                "done": Out(1),
                "channels": In(stream.Signature(32)),
                "load_at": In(1),
                "load_entry": In(range(config.tile_depth)),
            }
        )

    @staticmethod
    def latency_of(config: FabricConfig) -> int:
        """Cycles from a result on `i` until `done`, where it is the layer's last: its bytes can be read."""
        return PartialSums.LATENCY + config.beats + (config.beats > 1) + RequantizeLane.LATENCY + ActivationMemory.WRITE_LATENCY

    KEPT_LATENCY = PartialSums.LATENCY + 1 + ActivationMemory.WRITE_LATENCY
    """The same where the result stays as a partial sum."""

    def elaborate(self, platform):
        m = Module()
        config = self._config
        descriptor = self.descriptor

        m.submodules.partial = partial = PartialSums(config)
        connect(m, flipped(self.i), partial.i)
        m.d.comb += [
            partial.start.eq(self.start),
            partial.add.eq(descriptor.partial_in),
            partial.keep.eq(descriptor.partial_out),
        ]
        m.submodules.parameters = parameters = ChannelParameters(config)
        connect(m, flipped(self.channels), parameters.i)
        m.d.comb += [
            parameters.load_at.eq(self.load_at),
            parameters.load_entry.eq(self.load_entry),
            parameters.start.eq(self.start),
            parameters.entry.eq(descriptor.tile_base),
        ]

        # One beat a cycle: the result's sums, `requant_lanes` at a time. The parameters of the next tile come as late as the
        # sums do, a register behind the beat's decision.
        now, beat, sums = self._beats(m, partial.o)
        m.d.comb += parameters.advance.eq(now.valid & now.end & now.marks.tile_end & ~descriptor.repeat)
        lag = ChannelParameters.ADVANCE_LATENCY - 1
        beat = delay(m, beat, lag, name="beat_index")

        output_range = Signal(OutputRange, reset_less=True)
        for name in ("zero_point", "low", "high", "average", "round_once"):
            m.d.sync += output_range[name].eq(descriptor[name])
        ranges = copies(m, platform, output_range.as_value(), -(-config.requant_lanes // _LANES_A_COPY), name="range")
        results = []
        for lane in range(config.requant_lanes):
            m.submodules[f"lane_{lane}"] = requantize = RequantizeLane(
                multipliers=(lane + 1) * MULTIPLIERS <= config.requant_multipliers, site=f"requantize_{lane}"
            )
            choices = [parameters.o[channel].as_value() for channel in range(lane, config.cols, config.requant_lanes)]
            m.d.comb += [
                requantize.i_sum.eq(delay(m, sums[lane], lag, name=f"sum_{lane}")),
                requantize.i_channel.eq(Array(choices)[beat] if config.beats > 1 else choices[0]),
                requantize.i_range.eq(OutputRange(ranges[lane // _LANES_A_COPY])),
            ]
            results.append(requantize.o)
        # The walk of the output goes a cycle ahead of the results, and waits for them in a register.
        early = delay(m, now, lag + RequantizeLane.LATENCY - 1, name="beat")
        self._write(m, results, early)

        finished = Signal()
        m.d.sync += finished.eq((early.valid & early.end & early.marks.layer_end) | partial.kept)
        m.d.comb += self.done.eq(delay(m, finished, ActivationMemory.WRITE_LATENCY, name="done"))
        return m

    def _beats(self, m, results):
        """The current beat, its index, and its sums."""
        config = self._config
        now = Signal(_Beat)
        beat = Signal(range(max(config.beats, 2)))
        if config.beats == 1:
            m.d.comb += [now.valid.eq(results.valid), now.end.eq(1), now.marks.eq(results.marks)]
            return now, beat, [results.sums[lane] for lane in range(config.cols)]
        held = Signal(data.ArrayLayout(signed(config.accumulator_bits), config.cols), reset_less=True)
        valid, marks = Signal(), Signal(Marks, reset_less=True)
        with m.If(results.valid):
            m.d.sync += [held.eq(results.sums), marks.eq(results.marks), valid.eq(1), beat.eq(0)]
        with m.Elif(valid):
            m.d.sync += [beat.eq(beat + 1), valid.eq(~now.end)]
        m.d.comb += [now.valid.eq(valid), now.end.eq(beat == config.beats - 1), now.marks.eq(marks)]
        lanes = range(config.requant_lanes)
        return now, beat, [Array(held[channel] for channel in range(lane, config.cols, len(lanes)))[beat] for lane in lanes]

    def _write(self, m, results, beat):
        """Walks the output tensor: columns, rows, tiles; the last tile may be narrower."""
        config = self._config
        descriptor = self.descriptor
        bits = config.activation_address_bits
        tile, row, address = (Signal(bits, name=f"{name}_address") for name in ("tile", "row", "write"))
        lanes_left = Signal(range(config.cols + 1))  # output channels of this tile that are not written yet
        # Tiles that are left, less three: its sign says that the next one is the last.
        fewer, tiles_left = Signal(signed(17)), Signal(signed(17))
        only, last_tile = Signal(), Signal()
        m.d.sync += [fewer.eq(descriptor.tiles - 3), only.eq(descriptor.tiles == 1)]

        def lanes_of(last):
            return Mux(last, descriptor.last_lanes, config.cols)

        started = delay(m, self.start, 2, name="started")
        count = Signal(range(config.cols + 1))
        position = Signal(bits, name="position")
        m.d.comb += count.eq(Mux(lanes_left > config.requant_lanes, config.requant_lanes, lanes_left))
        m.d.comb += [
            self.write.enable.eq(delay(m, beat.valid & (lanes_left != 0), 1, name="enable")),
            self.write.count.eq(delay(m, count, 1, name="count")),
            self.write.address.eq(delay(m, position, 1, name="position")),
        ]
        for lane, value in enumerate(results):
            m.d.comb += self.write.data[lane].eq(value)
        with m.If(self.start):
            m.d.sync += [
                tile.eq(descriptor.write_address),
                row.eq(descriptor.write_address),
                address.eq(descriptor.write_address),
                position.eq(descriptor.write_address),
            ]
        with m.Elif(started):
            m.d.sync += [tiles_left.eq(fewer), last_tile.eq(only), lanes_left.eq(lanes_of(only))]
        with m.Elif(beat.valid & ~beat.end):
            m.d.sync += [
                position.eq(position + config.requant_lanes),
                lanes_left.eq(lanes_left - count),
            ]
        with m.Elif(beat.valid):
            following = Signal(bits)
            with m.If(beat.marks.tile_end):
                m.d.comb += following.eq(tile + config.cols)
                m.d.sync += [tile.eq(following), row.eq(following)]
                m.d.sync += [tiles_left.eq(tiles_left - 1), last_tile.eq(tiles_left < 0)]
            with m.Elif(beat.marks.row_end):
                m.d.comb += following.eq(row + descriptor.write_row_stride)
                m.d.sync += row.eq(following)
            with m.Else():
                m.d.comb += following.eq(address + descriptor.write_column_stride)
            m.d.sync += [
                address.eq(following),
                position.eq(following),
                lanes_left.eq(lanes_of(Mux(beat.marks.tile_end, tiles_left < 0, last_tile))),
            ]

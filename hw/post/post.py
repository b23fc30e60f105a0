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
from .channels import ChannelParameters
from .partial import PartialSums
from .requantize import OutputRange, RequantizeLane


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

        # One beat a cycle: the result's sums, `requant_lanes` at a time.
        held = Signal(data.ArrayLayout(signed(config.accumulator_bits), config.cols))
        beat = Signal(range(max(config.beats, 2)))
        now = Signal(_Beat)
        with m.If(partial.o.valid):
            m.d.sync += [held.eq(partial.o.sums), now.marks.eq(partial.o.marks), now.valid.eq(1), beat.eq(0)]
        with m.Elif(now.end):
            m.d.sync += now.valid.eq(0)
        with m.Else():
            m.d.sync += beat.eq(beat + 1)
        m.d.comb += [
            now.end.eq(beat == config.beats - 1),
            parameters.advance.eq(now.valid & now.end & now.marks.tile_end & ~descriptor.repeat),
        ]

        output_range = Signal(OutputRange)
        for name in ("zero_point", "low", "high", "average", "round_once"):
            m.d.comb += output_range[name].eq(descriptor[name])
        results = []
        for lane in range(config.requant_lanes):
            m.submodules[f"lane_{lane}"] = requantize = RequantizeLane()
            choices = range(lane, config.cols, config.requant_lanes)
            m.d.comb += [
                requantize.i_sum.eq(Array(held[channel] for channel in choices)[beat]),
                requantize.i_channel.eq(Array(parameters.o[channel].as_value() for channel in choices)[beat]),
                requantize.i_range.eq(output_range),
            ]
            results.append(requantize.o)
        beat_out = delay(m, now, RequantizeLane.LATENCY, name="beat")
        self._write(m, results, beat_out)

        finished = Signal()
        m.d.comb += finished.eq((beat_out.valid & beat_out.end & beat_out.marks.layer_end) | partial.kept)
        m.d.comb += self.done.eq(delay(m, finished, ActivationMemory.WRITE_LATENCY, name="done"))
        return m

    def _write(self, m, results, beat):
        """Walks the output tensor: columns, rows, tiles; the last tile may be narrower."""
        config = self._config
        descriptor = self.descriptor
        bits = config.activation_address_bits
        tile, row, address = (Signal(bits, name=f"{name}_address") for name in ("tile", "row", "write"))
        tiles_left = Signal(16)
        lanes_left = Signal(range(config.cols + 1))  # output channels of this tile that are not written yet

        def lanes_of(tiles):
            return Mux(tiles == 1, descriptor.last_lanes, config.cols)

        m.d.comb += [
            self.write.enable.eq(beat.valid & (lanes_left != 0)),
            self.write.count.eq(Mux(lanes_left > config.requant_lanes, config.requant_lanes, lanes_left)),
        ]
        position = Signal(bits, name="position")
        for lane, value in enumerate(results):
            m.d.comb += self.write.data[lane].eq(value)
        m.d.comb += self.write.address.eq(position)
        with m.If(self.start):
            m.d.sync += [
                tile.eq(descriptor.write_address),
                row.eq(descriptor.write_address),
                address.eq(descriptor.write_address),
                position.eq(descriptor.write_address),
                tiles_left.eq(descriptor.tiles),
                lanes_left.eq(lanes_of(descriptor.tiles)),
            ]
        with m.Elif(beat.valid & ~beat.end):
            m.d.sync += [
                position.eq(position + config.requant_lanes),
                lanes_left.eq(lanes_left - self.write.count),
            ]
        with m.Elif(beat.valid):
            following = Signal(bits)
            tiles_after = Signal(16)
            m.d.comb += tiles_after.eq(tiles_left - beat.marks.tile_end)
            with m.If(beat.marks.tile_end):
                m.d.comb += following.eq(tile + config.cols)
                m.d.sync += [tile.eq(following), row.eq(following)]
            with m.Elif(beat.marks.row_end):
                m.d.comb += following.eq(row + descriptor.write_row_stride)
                m.d.sync += row.eq(following)
            with m.Else():
                m.d.comb += following.eq(address + descriptor.write_column_stride)
            m.d.sync += [
                address.eq(following),
                position.eq(following),
                tiles_left.eq(tiles_after),
                lanes_left.eq(lanes_of(tiles_after)),
            ]

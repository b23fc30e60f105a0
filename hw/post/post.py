"""From sums to bytes in activation memory.

i --> partial sums --> hold --> requant_lanes requantizers --> writer --> planes --> write
                         ^
                 channel parameters

A held result goes to the requantizers in `beats` of `requant_lanes` sums; where the layer is wide each beat takes two passes.
"""

from typing import NamedTuple

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from ..config import BYTE_BITS, FabricConfig
from ..delay import delay
from ..engine import Marks, Results
from ..isa import Descriptor, Operation
from ..memory.activations import ActivationMemory, ActivationWrite
from ..primitives.carry import add
from ..primitives.copies import copies
from .channels import ChannelParameters
from .partial import PartialSums
from .planes import ByteWriter, PlaneWriter
from .requantize import OutputRange, RequantizeLane

_LANES_A_COPY = 1  # that one copy of what holds for all of them serves: their multipliers lie far apart


class _Beat(data.Struct):
    """What goes beside a beat through the lanes."""

    valid: 1  # its last pass
    end: 1  # the result's last beat
    marks: Marks


class _Group(NamedTuple):
    """Whether there are several tiles; whether the next result's is the last one; whether the next end of a tile is that of a
    block, from the cycle before on; and where the first tile goes on behind the block."""

    several: Value
    last: Value
    at_last: Value
    beyond: Value


class PostProcessor(wiring.Component):
    """Takes results as they come, at least `beats` cycles apart, twice that where the layer is `wide`, and writes `cols` int8
    each.

    Members: `start` begins a layer with `descriptor`; `i` its results, in the walker's order; `write` goes to the activation
    memory; `done` is high for one cycle when the layer's last byte can be read. `channels` and the `load_*` members are
    those of `ChannelParameters`, as are `scanned` and `o_biases` where the layer is the XNOR engine's.

    Where a fabric has one, `binary` results are written as bits, eight a byte, and the descriptor's addresses of them count
    bits: their signs, or `write_planes` planes of their lowest bits, a plane a cycle, which results must be apart. Where
    several tiles pass by each block of pixels, `tile_end` marks the last pixel of each in every block. Where a fabric takes
    activations of 16 bits, `double` results are written as two planes of bytes, a cycle each.
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
                "scanned": Out(1),
                "o_biases": Out(data.ArrayLayout(signed(config.accumulator_bits), config.requant_lanes)),
            }
        )

    @staticmethod
    def latency_of(config: FabricConfig, *, wide: bool) -> int:
        """Cycles from a result on `i` until `done`, where it is the layer's last: its bytes can be read."""
        passes = config.result_pace(wide=wide)
        return PartialSums.LATENCY + passes + (config.beats > 1) + RequantizeLane.LATENCY + ActivationMemory.WRITE_LATENCY

    KEPT_LATENCY = PartialSums.LATENCY + 1 + ActivationMemory.WRITE_LATENCY
    """The same where the result stays as a partial sum."""

    def elaborate(self, platform):
        m = Module()
        config = self._config
        descriptor = self.descriptor

        # The first result comes many cycles later; the writer lies with the activations, the rest with the array's sums.
        start, start_write = copies(m, platform, self.start, 2, name="start")
        m.submodules.partial = partial = PartialSums(config)
        connect(m, flipped(self.i), partial.i)
        m.d.comb += [
            partial.start.eq(start),
            partial.add.eq(delay(m, descriptor.partial_in, 4, name="add")),
            partial.keep.eq(descriptor.partial_out),
            partial.scale.eq(delay(m, descriptor.scaled, 2, name="scale") if config.doubles else 0),
        ]
        m.submodules.parameters = parameters = ChannelParameters(config)
        connect(m, flipped(self.channels), parameters.i)
        m.d.comb += [
            parameters.load_at.eq(self.load_at),
            parameters.load_entry.eq(self.load_entry),
            parameters.start.eq(start),
            parameters.entry.eq(descriptor.tile_base),
            parameters.scan.eq(descriptor.operation == Operation.XNOR),
            parameters.cycle.eq(Mux(descriptor.operation == Operation.SERIAL, descriptor.operand.planes.tiles, 0)),
            self.scanned.eq(parameters.scanned),
            self.o_biases.eq(parameters.o_biases),
        ]

        layout = OutputRange(config.widest_bits)
        output_range = Signal(layout, reset_less=True)
        for name, _ in layout:
            m.d.sync += output_range[name].eq(delay(m, self._of_range(name), 3, name=name))  # from one end of the chip
        ranges = copies(m, platform, output_range.as_value(), -(-config.requant_lanes // _LANES_A_COPY), name="range")

        # A cycle before they count: the lanes lie as far from what walks as the chip is long.
        assert PartialSums.EARLY == 2
        coming, coming_marks = delay(m, partial.early, 1, name="coming"), delay(m, partial.early_marks, 1, name="coming_marks")
        now, beat, upper = self._beats(m, coming, coming_marks, output_range.wide)
        beat, upper = delay(m, beat, 1, name="beat"), delay(m, upper, 1, name="upper")
        uppers = copies(m, platform, upper, -(-config.requant_lanes // _LANES_A_COPY), name="upper")
        # The parameters of the next tile come right behind this one's last pass.
        assert PartialSums.EARLY + 2 == ChannelParameters.ADVANCE_LATENCY
        narrow, wide = (
            delay(m, partial.tile_end, config.result_pace(wide=wide) - 1, name=f"tile_end_{wide}") for wide in (False, True)
        )
        m.d.comb += parameters.advance.eq(Mux(output_range.wide, wide, narrow) & ~descriptor.repeat)
        held = Signal(data.ArrayLayout(signed(config.total_bits), config.cols), reset_less=True)
        negative = Signal(config.cols, reset_less=True)
        groups = -(-config.cols // _LANES_A_COPY)
        holds = copies(m, platform, coming, groups, name="hold")
        whole = copies(m, platform, descriptor.whole, groups, name="whole") if config.doubles else []
        for channel, number in enumerate(partial.o.sums):
            if config.doubles and channel < config.pairs:  # those of weights of 16 bits are in every other column
                number = Mux(whole[channel // _LANES_A_COPY], partial.o.sums[2 * channel], number).as_signed()
            average = layout(ranges[channel % config.requant_lanes // _LANES_A_COPY]).average
            with m.If(holds[channel // _LANES_A_COPY]):
                m.d.sync += [held[channel].eq(number), negative[channel].eq(average & (number < 0))]
        # What a beat chooses among takes a register more.
        lag = int(config.beats > 1)
        results = []
        for lane in range(config.requant_lanes):
            m.submodules[f"lane_{lane}"] = requantize = RequantizeLane(
                multipliers=config.lane_multipliers(lane),
                bits=config.widest_bits,
                total_bits=config.total_bits,
                bias_bits=config.bias_bits,
                levels=config.adder_levels,
                site=f"requantize_{lane}",
            )
            channels = range(lane, config.cols, config.requant_lanes)
            for port, choices in (
                (requantize.i_sum, [held[channel] for channel in channels]),
                (requantize.i_negative, [negative[channel] for channel in channels]),
                (requantize.i_channel, [parameters.o[channel].as_value() for channel in channels]),
            ):
                chosen = Array(choices)[beat] if lag else choices[0]
                m.d.comb += port.eq(delay(m, chosen, lag, name=f"chosen_{lane}"))
            m.d.comb += [
                requantize.i_upper.eq(delay(m, uppers[lane // _LANES_A_COPY], lag, name=f"upper_{lane}")),
                requantize.i_range.eq(layout(ranges[lane // _LANES_A_COPY])),
            ]
            results.append(requantize.o)
        # The walk of the output goes a cycle ahead of the results, and waits for them in a register.
        sooner = delay(m, now, lag + RequantizeLane.LATENCY - 1, name="sooner")
        early = delay(m, sooner, 1, name="early")
        self._write(m, platform, start_write, results, sooner, early)

        finished = Signal()
        m.d.sync += finished.eq((early.valid & early.end & early.marks.layer_end) | partial.kept)
        done = delay(m, finished, ActivationMemory.WRITE_LATENCY, name="done")
        if config.plane_limit:
            # Each plane is written a cycle later than the one below it.
            dones = [done]
            for plane in range(1, config.plane_limit):
                dones.append(delay(m, dones[-1], 1, name=f"done_{plane}"))
            planes = descriptor.operand.planes.write_planes
            done = Mux(descriptor.binary & (planes != 0), Array(dones)[planes - 1], done)
        if config.doubles:
            done = Mux(descriptor.double, delay(m, done, 1, name="done_double"), done)
        m.d.comb += self.done.eq(done)
        return m

    def _of_range(self, name):
        """What the descriptor says of the results' range."""
        descriptor = self.descriptor
        if self._config.doubles and name in ("low", "high"):
            return Mux(descriptor.double, descriptor.operand.bytes[name], descriptor[name]).as_signed()
        return descriptor[name]

    def _beats(self, m, comes, coming_marks, wide):
        """What is done with the result that `comes`: (the beat, its index, whether its upper part comes in the next cycle)."""
        config = self._config
        last = config.beats - 1
        now = Signal(_Beat)
        beat = Signal(range(max(config.beats, 2)))
        busy, upper, coming = Signal(), Signal(), Signal()
        marks = Signal(Marks, reset_less=True)
        at_end = beat == last if last else Const(1)
        with m.If(comes):
            m.d.sync += [marks.eq(coming_marks), busy.eq(1), beat.eq(0)]
            m.d.comb += coming.eq(wide)
        with m.Elif(upper):
            m.d.comb += coming.eq(0)
        with m.Else():
            m.d.sync += [beat.eq(Mux(at_end, 0, beat + 1)), busy.eq(busy & ~at_end)]
            m.d.comb += coming.eq(busy & ~at_end & wide)
        m.d.sync += upper.eq(coming)
        m.d.comb += [now.valid.eq(busy & ~upper), now.end.eq(at_end), now.marks.eq(marks)]
        return now, beat, coming

    def _bytes(self, packs, value):
        """Of that many results, or that address of one."""
        return Mux(self.descriptor.binary, value >> 3, value) if packs else value

    def _write(self, m, platform, start, results, sooner, beat):
        """Walks the output tensor: columns, rows, tiles; the last tile may be narrower. `sooner` is `beat` a cycle before."""
        config = self._config
        descriptor = self.descriptor
        packs = config.xnor_pixels > 0
        bits = config.activation_address_bits + (ceil_log2(BYTE_BITS) if packs else 0)
        tile, row, address = (Signal(bits, name=f"{name}_address") for name in ("tile", "row", "write"))
        lanes_left = Signal(range(config.cols + 1))  # output channels of this tile that are not written yet
        # Tiles that are left, less three: its sign says that the next one is the last.
        fewer, tiles_left = Signal(signed(17)), Signal(signed(17))
        only, last_tile = Signal(), Signal()
        m.d.sync += [fewer.eq(descriptor.tiles - 3), only.eq(descriptor.tiles == 1)]

        started = delay(m, start, 1, name="started")
        # The descriptor lies far away, and holds still.
        column_stride, row_stride = (
            delay(m, descriptor[f"write_{name}_stride"], 1, name=f"{name}_stride") for name in ("column", "row")
        )
        group = self._group(m, started, beat, (address + column_stride)[:bits])

        cols = Mux(descriptor.whole, config.pairs, config.cols) if config.doubles else config.cols

        def lanes_of(last):
            return Mux(last, descriptor.last_lanes, cols)

        count = Signal(range(config.cols + 1))
        position = Signal(bits, name="position")
        m.d.comb += count.eq(Mux(lanes_left > config.requant_lanes, config.requant_lanes, lanes_left))
        planes = descriptor.operand.planes.write_planes
        write = self.write
        if config.doubles:
            m.submodules.bytes = halves = ByteWriter(config)
            m.d.comb += [halves.double.eq(descriptor.double), halves.stride.eq(descriptor.operand.bytes.write_stride)]
            m.d.comb += Cat(halves.lower).eq(Cat(value[:BYTE_BITS] for value in results))
            connect(m, halves.o, flipped(self.write))
            write = halves.i
        if config.plane_limit:
            m.submodules.planes = writer = PlaneWriter(config)
            m.d.comb += [
                writer.planes.eq(Mux(descriptor.binary, planes, 0)),
                writer.stride.eq(descriptor.operand.planes.write_stride),
            ]
            m.d.comb += [getattr(write, name).eq(getattr(writer.o, name)) for name in ("enable", "address", "count", "data")]
            write = writer.i
        m.d.comb += [
            write.enable.eq(delay(m, beat.valid & (lanes_left != 0), 1, name="enable")),
            write.count.eq(delay(m, self._bytes(packs, count), 1, name="count")),
            write.address.eq(delay(m, self._bytes(packs, position), 1, name="position")),
        ]
        for lane, value in enumerate(results):
            m.d.comb += write.data[lane].eq(self._byte(value))
        if packs:
            with m.If(descriptor.binary & (planes == 0)):
                m.d.comb += Cat(write.data).eq(Cat(~value[-1] for value in results))
        # Where the walk goes is known a cycle before: each way's sum has a gate of its own, and all but one give 0. Where a
        # result takes one beat, that this is the last one must be no register.
        last, ends = (beat.end, sooner.end) if config.beats > 1 else (Const(1), Const(1))
        row_end, tile_end = sooner.marks.row_end, sooner.marks.tile_end
        in_row, in_map, in_tile, over = (
            delay(m, sooner.valid & ends & gate, 1, name=f"walks_{name}")
            for name, gate in (
                ("column", ~tile_end & (group.several | ~row_end)),
                ("row", row_end & Mux(group.several, tile_end & group.at_last, ~tile_end)),
                ("tile", tile_end & ~group.at_last),
                ("beyond", tile_end & group.at_last & ~row_end),
            )
        )
        following = delay(m, Mux(start, descriptor.write_address, 0), 1, name="begin") | Mux(over, group.beyond, 0)
        for name, gate, base, stride in (
            ("column", in_row, address, column_stride),
            ("row", in_map, row, row_stride),
            ("tile", in_tile, tile, Value.cast(cols)),
        ):
            following |= add(m, platform, base, stride, base.shape(), name=f"next_{name}", x_gate=gate, y_gate=gate)
        with m.If(started):
            m.d.sync += [tile.eq(following), row.eq(following), address.eq(following), position.eq(following)]
            m.d.sync += [tiles_left.eq(fewer), last_tile.eq(only), lanes_left.eq(lanes_of(only & ~group.several))]
        with m.Elif(beat.valid & ~last):
            m.d.sync += [
                position.eq(position + config.requant_lanes),
                lanes_left.eq(lanes_left - count),
            ]
        with m.Elif(beat.valid):
            with m.If(beat.marks.tile_end):
                m.d.sync += [tile.eq(following), tiles_left.eq(tiles_left - 1), last_tile.eq(tiles_left < 0)]
            with m.If(beat.marks.row_end | (beat.marks.tile_end & ~group.several)):
                m.d.sync += row.eq(following)
            m.d.sync += [
                address.eq(following),
                position.eq(following),
                lanes_left.eq(lanes_of(Mux(group.several, group.last, Mux(beat.marks.tile_end, tiles_left < 0, last_tile)))),
            ]

    def _byte(self, result):
        """A result of a byte, or the upper one."""
        if not self._config.doubles:
            return result
        return Mux(self.descriptor.double, result[BYTE_BITS:], result[:BYTE_BITS])

    def _group(self, m, started, beat, beside):
        """Where several tiles pass by each block of pixels; `beside` is the address behind this result's, in its row."""
        config, descriptor = self._config, self.descriptor
        if not config.plane_limit:
            return _Group(Const(0), Const(0), Const(0), Const(0))
        tiles = descriptor.operand.planes.tiles
        several = Signal(reset_less=True)
        m.d.sync += several.eq((descriptor.operation == Operation.SERIAL) & (tiles > 1))
        place, beyond = Signal.like(tiles), Signal.like(beside)
        last, at_last, coming = Signal(), Signal(), Signal()
        m.d.comb += last.eq(Mux(beat.marks.tile_end, ~at_last & (place + 2 == tiles), at_last))
        m.d.comb += coming.eq(Mux(beat.valid, last, at_last) & several & ~started)
        m.d.sync += at_last.eq(coming)
        with m.If(started):
            m.d.sync += place.eq(0)
        with m.Elif(beat.valid & beat.marks.tile_end):
            m.d.sync += place.eq(Mux(at_last, 0, place + 1))
            with m.If(place == 0):
                m.d.sync += beyond.eq(beside)
        return _Group(several, last, coming, beyond)

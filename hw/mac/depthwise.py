"""The depthwise unit: a 3x3 window over `cols` channels every cycle.

Depthwise layers share nothing across output channels, so the array could keep only its diagonal busy. This unit has nine
multipliers a channel and reads every input word once: two line buffers hold the rows above, and the map of a tile streams
through in raster order, the next tile's right behind it.

    i_activations --+---------------> row y    --+
                    v                            |    shift     mask what lies     multiply    add     o
                line buffer --------> row y - 1 -+--> 3 x 3 --> outside the map --> by the --> nine ->
                    v                            |    window    (pad value)        weights
                line buffer --------> row y - 2 -+

The window's centre is one row and one column behind the word that came last, so the layer ends with `columns + 1` steps
that only push. Smaller kernels lie in the 3x3 one with zeros around; strides skip centres.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import STREAM_BYTES, FabricConfig
from ..delay import delay
from ..engine import Marks, Results, Step
from ..isa import Descriptor

KERNEL = 3
"""Rows and columns of the window."""

TAPS = KERNEL * KERNEL
"""Multipliers a channel."""


class _Centre(data.Struct):
    """What goes beside the window's centre, one cycle behind it."""

    valid: 1  # it gives a result
    map_end: 1  # the tile's last word
    marks: Marks


class DepthwiseLane(wiring.Component):
    """One channel: its 3x3 window, its weights, nine multipliers, the sum.

    Members: `shift` moves the window one column on, `i_column` comes in (oldest row first); `rows_inside` and
    `columns_inside` say in the next cycle which taps lie on the map, the others count as `pad`; `i_weights` with `weights_at`
    (one bit a kernel row) are kept until `take` makes the kept weights the current ones. `o` follows `shift` by 5 cycles; its
    products are made with the weights taken up to 2 cycles after `shift`.
    """

    def __init__(self):
        super().__init__(
            {
                "shift": In(1),
                "i_column": In(data.ArrayLayout(signed(8), KERNEL)),
                "rows_inside": In(KERNEL),
                "columns_inside": In(KERNEL),
                "pad": In(signed(8)),
                "weights_at": In(KERNEL),
                "i_weights": In(data.ArrayLayout(signed(8), KERNEL)),
                "take": In(1),
                "o": Out(signed(20)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row_sums = []
        for row in range(KERNEL):
            window = [Signal(signed(8), name=f"window_{row}_{column}") for column in range(KERNEL)]
            with m.If(self.shift):
                m.d.sync += window[-1].eq(self.i_column[row])
                m.d.sync += [window[column].eq(window[column + 1]) for column in range(KERNEL - 1)]
            products = []
            for column in range(KERNEL):
                place = f"{row}_{column}"
                coming, weight, tap = (Signal(signed(8), name=f"{name}_{place}") for name in ("coming", "weight", "tap"))
                product = Signal(signed(16), name=f"product_{place}")
                with m.If(self.weights_at[row]):
                    m.d.sync += coming.eq(self.i_weights[column])
                with m.If(self.take):
                    m.d.sync += weight.eq(coming)
                inside = self.rows_inside[row] & self.columns_inside[column]
                m.d.sync += [tap.eq(Mux(inside, window[column], self.pad)), product.eq(tap * weight)]
                products.append(product)
            row_sum = Signal(signed(18), name=f"row_sum_{row}")
            m.d.sync += row_sum.eq(products[0] + products[1] + products[2])
            row_sums.append(row_sum)
        m.d.sync += self.o.eq(row_sums[0] + row_sums[1] + row_sums[2])
        return m


class DepthwiseUnit(wiring.Component):
    """`TAPS * cols` int8 multiply-accumulates a cycle.

    Members: `start` begins a layer with `descriptor`, which holds still; each i_step with i_activations is the next word of
    the input map, tile after tile, at most one every `beats` cycles where every centre gives a result. `o` gives, for each
    centre that the descriptor's window fields name, `sums[c] = sum over taps of activation[tap][c] * weight[tap][c]`,
    `LATENCY` cycles after the step that completed the window. `i` takes weights from tile entry `load_entry` on, set by
    `load_at`: for each entry, nine taps of `cols` int8.
    """

    LATENCY = 6

    FETCH_CYCLES = KERNEL + 3
    """Least words of a tile's map: the next tile's weights are read meanwhile."""

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(Descriptor),
                "i_step": In(Step),
                "i_activations": In(data.ArrayLayout(signed(8), config.rows)),
                "o": Out(Results(config)),
                "i": In(stream.Signature(32)),
                "load_at": In(1),
                "load_entry": In(range(config.depthwise_tiles)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = [DepthwiseLane() for _ in range(self._config.cols)]
        for channel, lane in enumerate(lanes):
            m.submodules[f"lane_{channel}"] = lane
            m.d.comb += [lane.pad.eq(self.descriptor.pad_value), self.o.sums[channel].eq(lane.o)]
        step = self._steps(m)
        self._feed(m, step, lanes)
        centre = self._centre(m, delay(m, step, 2, name="shifted"), lanes)
        self._weights(m, centre.map_end, lanes)
        m.d.comb += [
            self.o.valid.eq(delay(m, centre.valid, 3, name="valid")),
            self.o.marks.eq(delay(m, centre.marks, 3, name="marks")),
        ]
        return m

    def _steps(self, m):
        """A strobe a step: the walker's, then `columns + 1` of our own that push the last centres out."""
        cycles = self._config.beats
        left = Signal(17)
        timer = Signal(range(cycles + 1))
        push = Signal()
        m.d.comb += push.eq((left != 0) & (timer == 0))
        with m.If(self.i_step.valid & self.i_step.marks.layer_end):
            m.d.sync += [left.eq(self.descriptor.output_columns + 1), timer.eq(cycles - 1)]
        with m.Elif(push):
            m.d.sync += [left.eq(left - 1), timer.eq(cycles - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        return self.i_step.valid | push

    def _feed(self, m, step, lanes):
        """Gives the lanes a column of three words, one cycle after its step: two of line buffers and the newest."""
        config = self._config
        column = Signal(range(config.line_depth))
        with m.If(self.start):
            m.d.sync += column.eq(0)
        with m.Elif(step):
            m.d.sync += column.eq(Mux(column + 1 == self.descriptor.output_columns, 0, column + 1))

        newest = [Signal(8, name=f"newest_{channel}") for channel in range(config.cols)]
        m.d.sync += [register.eq(self.i_activations[channel]) for channel, register in enumerate(newest)]
        rows = [newest]
        came = delay(m, step, 1, name="came")
        place = delay(m, column, 1, name="place")
        for line in range(KERNEL - 1):
            memory = Memory(shape=data.ArrayLayout(8, config.cols), depth=config.line_depth, init=[])
            m.submodules[f"line_{line}"] = memory
            read, write = memory.read_port(), memory.write_port()
            m.d.comb += [read.addr.eq(column), write.addr.eq(place), write.en.eq(came)]
            m.d.comb += [write.data[channel].eq(rows[0][channel]) for channel in range(config.cols)]
            rows.insert(0, [read.data[channel] for channel in range(config.cols)])
        for channel, lane in enumerate(lanes):
            m.d.comb += lane.shift.eq(came)
            m.d.comb += [lane.i_column[row].eq(words[channel]) for row, words in enumerate(rows)]

    def _centre(self, m, step, lanes):
        """Tells the lanes which taps lie on the map; gives the centre's `_Centre` a cycle later."""
        descriptor = self.descriptor
        columns, rows = descriptor.output_columns, descriptor.output_rows
        behind = Signal(17)  # steps until the first centre
        column, row = Signal(16), Signal(16)
        column_wait, row_wait = Signal(8), Signal(8)  # centres to skip until the next result
        columns_left, rows_left, tiles_left = Signal(16), Signal(16), Signal(16)
        now, row_end, map_end = Signal(), Signal(), Signal()
        result, last_column, last_row = Signal(), Signal(), Signal()
        m.d.comb += [
            now.eq(step & (behind == 0)),
            row_end.eq(column + 1 == columns),
            map_end.eq(row_end & (row + 1 == rows)),
            result.eq((column_wait == 0) & (columns_left != 0) & (row_wait == 0) & (rows_left != 0)),
            last_column.eq(columns_left == 1),
            last_row.eq(rows_left == 1),
        ]

        def next_result(wait, left):
            with m.If(wait != 0):
                m.d.sync += wait.eq(wait - 1)
            with m.Elif(left != 0):
                m.d.sync += [wait.eq(descriptor.window_stride - 1), left.eq(left - 1)]

        begin_row = [column.eq(0), column_wait.eq(descriptor.window_column), columns_left.eq(descriptor.window_columns)]
        begin_map = [row.eq(0), row_wait.eq(descriptor.window_row), rows_left.eq(descriptor.window_rows)]
        with m.If(self.start):
            m.d.sync += [behind.eq(columns + 1), tiles_left.eq(descriptor.tiles), *begin_row, *begin_map]
        with m.Elif(step & (behind != 0)):
            m.d.sync += behind.eq(behind - 1)
        with m.Elif(now):
            m.d.sync += column.eq(column + 1)
            next_result(column_wait, columns_left)
            with m.If(row_end):
                m.d.sync += [row.eq(row + 1), *begin_row]
                next_result(row_wait, rows_left)
            with m.If(map_end):
                m.d.sync += [tiles_left.eq(tiles_left - 1), *begin_map]

        centre = Signal(_Centre)
        m.d.sync += [
            centre.valid.eq(now & result),
            centre.map_end.eq(now & map_end),
            centre.marks.row_end.eq(last_column),
            centre.marks.tile_end.eq(last_column & last_row),
            centre.marks.layer_end.eq(last_column & last_row & (tiles_left == 1)),
        ]
        for lane in lanes:
            m.d.comb += [
                lane.rows_inside.eq(Cat(row != 0, 1, row + 1 != rows)),
                lane.columns_inside.eq(Cat(column != 0, 1, ~row_end)),
            ]
        return centre

    def _weights(self, m, advance, lanes):
        """`advance` gives the lanes the next tile's weights, which are read meanwhile, one kernel row a cycle."""
        config = self._config
        quads = KERNEL * config.cols // STREAM_BYTES
        depth = KERNEL * config.depthwise_tiles
        m.submodules.weights = memory = Memory(shape=data.ArrayLayout(32, quads), depth=depth, init=[])
        write = memory.write_port(granularity=1)
        quad = Signal(range(quads))
        target = Signal(range(depth))
        m.d.comb += [self.i.ready.eq(1), write.addr.eq(target)]
        for index in range(quads):
            m.d.comb += [write.data[index].eq(self.i.payload), write.en[index].eq(self.i.valid & (quad == index))]
        with m.If(self.load_at):
            m.d.sync += [quad.eq(0), target.eq(self.load_entry * KERNEL)]
        with m.Elif(self.i.valid):
            m.d.sync += quad.eq(quad + 1)
            with m.If(quad == quads - 1):
                m.d.sync += [quad.eq(0), target.eq(target + 1)]

        read = memory.read_port()
        pointer = Signal(range(depth))
        row, arrived = Signal(range(KERNEL)), Signal(range(KERNEL))
        fetching, arriving, complete = Signal(), Signal(), Signal()
        fresh = Signal()  # the first entry since `start`: it becomes the current one by itself
        m.d.comb += read.addr.eq(pointer)
        m.d.sync += [arriving.eq(fetching), arrived.eq(row), complete.eq(arriving & (arrived == KERNEL - 1))]
        with m.If(fetching):
            m.d.sync += [pointer.eq(pointer + 1), row.eq(row + 1)]
            with m.If(row == KERNEL - 1):
                m.d.sync += [row.eq(0), fetching.eq(0)]
        take = Signal()
        m.d.comb += take.eq(advance | (fresh & complete))
        with m.If(take):
            m.d.sync += [fetching.eq(1), fresh.eq(0)]
        at = Signal(KERNEL)
        m.d.comb += at.eq(Mux(arriving, 1 << arrived, 0))
        read_bytes = read.data.as_value()
        for channel, lane in enumerate(lanes):
            m.d.comb += [lane.weights_at.eq(at), lane.take.eq(take)]
            for column in range(KERNEL):
                place = column * config.cols + channel
                m.d.comb += lane.i_weights[column].eq(read_bytes[8 * place : 8 * place + 8])
        with m.If(self.start):
            m.d.sync += [
                pointer.eq(self.descriptor.weight_base * KERNEL),
                row.eq(0),
                fetching.eq(1),
                arriving.eq(0),
                complete.eq(0),
                fresh.eq(1),
            ]

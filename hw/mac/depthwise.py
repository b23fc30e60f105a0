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


class DepthwiseUnit(wiring.Component):
    """`TAPS * cols` int8 multiply-accumulates a cycle.

    Members: `start` begins a layer with `descriptor`, which holds still; each i_step with i_activations is the next word of
    the input map, tile after tile, at most one every `beats` cycles where every centre gives a result. `o` gives, for each
    centre that the descriptor's window fields name, `sums[c] = sum over taps of activation[tap][c] * weight[tap][c]`,
    `LATENCY` cycles after the step that completed the window. `i` takes weights from tile entry `load_entry` on, set by
    `load_at`: for each entry, nine taps of `cols` int8.
    """

    LATENCY = 6

    FETCH_CYCLES = TAPS + 3
    """Least cycles from the end of a tile to that of the next: the next tile's weights are read meanwhile."""

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
        step = self._steps(m)
        window = self._window(m, step)
        centre, inside = self._centre(m, delay(m, step, 2, name="shifted"))
        weights = self._weights(m, centre.map_end)
        self._multiply(m, window, inside, weights)
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

    def _window(self, m, step):
        """The 3x3 words around the centre, [row][column][channel], two cycles after the step that completed them."""
        config = self._config
        column = Signal(range(config.line_depth))
        with m.If(self.start):
            m.d.sync += column.eq(0)
        with m.Elif(step):
            m.d.sync += column.eq(Mux(column + 1 == self.descriptor.output_columns, 0, column + 1))

        newest = [Signal(8, name=f"newest_{channel}") for channel in range(config.cols)]
        m.d.sync += [register.eq(self.i_activations[channel]) for channel, register in enumerate(newest)]
        rows = [Cat(newest)]
        came = delay(m, step, 1, name="came")
        place = delay(m, column, 1, name="place")
        for line in range(KERNEL - 1):
            m.submodules[f"line_{line}"] = memory = Memory(shape=8 * config.cols, depth=config.line_depth, init=[])
            read, write = memory.read_port(), memory.write_port()
            m.d.comb += [
                read.addr.eq(column),
                write.addr.eq(place),
                write.data.eq(rows[0]),
                write.en.eq(came),
            ]
            rows.insert(0, read.data)

        window = []
        for row, value in enumerate(rows):
            words = [
                [Signal(signed(8), name=f"window_{row}_{place}_{channel}") for channel in range(config.cols)]
                for place in range(KERNEL)
            ]
            with m.If(came):
                for channel in range(config.cols):
                    m.d.sync += words[-1][channel].eq(value[8 * channel : 8 * channel + 8])
                    m.d.sync += [words[at][channel].eq(words[at + 1][channel]) for at in range(KERNEL - 1)]
            window.append(words)
        return window

    def _centre(self, m, step):
        """The centre's `_Centre`, a cycle late, and now: which rows and columns of the window lie inside the map."""
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
        return centre, ([row != 0, 1, row + 1 != rows], [column != 0, 1, ~row_end])

    def _weights(self, m, advance):
        """This tile's weights, [tap][channel]; `advance` takes the next tile's, which are read meanwhile."""
        config = self._config
        quads = config.cols // STREAM_BYTES
        m.submodules.weights = memory = Memory(shape=data.ArrayLayout(32, quads), depth=TAPS * config.depthwise_tiles, init=[])
        write = memory.write_port(granularity=1)
        quad = Signal(range(max(quads, 2)))
        target = Signal(range(TAPS * config.depthwise_tiles))
        m.d.comb += [self.i.ready.eq(1), write.addr.eq(target)]
        for index in range(quads):
            m.d.comb += [write.data[index].eq(self.i.payload), write.en[index].eq(self.i.valid & (quad == index))]
        with m.If(self.load_at):
            m.d.sync += [quad.eq(0), target.eq(self.load_entry * TAPS)]
        with m.Elif(self.i.valid):
            m.d.sync += quad.eq(quad + 1)
            with m.If(quad == quads - 1):
                m.d.sync += [quad.eq(0), target.eq(target + 1)]

        read = memory.read_port()
        pointer = Signal(range(TAPS * config.depthwise_tiles))
        tap, arrived = Signal(range(TAPS)), Signal(range(TAPS))
        fetching, arriving, complete = Signal(), Signal(), Signal()
        fresh = Signal()  # the first entry since `start`: it becomes the current one by itself
        coming, current = (
            [[Signal(signed(8), name=f"{name}_{at}_{channel}") for channel in range(config.cols)] for at in range(TAPS)]
            for name in ("coming", "weight")
        )
        m.d.comb += read.addr.eq(pointer)
        m.d.sync += [arriving.eq(fetching), arrived.eq(tap), complete.eq(arriving & (arrived == TAPS - 1))]
        with m.If(fetching):
            m.d.sync += [pointer.eq(pointer + 1), tap.eq(tap + 1)]
            with m.If(tap == TAPS - 1):
                m.d.sync += [tap.eq(0), fetching.eq(0)]
        bytes_read = read.data.as_value()
        for at in range(TAPS):
            with m.If(arriving & (arrived == at)):
                m.d.sync += [
                    coming[at][channel].eq(bytes_read[8 * channel : 8 * channel + 8]) for channel in range(config.cols)
                ]
        with m.If(advance | (fresh & complete)):
            m.d.sync += [fetching.eq(1), fresh.eq(0)]
            m.d.sync += [current[at][channel].eq(coming[at][channel]) for at in range(TAPS) for channel in range(config.cols)]
        with m.If(self.start):
            m.d.sync += [
                pointer.eq(self.descriptor.weight_base * TAPS),
                tap.eq(0),
                fetching.eq(1),
                arriving.eq(0),
                complete.eq(0),
                fresh.eq(1),
            ]
        return current

    def _multiply(self, m, window, inside, weights):
        """Masks the taps outside of the map, multiplies, and adds in two stages."""
        pad = self.descriptor.pad_value
        rows_inside, columns_inside = inside
        for channel in range(self._config.cols):
            partial = []
            for row in range(KERNEL):
                products = []
                for column in range(KERNEL):
                    tap = Signal(signed(8), name=f"tap_{row}_{column}_{channel}")
                    product = Signal(signed(16), name=f"product_{row}_{column}_{channel}")
                    exists = rows_inside[row] & columns_inside[column]
                    m.d.sync += [
                        tap.eq(Mux(exists, window[row][column][channel], pad)),
                        product.eq(tap * weights[row * KERNEL + column][channel]),
                    ]
                    products.append(product)
                row_sum = Signal(signed(18), name=f"row_sum_{row}_{channel}")
                m.d.sync += row_sum.eq(products[0] + products[1] + products[2])
                partial.append(row_sum)
            total = Signal(signed(20), name=f"total_{channel}")
            m.d.sync += total.eq(partial[0] + partial[1] + partial[2])
            m.d.comb += self.o.sums[channel].eq(total)

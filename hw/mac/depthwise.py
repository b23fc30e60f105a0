"""The depthwise unit: a 3x3 window over `cols` channels every cycle.

Depthwise layers share nothing across output channels, so the array could keep only its diagonal busy. This unit has nine
multipliers a channel and reads every input word once: two line buffers hold the rows above, and the map of a tile streams
through in raster order, the next tile's right behind it.

    i_activations --+---------------> row y    --+
                    v                            |    shift     mask what lies     three products
                line buffer --------> row y - 1 -+--> 3 x 3 --> outside the map --> a row, and the --> o
                    v                            |    window    (pad value)        row above's sum
                line buffer --------> row y - 2 -+

The window's centre is one row and one column behind the word that came last, so the layer ends with `columns + 1` steps
that only push. Smaller kernels lie in the 3x3 one with zeros around; strides skip centres.

Each row of the window works a cycle behind the one above: it adds its products to that one's sum, and the next tile's weights,
which the memory gives a row a cycle, come just in time.

    cycle  1 step   2, 3 line buffers   4 window   5 mask   6, 7, 8 products, first row   9 second row   10 third row
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import STREAM_BYTES, FabricConfig
from ..delay import delay
from ..engine import Marks, Results, Step
from ..isa import Descriptor
from ..primitives.bank import Bank
from ..primitives.copies import copies
from .depthwise_lane import KERNEL, Control, DepthwiseLane

_CROSSING = 3  # cycles from one half of the channels to the other
_GROUP = 4  # lanes that share a copy of what all of them take
_SIDES = 2  # halves of the channels whose memories lie together, far from the others', with registers of their own


class _Centre(data.Struct):
    """What goes beside the window's centre, one cycle behind it."""

    valid: 1  # it gives a result
    marks: Marks


class DepthwiseUnit(wiring.Component):
    """`TAPS * cols` int8 multiply-accumulates a cycle.

    Members: `start` begins a layer with `descriptor`, which holds still; each i_step is the next word of the input map, tile
    after tile, where every centre gives a result at most one every `beats` cycles, twice that if the layer is `wide`; its
    i_activations come `STEP_LEAD` cycles later. `o` gives, for each centre that the descriptor's window fields name, `sums[c] =
    sum over taps of activation[tap][c] * weight[tap][c]`, `LATENCY` cycles after the activations that completed the window.
    `i` takes weights from tile entry `load_entry` on, set by `load_at`: for each entry, nine taps of `cols` int8.
    """

    LATENCY = 3 + DepthwiseLane.SUM_LATENCY

    STEP_LEAD = 2
    """Cycles from a step to its activations: the memories on both sides of the chip learn of it through registers."""

    START_CYCLES = 2
    """Cycles from `start` to the first step, at least."""

    FETCH_CYCLES = KERNEL
    """Least words of a tile's map: the next tile's weights are read meanwhile."""

    @staticmethod
    def load_latency_of(config: FabricConfig) -> int:
        """Cycles from the last word on `i` until a start may take its entry: a bank after the other gets it."""
        return KERNEL * config.cols // STREAM_BYTES + 1 + _CROSSING

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
        control = Signal(Control)
        groups = -(-len(lanes) // _GROUP)
        controls = copies(m, platform, control, groups, name="control")  # the lanes lie far apart
        pads = copies(m, platform, self.descriptor.pad_value, groups, name="pad")
        for channel, lane in enumerate(lanes):
            m.submodules[f"lane_{channel}"] = lane
            m.d.comb += [
                lane.control.eq(controls[channel // _GROUP]),
                lane.pad.eq(pads[channel // _GROUP]),
                self.o.sums[channel].eq(lane.o),
            ]
        (starting,) = copies(m, platform, self.start, 1, name="starting")
        # What is derived from the descriptor is ready by then. One for the steps, one for the centre, one a side.
        now, start, *starts = copies(m, platform, starting, 2 + _SIDES, name="started")
        step = self._steps(m, platform, self.start | starting | now)
        step, *steps = copies(m, platform, step, 1 + _SIDES, name="step")
        step = delay(m, step, 1, name="shift")
        m.d.comb += control.shift.eq(step)
        self._feed(m, platform, starts, steps, lanes)
        centre, advances = self._centre(m, platform, start, step, control)
        self._weights(m, starts, advances, control, lanes)
        late = delay(m, centre, DepthwiseLane.SUM_LATENCY, name="centre")
        m.d.comb += [self.o.valid.eq(late.valid), self.o.marks.eq(late.marks)]
        return m

    def _steps(self, m, platform, start):
        """A strobe a step, a cycle before its activations: the walker's, then `columns + 1` of our own that push the
        last centres out.

        Where the last result comes before the last push, the rest of the pushes ends with the next layer's start.
        """
        narrow, wide = (self._config.result_pace(wide=wide) for wide in (False, True))
        cycles = Signal(range(wide + 1), reset_less=True)
        m.d.sync += cycles.eq(Mux(self.descriptor.wide, wide, narrow))
        (given,) = copies(m, platform, self.i_step, 1, name="given")  # the array has the same registers, far away
        left = Signal(signed(18), init=-1)  # pushes that are left, less one
        pushes = delay(m, self.descriptor.output_columns, 1, name="pushes")
        timer = Signal.like(cycles, name="timer")
        push = Signal()
        m.d.comb += push.eq((left >= 0) & (timer == 0))
        with m.If(given.valid & given.marks.layer_end):
            m.d.sync += [left.eq(pushes), timer.eq(cycles - 1)]
        with m.Elif(push):
            m.d.sync += [left.eq(left - 1), timer.eq(cycles - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.If(start):
            m.d.sync += left.eq(-1)
        return (given.valid | push) & ~start

    def _feed(self, m, platform, starts, steps, lanes):
        """Gives the lanes a column of three words, three cycles after its step: two of line buffers and the newest."""
        config = self._config
        before_last = Signal(range(config.line_depth))
        m.d.sync += before_last.eq(self.descriptor.output_columns - 2)
        newest = delay(m, self.i_activations.as_value()[: 8 * config.cols], 3, name="newest")
        bits = 8 * config.cols // _SIDES
        for side, (start, step) in enumerate(zip(starts, steps, strict=True)):
            # Every side counts for itself, by a strobe of its own.
            column = Signal.like(before_last, name=f"column_{side}")
            at_end = Signal(name=f"at_end_{side}")
            with m.If(start):
                m.d.sync += [column.eq(0), at_end.eq(0)]
            with m.Elif(step):
                m.d.sync += [column.eq(Mux(at_end, 0, column + 1)), at_end.eq(~at_end & (column == before_last))]
            (address,) = copies(m, platform, column, 1, name=f"address_{side}")
            place = delay(m, column, 1 + Bank.LATENCY, name=f"place_{side}")
            came = delay(m, step, 1 + Bank.LATENCY, name=f"came_{side}")
            rows = [newest.word_select(side, bits)]
            for line in range(KERNEL - 1):
                memory = Bank(width=bits, depth=config.line_depth, site=f"depthwise.line_{line}.{side}")
                m.submodules[f"line_{line}_{side}"] = memory
                m.d.comb += [
                    memory.i_address.eq(address),
                    memory.write.enable.eq(came),
                    memory.write.address.eq(place),
                    memory.write.data.eq(rows[0]),
                ]
                rows.insert(0, memory.o_data)
            for channel, lane in enumerate(_of_side(lanes, side)):
                m.d.comb += [lane.i_column[row].eq(word.word_select(channel, 8)) for row, word in enumerate(rows)]

    def _centre(self, m, platform, start, step, control):
        """Tells the lanes, a cycle after `step`, which taps lie on the map; gives, a cycle later, the centre's `_Centre`, and
        its `map_end` a side.

        Counters stand below what they count, so that their sign says that it is reached.
        """
        descriptor = self.descriptor

        def less(value, by, name):
            """`value - by`, which holds still like the descriptor that it comes from."""
            register = Signal(signed(len(value) + 1), name=name, reset_less=True)
            m.d.sync += register.eq(value - by)
            return register

        behind = Signal(signed(17))  # steps until the first centre, less one
        now = Signal()
        m.d.sync += now.eq(step & (behind < 0))
        column = _Axis(m, "column", less(descriptor.output_columns, 2, "columns"), self._results(m, less, "column"))
        row = _Axis(m, "row", less(descriptor.output_rows, 2, "rows"), self._results(m, less, "row"))
        tiles, tiles_left = less(descriptor.tiles, 2, "tiles"), Signal(signed(17))
        row_end = column.last
        map_end = row_end & row.last
        with m.If(step & (behind >= 0)):
            m.d.sync += behind.eq(behind - 1)
        with m.If(start):
            m.d.sync += [behind.eq(descriptor.output_columns), tiles_left.eq(tiles)]
            column.begin(m)
            row.begin(m)
        with m.Elif(now):
            column.advance(m)
            with m.If(row_end):
                column.begin(m)
                row.advance(m)
            with m.If(map_end):
                m.d.sync += tiles_left.eq(tiles_left - 1)
                row.begin(m)

        centre = Signal(_Centre)
        m.d.sync += [
            centre.valid.eq(now & column.result & row.result),
            centre.marks.row_end.eq(column.last_result),
            centre.marks.tile_end.eq(column.last_result & row.last_result),
            centre.marks.layer_end.eq(column.last_result & row.last_result & (tiles_left < 0)),
        ]
        for axis, inside in ((row, control.rows_inside), (column, control.columns_inside)):
            m.d.comb += inside.eq(Cat(~axis.first, 1, ~axis.last))
        return centre, copies(m, platform, now & map_end, _SIDES, name="map_end")

    def _results(self, m, less, axis):
        """The centres of an axis that give results: (wait for the first, wait for the next, count), each less what `_Axis`
        says."""
        descriptor = self.descriptor
        return (
            less(descriptor[f"window_{axis}"], 1, f"{axis}_wait"),
            less(descriptor.window_stride, 2, f"{axis}_stride"),
            less(descriptor[f"window_{axis}s"], 2, f"{axis}_results"),
        )

    def _weights(self, m, starts, advances, control, lanes):
        """`advances`, one a side, give the lanes the next tile's weights, which are read meanwhile, one kernel row a cycle."""
        config = self._config
        quads = KERNEL * config.cols // STREAM_BYTES
        depth = KERNEL * config.depthwise_tiles
        quad = Signal(range(quads))
        target = Signal(range(depth))
        m.d.comb += self.i.ready.eq(1)
        with m.If(self.load_at):
            m.d.sync += [quad.eq(0), target.eq(_kernel_rows(self.load_entry))]
        with m.Elif(self.i.valid):
            m.d.sync += quad.eq(quad + 1)
            with m.If(quad == quads - 1):
                m.d.sync += [quad.eq(0), target.eq(target + 1)]
        layout = data.StructLayout({"enable": quads, "at": len(target), "word": 8 * STREAM_BYTES})
        write = Signal(layout)
        m.d.comb += [
            write.enable.eq(Mux(self.i.valid, 1 << quad, 0)),
            write.at.eq(target),
            write.word.eq(self.i.payload),
        ]
        write = delay(m, write, 1, name="write")

        pointers = self._pointers(m, starts, advances, control, depth)
        words: list[Value] = [Const(0)] * quads
        quarters = config.cols // STREAM_BYTES
        # From bank to bank, which lie along the chip by their channels: those of the upper half far from the others.
        for place, index in enumerate(sorted(range(quads), key=lambda index: index % quarters)):
            bank = Bank(width=8 * STREAM_BYTES, depth=depth, site=f"depthwise.weights_{index}")
            m.submodules[f"weights_{index}"] = bank
            write = delay(m, write, _CROSSING if place == quads // 2 else 1, name=f"write_{index}")
            m.d.comb += [
                bank.i_address.eq(pointers[index % quarters * _SIDES // quarters]),
                bank.write.enable.eq(write.enable[index]),
                bank.write.address.eq(write.at),
                bank.write.data.eq(write.word),
            ]
            words[index] = bank.o_data
        read_bytes = Cat(*words)
        for channel, lane in enumerate(lanes):
            m.d.comb += [
                lane.i_weights[column].eq(read_bytes.word_select(column * config.cols + channel, 8)) for column in range(KERNEL)
            ]

    def _pointers(self, m, starts, advances, control, depth):
        """The kernel row that is read, by side: `control.take` has the lanes take it and the two behind it."""
        # The first row of the next tile waits at the memory's output, which takes as long as a strobe to the lanes.
        assert Bank.LATENCY == 2
        base = Signal(range(depth), name="base")
        m.d.sync += base.eq(_kernel_rows(self.descriptor.weight_base))
        pointers = []
        for side, (start, advance) in enumerate(zip(starts, advances, strict=True)):
            pointer = Signal(range(depth), name=f"pointer_{side}")
            following = Signal(KERNEL - 1, name=f"following_{side}")
            take = advance | delay(m, start, 1, name=f"first_{side}")
            m.d.sync += following.eq(Cat(take, following))
            with m.If(take | following.any()):
                m.d.sync += pointer.eq(pointer + 1)
            with m.If(start):
                m.d.sync += [pointer.eq(base), following.eq(0)]
            if side == 0:
                m.d.comb += control.take.eq(take)
            pointers.append(pointer)
        return pointers


def _of_side(channels, side: int):
    """What belongs to a side's channels."""
    each = len(channels) // _SIDES
    return channels[side * each : (side + 1) * each]


def _kernel_rows(entry: Value) -> Value:
    """Where a tile entry begins in the memory, which holds a kernel row a word: `KERNEL * entry` without a multiplier."""
    return entry + (entry << 1)


class _Axis:
    """Where the centre stands along one axis of the map, and whether it gives a result."""

    def __init__(self, m, name, extent, results):
        self.name = name
        self._extent = extent
        self._first_wait, self._next_wait, self._count = results
        self._left = Signal.like(extent, name=f"{name}_left")  # centres behind this one, less one
        self._wait = Signal(signed(9), name=f"{name}_wait_left")  # centres to skip, less one
        self._results_left = Signal.like(self._count, name=f"{name}_results_left")  # results, less two
        self._over = Signal(name=f"{name}_over")  # no result is left
        self.first = Signal(name=f"{name}_first")
        self.last = self._left < 0
        self.result = (self._wait < 0) & ~self._over
        self.last_result = self._results_left < 0

    def begin(self, m):
        m.d.sync += [
            self.first.eq(1),
            self._left.eq(self._extent),
            self._wait.eq(self._first_wait),
            self._results_left.eq(self._count),
            self._over.eq(0),
        ]

    def advance(self, m):
        m.d.sync += [self.first.eq(0), self._left.eq(self._left - 1)]
        with m.If(self._wait >= 0):
            m.d.sync += self._wait.eq(self._wait - 1)
        with m.Else():
            m.d.sync += [
                self._wait.eq(self._next_wait),
                self._results_left.eq(self._results_left - 1),
                self._over.eq(self._over | self.last_result),
            ]

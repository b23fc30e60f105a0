"""The window walker of the compact fabric: the loops of `hw.memory.walker`, a byte a cycle.

A step reads `rows` consecutive bytes, one in each of its cycles, and the weights of one row of the array with each. At its end
one loop moves on, the innermost that has not ended, and those inside it begin anew. So every loop keeps the place where it
began, and one adder serves them all:

    place of the loop that moves, or of the next outer one --+
    its stride, or nothing ----------------------------------+--> + --> places of all loops inside it

The memory gives two bytes at a time: of the four cycles of a step at most three need it, and whoever writes has the others.
A result waits for the requantizer, which takes `pace` cycles for one, with its last byte: by then it is known which loops end,
a register behind their counters.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import FabricConfig
from ..engine import Marks
from ..isa import Descriptor
from ..memory.weights import WeightRequest


class ByteStep(data.Struct):
    """What one cycle means to the columns: a byte and a row of weights, the result's last ones, and which result that is."""

    valid: 1
    last: 1
    last_tile: 1
    marks: Marks


class ByteRead(wiring.Signature):
    """The byte of this cycle: its address, whether it lies inside the input, and whether the memory must be read for it."""

    def __init__(self, config: FabricConfig):
        super().__init__(
            {"address": Out(config.activation_address_bits), "inside": Out(1), "needed": Out(1), "pad": Out(signed(8))}
        )


class ByteWalker(wiring.Component):
    """Walks one descriptor.

    Members: `start` begins with `descriptor`, which must hold still; `active` from the first step to the last. `read`,
    `row` (of the array) and `o_step` belong to the same cycle. In a cycle exactly one of `busy`, `starved` (waits for a weight
    word) and `stalled` (waits for the requantizer) is high while `active`.

    Parameters: `pace`, least cycles from a result's end to the next one's: `rows` or more.
    """

    START_LATENCY = 3
    """Cycles from `start` to the first step."""

    GAP_CYCLES = 1
    """Cycles between results, in which the columns begin anew."""

    def __init__(self, config: FabricConfig, *, pace: int):
        self._config = config
        self._pace = pace
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(Descriptor),
                "weights": Out(WeightRequest()),
                "weight_ready": In(1),
                "row": Out(range(config.rows)),
                "read": Out(ByteRead(config)),
                "o_step": Out(ByteStep),
                "active": Out(1),
                "busy": Out(1),
                "starved": Out(1),
                "stalled": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        descriptor = self.descriptor
        starting, begin = Signal(), Signal()  # the outermost loops go to their begin, then those inside
        step_end = Signal()
        first_byte = Signal()
        m.d.sync += [starting.eq(self.start), begin.eq(starting)]

        last = self._loops(m, starting, step_end)
        ends = [Cat(last[: level + 1]).all() for level in range(6)]
        with m.If(begin):
            m.d.sync += self.active.eq(1)
        with m.Elif(step_end & ends[5]):
            m.d.sync += self.active.eq(0)

        # A step begins when there are weights, and ends when there is room.
        gap = Signal()
        waits = Signal(range(self._pace))
        last_byte = Signal()
        full = Signal()  # the result must wait for room
        m.d.comb += [
            first_byte.eq(self.row == 0),
            last_byte.eq(self.row == config.rows - 1),
            full.eq(last_byte & ends[2] & (waits != 0)),
            self.stalled.eq(self.active & (gap | full)),
            self.starved.eq(self.active & first_byte & ~gap & ~self.weight_ready),
            self.busy.eq(self.active & ~self.stalled & ~self.starved),
            # As `busy` is with the last byte, which waits for no weights and comes in no gap: those paths are long.
            step_end.eq(self.active & last_byte & ~full),
        ]
        m.d.sync += gap.eq(step_end & ends[2])
        with m.If(self.busy):
            m.d.sync += self.row.eq(self.row + 1)
        with m.If(step_end & ends[2]):
            m.d.sync += waits.eq(self._pace - 1)
        with m.Elif(waits != 0):
            m.d.sync += waits.eq(waits - 1)

        m.d.comb += [
            self.weights.start.eq(self.start),
            self.weights.base.eq(descriptor.weight_base),
            self.weights.ring.eq(descriptor.stream_weights),
            self.weights.repeat.eq(descriptor.repeat),
            self.weights.step.eq(step_end),
            self.weights.result_end.eq(ends[2]),
            self.weights.release.eq(last[3] & last[4]),
            self.o_step.valid.eq(self.busy),
            self.o_step.last.eq(step_end & ends[2]),
            self.o_step.last_tile.eq(last[5]),
            self.o_step.marks.row_end.eq(ends[3]),
            self.o_step.marks.tile_end.eq(ends[4]),
            self.o_step.marks.layer_end.eq(ends[5]),
        ]

        # Which loop moves on: the first one that has not ended.
        moves = [step_end & ~last[0], *(step_end & ends[level - 1] & ~last[level] for level in range(1, 6))]
        column = self._column(m, starting, begin, moves)
        row, row_address = self._row(m, starting, moves)
        byte = Signal(column.shape())
        m.d.comb += [
            byte.eq(column + self.row),
            self.read.address.eq(row_address + byte),
            # A column before the row's begin is larger than any limit, taken as a number without sign.
            self.read.inside.eq(
                (row >= 0) & (row < descriptor.row_limit) & (byte.as_unsigned() < descriptor.column_limit[: len(byte)])
            ),
            self.read.needed.eq(self.busy & (first_byte | ~self.read.address[0])),
            self.read.pad.eq(descriptor.pad_value),
        ]
        return m

    def _loops(self, m, starting, step_end):
        """Whether each loop is in its last iteration: true of the running step from its second cycle on."""
        descriptor = self.descriptor
        names = ("chunks", "kernel_columns", "kernel_rows", "output_columns", "output_rows", "tiles")
        last = [Signal(name=f"last_{name}") for name in names]
        for level, name in enumerate(names):
            count = descriptor[name]
            turn = Signal(len(count), name=f"{name}_turn", reset_less=True)  # from 1
            m.d.sync += last[level].eq(turn == count)
            with m.If(starting | (step_end & Cat(last[:level]).all())):
                m.d.sync += turn.eq(Mux(starting | last[level], 1, turn + 1))
        return last

    def _column(self, m, starting, begin, moves):
        """Byte column of the step within the input row."""
        config = self._config
        descriptor = self.descriptor
        shape = signed(config.activation_address_bits + 2)
        step, kernel, output, tile = (
            Signal(shape, name=f"{name}_column", reset_less=True) for name in ("step", "kernel", "output", "tile")
        )
        place, stride, moved = Signal(shape), Signal(shape), Signal(shape)
        m.d.comb += [place.eq(tile), stride.eq(0), moved.eq(place + stride)]
        with m.If(moves[0]):
            m.d.comb += [place.eq(step), stride.eq(config.rows)]
        with m.Elif(moves[1]):
            m.d.comb += [place.eq(kernel), stride.eq(descriptor.kernel_column_stride)]
        with m.Elif(moves[2]):
            m.d.comb += place.eq(output)
        with m.Elif(moves[3]):
            m.d.comb += [place.eq(output), stride.eq(descriptor.output_column_stride)]
        with m.Elif(moves[5]):
            m.d.comb += stride.eq(Mux(descriptor.diagonal, config.cols, 0))
        for register, since in ((step, 0), (kernel, 1), (output, 3)):
            with m.If(begin | Cat(moves[since:]).any()):
                m.d.sync += register.eq(moved)
        with m.If(starting):
            m.d.sync += tile.eq(descriptor.column_start)
        with m.Elif(moves[5]):
            m.d.sync += tile.eq(moved)
        return step

    def _row(self, m, starting, moves):
        """Number and byte address of the step's input row."""
        config = self._config
        descriptor = self.descriptor
        results = []
        for name, shape, begin, kernel_stride, output_stride in (
            ("row", signed(17), descriptor.row_start, descriptor.kernel_row_step, descriptor.output_row_step),
            (
                "row_address",
                signed(config.activation_address_bits + 2),
                descriptor.row_address,
                descriptor.kernel_row_stride,
                descriptor.output_row_stride,
            ),
        ):
            kernel, output = Signal(shape, name=name, reset_less=True), Signal(shape, name=f"output_{name}", reset_less=True)
            stride, moved = Signal(shape, name=f"{name}_stride"), Signal(shape, name=f"{name}_moved")
            with m.If(moves[2]):
                m.d.comb += stride.eq(kernel_stride)
            with m.Elif(moves[4]):
                m.d.comb += stride.eq(output_stride)
            m.d.comb += moved.eq(Mux(moves[2], kernel, output) + stride)
            with m.If(starting | moves[5]):
                m.d.comb += moved.eq(begin)
            with m.If(starting | Cat(moves[2:]).any()):
                m.d.sync += kernel.eq(moved)
            with m.If(starting | Cat(moves[4:]).any()):
                m.d.sync += output.eq(moved)
            results.append(kernel)
        return results

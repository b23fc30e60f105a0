"""The window walker: feeds convolutions from dense NHWC tensors without materialising im2col.

Six nested loops, one step a cycle, from the inside: chunk of `rows` bytes, kernel column, kernel row, output column, output
row, tile of output channels. A kernel row of a convolution without dilation is contiguous in memory, so its columns and
channels are walked as one run of chunks; fully-connected layers are one such run; depthwise layers, pooling and element-wise
operations let the tile's index move the channel ("diagonal").

    loops (cycle 0) --> sums, distances to the row's ends (1) --> address, valid bytes (2) --> activation memory

A step waits for its weight word, and a result for the requantizer: `beats` cycles since the last result, `tile_cycles` since
the last tile. Nothing after the walker ever stalls.
"""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import FabricConfig
from ..delay import delay
from ..engine import Step
from ..isa import Descriptor, Operation
from .activations import ActivationMemory, ActivationRead
from .weights import WeightRequest


class WindowWalker(wiring.Component):
    """Walks one descriptor.

    Members: `start` begins with `descriptor`, which must hold still until the last result is out; `active` until the last
    step is taken. `read` goes to the activation memory; `o_step` and `o_address` (the step's weight word) follow a step by
    `LATENCY` cycles, together with the memory's data. In a cycle, at most one of `taken`, `starved` (waits for a weight
    word) and `stalled` (waits for the requantizer) is high while `active`.
    """

    LATENCY = 2 + ActivationMemory.READ_LATENCY
    """Cycles from a step to its activations at the engines."""

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(Descriptor),
                "weights": Out(WeightRequest()),
                "weight_ready": In(1),
                "weight_address": In(config.weight_address_bits),
                "read": Out(ActivationRead(config)),
                "o_step": Out(Step),
                "o_address": Out(config.weight_address_bits),
                "active": Out(1),
                "taken": Out(1),
                "starved": Out(1),
                "stalled": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        descriptor = self.descriptor
        reach = signed(config.activation_address_bits + 2)

        # Loops, as what remains of each; `ends[i]` says that loop i and all inside it are at their last step.
        counts = [
            descriptor.chunks,
            descriptor.kernel_columns,
            descriptor.kernel_rows,
            descriptor.output_columns,
            descriptor.output_rows,
            descriptor.tiles,
        ]
        remaining = [Signal(16, name=f"remaining_{level}") for level in range(len(counts))]
        ends = [Signal(name=f"end_{level}") for level in range(len(counts))]
        for level, left in enumerate(remaining):
            inner = ends[level - 1] if level else 1
            m.d.comb += ends[level].eq(inner & (left == 1))
            with m.If(self.start):
                m.d.sync += left.eq(counts[level])
            with m.Elif(self.taken & inner):
                m.d.sync += left.eq(Mux(left == 1, counts[level], left - 1))
        _, _, result_end, row_end, tile_end, layer_end = ends

        self._pace(m, result_end, tile_end)
        with m.If(self.start):
            m.d.sync += self.active.eq(1)
        with m.Elif(self.taken & layer_end):
            m.d.sync += self.active.eq(0)

        # At the last result of a tile a weight word serves for the last time.
        final_result = Signal()
        m.d.comb += [
            final_result.eq((remaining[3] == 1) & (remaining[4] == 1)),
            self.weights.start.eq(self.start),
            self.weights.base.eq(descriptor.weight_base),
            self.weights.ring.eq(descriptor.stream_weights),
            self.weights.repeat.eq(descriptor.repeat),
            self.weights.step.eq(self.taken),
            self.weights.result_end.eq(result_end),
            self.weights.release.eq(final_result),
        ]

        column, row, row_address = self._positions(m, ends, reach)
        self._address(m, column, row, row_address)

        first = Signal(init=1)
        step = Signal(Step)
        with m.If(self.start):
            m.d.sync += first.eq(1)
        with m.Elif(self.taken):
            m.d.sync += first.eq(result_end)
        m.d.comb += [
            step.valid.eq(self.taken),
            step.first.eq(first),
            step.last.eq(result_end),
            step.marks.row_end.eq(row_end),
            step.marks.tile_end.eq(tile_end),
            step.marks.layer_end.eq(layer_end),
        ]
        m.d.comb += [
            self.o_step.eq(delay(m, step, self.LATENCY, name="step")),
            self.o_address.eq(delay(m, self.weight_address, self.LATENCY, name="weight")),
        ]
        return m

    def _pace(self, m, result_end, tile_end):
        """Decides whether the step is taken now, and says why not."""
        config = self._config
        result_timer = Signal(range(config.beats + 1))
        tile_timer = Signal(range(config.tile_cycles + 1))
        paced = Signal()
        # A depthwise step is a word of the input: where the window skips centres, results come less often than steps, also
        # from the last centre of a tile to the first of the next.
        descriptor = self.descriptor
        depthwise = descriptor.operation == Operation.DEPTHWISE
        free = (
            depthwise
            & (descriptor.window_stride > 1)
            & (descriptor.window_stride >= config.beats)
            & ((descriptor.window_row != 0) | (descriptor.window_column + 1 >= config.beats))
        )
        m.d.comb += [
            paced.eq((result_end & (result_timer != 0) & ~free) | (tile_end & (tile_timer != 0) & ~descriptor.repeat)),
            self.taken.eq(self.active & self.weight_ready & ~paced),
            self.stalled.eq(self.active & paced),
            self.starved.eq(self.active & ~paced & ~self.weight_ready),
        ]
        for timer, end, cycles in ((result_timer, result_end, config.beats), (tile_timer, tile_end, config.tile_cycles)):
            with m.If(self.taken & end):
                m.d.sync += timer.eq(cycles - 1)
            with m.Elif(timer != 0):
                m.d.sync += timer.eq(timer - 1)

    def _positions(self, m, ends, reach):
        """Byte column within the input row, row number, and byte address of the row: each loop keeps where it began."""
        config = self._config
        descriptor = self.descriptor
        chunk_end, column_end, result_end, row_end, tile_end, _ = ends

        column, kernel_column, output_column, tile_column = (
            Signal(reach, name=f"{name}_column") for name in ("chunk", "kernel", "output", "tile")
        )
        row, output_row = Signal(signed(17)), Signal(signed(17))
        address, output_address = Signal(reach, name="row_address"), Signal(reach, name="output_row_address")

        def move_column(value, *registers):
            m.d.sync += [register.eq(value) for register in (column, *registers)]

        def move_row(new_row, new_address, *, output=False):
            m.d.sync += [row.eq(new_row), address.eq(new_address)]
            if output:
                m.d.sync += [output_row.eq(new_row), output_address.eq(new_address)]

        with m.If(self.start):
            move_column(descriptor.column_start, kernel_column, output_column, tile_column)
            move_row(descriptor.row_start, descriptor.row_address, output=True)
        with m.Elif(self.taken):
            with m.If(~chunk_end):
                move_column(column + config.rows)
            with m.Elif(~column_end):
                move_column(kernel_column + descriptor.kernel_column_stride, kernel_column)
            with m.Elif(~result_end):
                move_column(output_column, kernel_column)
                move_row(row + descriptor.kernel_row_step, address + descriptor.kernel_row_stride)
            with m.Elif(~row_end):
                move_column(output_column + descriptor.output_column_stride, kernel_column, output_column)
                move_row(output_row, output_address)
            with m.Elif(~tile_end):
                move_column(tile_column, kernel_column, output_column)
                move_row(
                    output_row + descriptor.output_row_step,
                    output_address + descriptor.output_row_stride,
                    output=True,
                )
            with m.Else():
                next_tile = Mux(descriptor.diagonal, tile_column + config.cols, tile_column)
                move_column(next_tile, kernel_column, output_column, tile_column)
                move_row(descriptor.row_start, descriptor.row_address, output=True)
        return column, row, address

    def _address(self, m, column, row, row_address):
        """Two registered stages: the byte address, and which of the `rows` bytes lie inside the input row."""
        config = self._config
        descriptor = self.descriptor
        rows = config.rows
        address = Signal(config.activation_address_bits)
        before = Signal(column.shape())  # bytes from here to the row's begin; positive in the left padding
        after = Signal(column.shape())  # bytes from here to the row's end; 0 or less in the right padding
        inside = Signal()
        m.d.sync += [
            address.eq(row_address + column),
            before.eq(-column),
            after.eq(descriptor.column_limit - column),
            inside.eq((row >= 0) & (row < descriptor.row_limit)),
        ]
        m.d.sync += [
            self.read.address.eq(address),
            self.read.pad.eq(descriptor.pad_value),
            self.read.first.eq(Mux(before < 0, 0, Mux(before > rows, rows, before))),
            self.read.end.eq(Mux(after < 0, 0, Mux(after > rows, rows, after))),
        ]
        with m.If(~inside):
            m.d.sync += self.read.end.eq(0)

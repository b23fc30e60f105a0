"""The window walker: feeds convolutions from dense NHWC tensors without materialising im2col.

Six nested loops, one step a cycle, from the inside: chunk of `rows` bytes, kernel column, kernel row, output column, output
row, tile of output channels. A kernel row of a convolution without dilation is contiguous in memory, so its columns and
channels are walked as one run of chunks; fully-connected layers are one such run; depthwise layers, pooling and element-wise
operations let the tile's index move the channel ("diagonal").

    loops --> queue of steps --> taken (cycle 0) --> an offset for each loop (1) --> sums (2, 3)
                --> address, distances to the ends of the row (4) --> address, valid bytes (5) --> activation memory

The loops run up to three steps ahead, so that nothing which decides over a step depends on them in the same cycle.
A step waits for its weight word, and a result for the requantizer: `beats` cycles since the last result (twice that where the
layer is wide), `tile_cycles` since the last tile. Nothing after the walker ever stalls.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import FabricConfig
from ..delay import delay
from ..engine import Step
from ..isa import Descriptor, Operation
from ..primitives.copies import copies
from .activations import ActivationMemory, ActivationRead
from .weights import WeightBuffer, WeightRequest

_QUEUE = 3  # steps


class _Turn(data.Struct):
    """What the walker has to know of a step: which loops are at their end, each with all inside it, and where it stands."""

    ends: data.ArrayLayout(1, 6)
    first: 1  # of its result
    release: 1  # of the tile's last result: a weight word serves for the last time

    @property
    def result_end(self):
        return self.ends[2]

    @property
    def row_end(self):
        return self.ends[3]

    @property
    def tile_end(self):
        return self.ends[4]

    @property
    def layer_end(self):
        return self.ends[5]


class WindowWalker(wiring.Component):
    """Walks one descriptor.

    Members: `start` begins with `descriptor`, which must hold still until the last result is out; `active` from the first
    step to the last. `read` goes to the activation memory; `o_step` and `o_address` (the step's weight word) follow a step
    by `LATENCY` cycles, together with the memory's data; `o_ahead` is `o_step` `LEAD` cycles before. In a cycle, at most one of
    `taken`, `starved` (waits for a weight word) and `stalled` (waits for the requantizer) is high while `active`.
    """

    LATENCY = 5 + ActivationMemory.READ_LATENCY
    """Cycles from a step to its activations at the engines."""

    LEAD = 2
    """Cycles from `o_ahead` to `o_step`."""

    START_LATENCY = 3
    """Cycles from `start` to the first step."""

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
                "o_ahead": Out(Step),
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

        (start,) = copies(m, platform, self.start, 1, name="start")
        turn, following = self._queue(m, start, self._loops(m, start))
        self._pace(m, turn, following)
        # The buffer's start comes a cycle late, and so may what it reads of the descriptor, which lies far from it.
        m.d.comb += [
            self.weights.start.eq(start),
            self.weights.base.eq(delay(m, descriptor.weight_base, 1, name="base")),
            self.weights.ring.eq(delay(m, descriptor.stream_weights, 1, name="ring")),
            self.weights.repeat.eq(delay(m, descriptor.repeat, 1, name="repeat")),
            self.weights.step.eq(self.taken),
            self.weights.result_end.eq(turn.result_end),
            self.weights.release.eq(turn.release),
        ]

        column, row, row_address = self._positions(m, start, turn, reach)
        self._address(m, column, row, row_address)

        step = Signal(Step)
        m.d.comb += [
            step.valid.eq(self.taken),
            step.first.eq(turn.first),
            step.last.eq(turn.result_end),
            step.marks.row_end.eq(turn.row_end),
            step.marks.tile_end.eq(turn.tile_end),
            step.marks.layer_end.eq(turn.layer_end),
        ]
        m.d.comb += self.o_ahead.eq(delay(m, step, self.LATENCY - self.LEAD, name="step"))
        m.d.comb += [
            self.o_step.eq(delay(m, self.o_ahead, self.LEAD, name="stepped")),
            self.o_address.eq(delay(m, self.weight_address, self.LATENCY - WeightBuffer.ADDRESS_LATENCY, name="weight")),
        ]
        return m

    def _loops(self, m, start):
        """The loops, as what remains of each. `turn` is their state while `running`; `go` moves them on."""
        descriptor = self.descriptor
        counts = [
            descriptor.chunks,
            descriptor.kernel_columns,
            descriptor.kernel_rows,
            descriptor.output_columns,
            descriptor.output_rows,
            descriptor.tiles,
        ]
        turn = Signal(_Turn)
        running, go = Signal(), Signal()
        first = Signal()
        last = [Signal(name=f"last_{level}") for level in range(len(counts))]
        for level, count in enumerate(counts):
            turns = Signal(name=f"turns_{level}")
            m.d.comb += [
                turns.eq(start | (go & Cat(last[:level]).all())),
                turn.ends[level].eq(Cat(last[: level + 1]).all()),
            ]
            ends_next = self._countdown(m, turns, start | last[level], count, level)
            with m.If(turns):
                m.d.sync += last[level].eq(ends_next)
        m.d.comb += [turn.first.eq(first), turn.release.eq(last[3] & last[4])]
        with m.If(start):
            m.d.sync += [running.eq(1), first.eq(1)]
        with m.Elif(go):
            m.d.sync += [running.eq(~turn.layer_end), first.eq(turn.result_end)]
        return turn, running, go

    def _countdown(self, m, turns, anew, count, level):
        """Whether the iteration that begins with `turns` is the loop's last one; `anew` says that it is its first.

        The count itself follows a cycle later: a turn has little time and would have many readers.
        """
        left = Signal(16, name=f"remaining_{level}", reset_less=True)  # iterations, with the one that has begun

        def known(name, condition):
            register = Signal(name=f"{name}_{level}", reset_less=True)
            m.d.sync += register.eq(condition)
            return register

        turned = Signal(name=f"turned_{level}")
        m.d.sync += turned.eq(turns)
        began = known("began", anew)  # with what has `turned`
        one, two, three = (known(f"count_{number}", count == number) for number in (1, 2, 3))
        two_left, three_left = (Signal(name=f"{number}_left_{level}", reset_less=True) for number in ("two", "three"))
        with m.If(turned):
            m.d.sync += [
                left.eq(Mux(began, count, left - 1)),
                two_left.eq(Mux(began, two, left == 3)),
                three_left.eq(Mux(began, three, left == 4)),
            ]
        return Mux(anew, one, Mux(turned, Mux(began, two, three_left), two_left))

    def _queue(self, m, start, loops):
        """The step to take next, `active` where there is one, and the one behind it; another one waits behind that."""
        coming, running, go = loops
        room = Signal(init=1)  # for one more step, whether or not one is taken meanwhile
        m.d.comb += go.eq(running & room)
        slots = [Signal(_Turn, name=f"turn_{place}", reset_less=True) for place in range(_QUEUE)]
        filled = [Signal(name=f"filled_{place}") for place in range(_QUEUE)]
        m.d.comb += self.active.eq(filled[0])
        for place in range(_QUEUE):
            behind, behind_filled = (slots[place + 1], filled[place + 1]) if place + 1 < _QUEUE else (coming, 0)
            with m.If(self.taken | ~filled[place]):
                m.d.sync += slots[place].eq(Mux(behind_filled, behind, coming))
            # A step that comes takes the first free slot, after what is taken has made room.
            ahead = filled[place - 1] if place else 1
            m.d.sync += filled[place].eq(Mux(self.taken, behind_filled | (filled[place] & go), filled[place] | (ahead & go)))
        m.d.sync += room.eq(self.taken | (~filled[-1] & ~(filled[-2] & go)))
        following = Signal(_Turn)
        m.d.comb += following.eq(Mux(filled[1], slots[1], coming))
        return slots[0], following

    def _pace(self, m, turn, following):
        """Decides whether the step is taken now, and says why not.

        Whether it must wait for what takes the results is known from the cycle before, for this step and for `following`: the
        decision has many readers, so little may come before it.
        """
        config = self._config
        # A depthwise step is a word of the input: where the window skips centres, results come less often than steps, also
        # from the last centre of a tile to the first of the next.
        descriptor = self.descriptor
        narrow_pace, wide_pace = (config.result_pace(wide=wide) for wide in (False, True))
        pace = Signal(8 if config.xnor_pixels else range(wide_pace + 1), reset_less=True)
        m.d.sync += pace.eq(Mux(descriptor.wide, wide_pace, narrow_pace))
        if config.xnor_pixels:
            with m.If(descriptor.pace != 0):
                m.d.sync += pace.eq(descriptor.pace)
        # Nothing of it is in a hurry: the first step comes later.
        skips, comes_late, free = (Signal(name=name, reset_less=True) for name in ("skips", "comes_late", "free"))
        m.d.sync += [
            skips.eq(
                (descriptor.operation == Operation.DEPTHWISE)
                & (descriptor.window_stride > 1)
                & (descriptor.window_stride >= pace)
            ),
            comes_late.eq((descriptor.window_row != 0) | (descriptor.window_column + 1 >= pace)),
            free.eq(skips & comes_late),
        ]
        waits = [
            self._timer(m, turn.result_end & ~free, pace, name="result"),
            self._timer(m, turn.tile_end & ~descriptor.repeat, config.tile_cycles, name="tile"),
        ]
        (result_stays, result_taken), (tile_stays, tile_taken) = waits
        stays = Signal(_Turn)
        m.d.comb += stays.eq(Mux(self.active, turn, following))
        paced = Signal()
        m.d.sync += paced.eq(
            Mux(
                self.taken,
                (following.result_end & result_taken) | (following.tile_end & tile_taken),
                (stays.result_end & result_stays) | (stays.tile_end & tile_stays),
            )
        )
        m.d.comb += [
            self.taken.eq(self.active & self.weight_ready & ~paced),
            self.stalled.eq(self.active & paced),
            self.starved.eq(self.active & ~paced & ~self.weight_ready),
        ]

    def _timer(self, m, begins, cycles, *, name):
        """Runs for `cycles - 1` cycles from a taken step with `begins` on.

        Gives whether it will run in the next cycle: where no step is taken now, and where one is.
        """
        waits = Signal(name=f"{name}_waits")
        cycles = Value.cast(cycles)
        timer = Signal(len(cycles), name=f"{name}_timer")
        stays = waits & (timer != 1)
        taken = Mux(begins, cycles > 1, stays)
        m.d.sync += waits.eq(Mux(self.taken, taken, stays))
        with m.If(self.taken & begins):
            m.d.sync += timer.eq(cycles - 1)
        with m.Else():
            m.d.sync += timer.eq(timer - 1)
        return stays, taken

    def _positions(self, m, start, turn, reach):
        """Byte column within the input row, row number, and byte address of the row, three cycles after the step.

        Each loop has an offset of its own, which its iterations move and those of the loops outside of it clear.
        """
        config = self._config
        descriptor = self.descriptor
        ends = [turn.ends[level] for level in range(5)]
        # A loop moves on where all inside it have ended, which begin anew; at the start all of them begin.
        moves = [Signal(name=f"move_{level}") for level in range(6)]
        begin = Signal()
        for level, move in enumerate(moves):
            m.d.sync += move.eq(start | (self.taken & (ends[level - 1] if level else 1)))
        m.d.sync += begin.eq(start)

        def offset(name, shape, step, *, level, initial=0):
            """What the iterations of loop `level` add up to, from `initial` on; loop `level + 1` begins it anew."""
            register = Signal(shape, name=name, reset_less=True)
            anew = moves[level + 1] if level + 1 < len(moves) else begin
            with m.If(moves[level]):
                if isinstance(initial, int):
                    m.d.sync += register.eq(register + step)
                    with m.If(anew):
                        m.d.sync += register.eq(initial)
                else:
                    m.d.sync += register.eq(Mux(anew, initial, register) + Mux(anew, 0, step))
            return register

        def total(name, *terms):
            register = Signal(terms[0].shape(), name=name, reset_less=True)
            m.d.sync += register.eq(sum(terms)[: len(register)])
            return register

        diagonal = Mux(descriptor.diagonal, config.cols, 0)
        pixel_stride, plane_stride = self._turn_strides(m, moves, reach) if config.xnor_pixels else (config.rows, None)
        chunk = offset("chunk_column", reach, pixel_stride, level=0)
        kernel = offset("kernel_column", reach, descriptor.kernel_column_stride, level=1)
        output = offset("output_column", reach, descriptor.output_column_stride, level=3)
        tile = offset("tile_column", reach, diagonal, level=5, initial=descriptor.column_start)
        column = total("column", total("inner_column", chunk, kernel), total("outer_column", output, tile))

        kernel = offset("kernel_row", signed(17), descriptor.kernel_row_step, level=2)
        output = offset("output_row", signed(17), descriptor.output_row_step, level=4, initial=descriptor.row_start)
        row = delay(m, total("row", kernel, output), 1, name="row")

        kernel = offset("kernel_address", reach, descriptor.kernel_row_stride, level=2)
        output = offset(
            "output_address", reach, descriptor.output_row_stride, level=4, initial=descriptor.row_address[: reach.width]
        )
        row_address = total("row_address", kernel, output)
        if plane_stride is None:
            return column, row, delay(m, row_address, 1, name="row_address")
        plane = delay(m, offset("plane_address", reach, plane_stride, level=0), 1, name="plane_address")
        return column, row, total("plane_row_address", row_address, plane)

    def _turn_strides(self, m, moves, reach):
        """What the innermost loop's next iteration moves: the column, and the address alone.

        Of planes of bits, 2 or 4, each pixel's come one after the other, and then the next pixel's.
        """
        descriptor = self.descriptor
        planes = descriptor.operand.planes
        odd = Signal(reset_less=True)  # iterations so far
        with m.If(moves[0]):
            m.d.sync += odd.eq(~odd & ~moves[1])
        serial, two = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [serial.eq(descriptor.operation == Operation.SERIAL), two.eq(planes.read_planes == 2)]
        strides = []
        for name, even_value, odd_value in (
            ("pixel", Mux(serial, 0, descriptor.chunk_stride), Mux(serial & ~two, 0, descriptor.chunk_stride)),
            ("plane", Mux(serial, planes.read_stride, 0), Mux(serial, Mux(two, -planes.read_stride, planes.read_stride), 0)),
        ):
            values = [Signal(reach, name=f"{name}_stride_{index}", reset_less=True) for index in range(2)]
            m.d.sync += [values[0].eq(even_value), values[1].eq(odd_value)]
            strides.append(Mux(odd, values[1], values[0]))
        return strides

    def _address(self, m, column, row, row_address):
        """Two more: the byte address, and which of the `rows` bytes lie inside the input row."""
        config = self._config
        descriptor = self.descriptor
        rows = config.rows
        address = Signal(config.activation_address_bits, reset_less=True)
        before = Signal(column.shape(), reset_less=True)  # bytes from here to the row's begin; positive in the left padding
        after = Signal(column.shape(), reset_less=True)  # bytes from here to the row's end; 0 or less in the right padding
        inside = Signal(reset_less=True)
        m.d.sync += [
            address.eq(row_address + column),
            before.eq(-column),
            after.eq(descriptor.column_limit - column),
            inside.eq((row >= 0) & (row < descriptor.row_limit)),
        ]
        read = Signal(data.StructLayout({"first": range(rows + 1), "end": range(rows + 1)}), reset_less=True)
        m.d.sync += [
            read.first.eq(Mux(before < 0, 0, Mux(before > rows, rows, before))),
            read.end.eq(Mux(after < 0, 0, Mux(after > rows, rows, after))),
        ]
        with m.If(~inside):
            m.d.sync += read.end.eq(0)
        m.d.comb += [
            self.read.address.eq(delay(m, address, 1, name="read_address")),
            self.read.pad.eq(delay(m, descriptor.pad_value, 1, name="read_pad")),
            self.read.first.eq(read.first),
            self.read.end.eq(read.end),
        ]

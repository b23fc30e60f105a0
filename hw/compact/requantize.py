"""The requantizer of the compact fabric: `hw.post.requantize`'s arithmetic, a sum in four cycles, and the way to the output.

parameters --> shift    bias            multiplier
                |        |                  |
sums -----------+------> + --> x ---------> * --> four products --> + --> product --> + nudge --> shift --> round, range --> o
cycle           1        2                  3                       4                 5           6         7
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..config import ACCUMULATOR_BITS, FabricConfig
from ..engine import Marks
from ..isa import CHANNEL_WORDS, MAX_LEFT_SHIFT, SHIFT_BITS, Descriptor
from ..primitives.accumulate import Product

MULTIPLIER_BITS = 31

_SUM_CYCLES = 4
_LOW_BITS = 15  # of x and of the multiplier: what a product of 16 bits takes with a sign
_NUDGE = 30  # exponent
_DROPPED = _NUDGE - MAX_LEFT_SHIFT  # bits of the product that every shift drops
_PRODUCT_BITS = ACCUMULATOR_BITS + MULTIPLIER_BITS
_RESULT_BITS = 10  # of a shifted product, which is twice the result: where it does not fit, |y| is 256 or more
_BLOCK_BITS, _BLOCK_LEAST = 4096, 2  # of an iCE40's block RAM, and the least that a word of it has


class SerialRequantizer(wiring.Component):
    """Takes `cols` sums at a time, at least `cycles` cycles apart, and gives their int8 and where they go.

    Members: `start` begins a layer with `descriptor`; `i_valid` with `i_sums`, `i_marks` and `i_last_tile` is a result. `write`
    is high for one cycle with a byte and its address; `done` when the layer's last byte was given. `channels` takes three
    words a channel (shift, bias, multiplier) from tile entry `load_entry` on, set by `load_at`.

    Bytes come at least `_SUM_CYCLES` cycles apart.
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(Descriptor),
                "i_valid": In(1),
                "i_sums": In(data.ArrayLayout(signed(config.accumulator_bits), config.cols)),
                "i_marks": In(Marks),
                "i_last_tile": In(1),
                "write": Out(1),
                "address": Out(config.activation_address_bits),
                "byte": Out(signed(8)),
                "done": Out(1),
                "channels": In(stream.Signature(32)),
                "load_at": In(1),
                "load_entry": In(range(config.tile_depth)),
            }
        )

    @classmethod
    def cycles_of(cls, config: FabricConfig) -> int:
        """Cycles that it takes for a result."""
        return _SUM_CYCLES * config.cols

    DONE_LATENCY = 8
    """Cycles from the beginning of a result's last sum to `done`."""

    def elaborate(self, platform):
        m = Module()
        config = self._config
        descriptor = self.descriptor

        sums = Signal(data.ArrayLayout(signed(config.accumulator_bits), config.cols), reset_less=True)
        marks, last_tile = Signal(Marks, reset_less=True), Signal(reset_less=True)
        busy, part, channel = Signal(), Signal(range(_SUM_CYCLES)), Signal(range(config.cols))
        sum_end, result_end = Signal(), Signal()
        m.d.comb += [
            sum_end.eq(busy & (part == _SUM_CYCLES - 1)),
            result_end.eq(sum_end & (channel == config.cols - 1)),
        ]
        m.d.sync += part.eq(part + 1)
        with m.If(sum_end):
            m.d.sync += [channel.eq(channel + 1), sums.eq(sums.as_value() >> config.accumulator_bits)]
        with m.If(self.i_valid):
            m.d.sync += [busy.eq(1), part.eq(0), channel.eq(0)]
            m.d.sync += [sums.eq(self.i_sums), marks.eq(self.i_marks), last_tile.eq(self.i_last_tile)]
        with m.Elif(result_end):
            m.d.sync += busy.eq(0)
        word = self._parameters(m, busy & (part != _SUM_CYCLES - 1), result_end, result_end & marks.tile_end)

        # Cycles 1 to 3
        shift = Signal(signed(SHIFT_BITS), reset_less=True)
        negative = Signal(reset_less=True)
        x = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        total = sums[0]
        with m.If(part == 1):
            m.d.sync += [shift.eq(word), negative.eq(descriptor.average & (total < 0))]
        with m.If(part == 2):
            # The third summand goes in as the carry: Yosys makes one chain of this, and a tree of three numbers.
            magnitude = Cat(negative, total.as_unsigned() ^ negative.replicate(len(total)))
            m.d.sync += x.eq((magnitude + Cat(negative, word[:ACCUMULATOR_BITS])) >> 1)
        product = Signal(signed(_PRODUCT_BITS), reset_less=True)
        twice = ~descriptor.average & ~descriptor.round_once & (shift < 0)
        nudge = Signal(signed(2), reset_less=True)  # in units of 2**30
        places = Signal(SHIFT_BITS, reset_less=True)
        flip = Signal(reset_less=True)
        multiplied, ended, ended_channel = Signal(), Signal(), Signal.like(channel)
        ended_marks, ended_last_tile = Signal.like(marks), Signal.like(last_tile)
        value = self._multiply(m, x, word[:MULTIPLIER_BITS])
        m.d.sync += [multiplied.eq(sum_end), ended.eq(multiplied), product.eq(value)]
        with m.If(sum_end):
            m.d.sync += [
                nudge.eq(Cat(twice, twice & (x < 0))),
                places.eq(MAX_LEFT_SHIFT - shift),
                flip.eq(negative),
                ended_channel.eq(channel),
                ended_marks.eq(marks),
                ended_last_tile.eq(last_tile),
            ]

        # Cycles 5 to 7: what belongs to the sum holds still for four
        nudged = Signal(signed(_PRODUCT_BITS - _DROPPED), reset_less=True)
        low = product[_DROPPED:_NUDGE]
        m.d.sync += nudged.eq(Cat(low, product[_NUDGE:].as_signed() + nudge).as_signed())
        half, outside, sign = Signal(signed(_RESULT_BITS), reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        shifted, beyond = _shift(nudged, places)
        m.d.sync += [half.eq(shifted), outside.eq(beyond), sign.eq(nudged[-1])]
        rounded = Cat(half[0] & ~descriptor.average, half[1:]) ^ flip.replicate(_RESULT_BITS)
        placed = Signal(signed(_RESULT_BITS))
        # Half of it, rounded up; an average's lowest bit says whether it was flipped, which is where one is to be added.
        point = Cat(Const(1, 1), descriptor.zero_point).as_signed()
        m.d.comb += placed.eq((rounded.as_signed() + point) >> 1)
        with m.If(Mux(outside, sign, placed < descriptor.low)):
            m.d.comb += self.byte.eq(descriptor.low)
        with m.Elif(outside | (placed > descriptor.high)):
            m.d.comb += self.byte.eq(descriptor.high)
        with m.Else():
            m.d.comb += self.byte.eq(placed)
        given, late = Signal(), Signal()
        m.d.sync += [late.eq(ended), given.eq(late)]
        last = Signal()
        m.d.comb += [
            last.eq(given & (ended_channel == config.cols - 1)),
            self.write.eq(given & (~ended_last_tile | (ended_channel < descriptor.last_lanes[: len(channel) + 1]))),
            self.done.eq(last & ended_marks.layer_end),
        ]
        self._walk(m, given, last, ended_marks)
        return m

    def _parameters(self, m, read, result_end, tile_end):
        """The parameter word after the last one read, a cycle later; a tile's are read again for each result."""
        config = self._config
        depth = config.tile_depth * config.cols * CHANNEL_WORDS
        base, pointer, target = (Signal(range(depth), name=name) for name in ("base", "pointer", "target"))
        m.d.comb += self.channels.ready.eq(1)
        # Side by side, each as deep as all: in turn, they would need a wide choice behind them.
        width = min(max(_BLOCK_BITS >> ceil_log2(depth), _BLOCK_LEAST), 32)
        word = []
        for low in range(0, 32, width):
            m.submodules[f"memory_{low}"] = memory = Memory(shape=width, depth=depth, init=[])
            port, write = memory.read_port(), memory.write_port()
            m.d.comb += [
                port.addr.eq(pointer),
                write.addr.eq(target),
                write.data.eq(self.channels.payload[low : low + width]),
                write.en.eq(self.channels.valid),
            ]
            word.append(port.data)
        with m.If(self.load_at):
            m.d.sync += target.eq(self.load_entry * (config.cols * CHANNEL_WORDS))
        with m.Elif(self.channels.valid):
            m.d.sync += target.eq(target + 1)
        begin = Signal(range(depth))
        m.d.comb += begin.eq(self.descriptor.tile_base[: len(self.load_entry)] * (config.cols * CHANNEL_WORDS))
        with m.If(self.start):
            m.d.sync += [base.eq(begin), pointer.eq(begin)]
        with m.Elif(read):
            m.d.sync += pointer.eq(pointer + 1)
        with m.Elif(result_end):
            with m.If(tile_end & ~self.descriptor.repeat):
                m.d.sync += base.eq(pointer)
            with m.Else():
                m.d.sync += pointer.eq(base)
        return Cat(*word)

    def _multiply(self, m, x, multiplier):
        """x * multiplier, a cycle later: of four products, of which the first and the last lie beside each other."""
        operands = {}
        for name, value in (("x", x), ("multiplier", multiplier)):
            high = value[_LOW_BITS:]
            operands[name] = (value[:_LOW_BITS], high.as_signed() if value.shape().signed else high)
        products = []
        for i, left in enumerate(operands["x"]):
            for j, right in enumerate(operands["multiplier"]):
                m.submodules[f"product_{i}{j}"] = product = Product(left.shape(), right.shape())
                m.d.comb += [product.i_x.eq(left), product.i_y.eq(right)]
                products.append(product.o)
        low, cross, other_cross, high = products
        # A bit more than is needed keeps Yosys from making a tree of both sums.
        outer, inner = Cat(low, high), cross + other_cross
        upper = outer[_LOW_BITS - 1 :].as_signed() + (inner << 1)
        return Cat(outer[: _LOW_BITS - 1], upper).as_signed()

    def _walk(self, m, given, last, marks):
        """The address of the next byte: columns, rows, tiles; each keeps the place where it began."""
        config = self._config
        descriptor = self.descriptor
        column, row, tile = (Signal.like(self.address, name=f"{name}_address") for name in ("column", "row", "tile"))
        following, place, stride = (Signal.like(self.address, name=name) for name in ("following", "place", "stride"))
        m.d.comb += [
            place.eq(Mux(marks.tile_end, tile, Mux(marks.row_end, row, column))),
            stride.eq(
                Mux(
                    marks.tile_end,
                    config.cols,
                    Mux(
                        marks.row_end, descriptor.write_row_stride[: len(stride)], descriptor.write_column_stride[: len(stride)]
                    ),
                )
            ),
            following.eq(place + stride),
        ]
        with m.If(self.start):
            m.d.comb += following.eq(descriptor.write_address)
        with m.If(self.start | last):
            m.d.sync += [self.address.eq(following), column.eq(following)]
        with m.Elif(given):
            m.d.sync += self.address.eq(self.address + 1)
        with m.If(self.start | (last & (marks.row_end | marks.tile_end))):
            m.d.sync += row.eq(following)
        with m.If(self.start | (last & marks.tile_end)):
            m.d.sync += tile.eq(following)


def _shift(value, places):
    """The lowest `_RESULT_BITS` of `value >> places`, and whether there is more of it.

    The coarsest step first, and behind each only the bits that the finer ones can still bring down: what lies above, and is
    not the sign, stays above.
    """
    sign = value[-1]
    beyond = Const(0, 1)
    for low in range(len(places) - 2, -2, -2):
        width = _RESULT_BITS + (1 << low) - 1
        choice = places[low : low + 2]
        rows, fits = [], []
        for amount in range(0, 4 << low, 1 << low):
            kept = value[amount : amount + width]
            rows.append(Cat(kept, sign.replicate(width - len(kept))))
            above = value[amount + width - 1 :]
            fits.append((above == sign.replicate(len(above))) if len(above) > 1 else Const(1, 1))
        beyond = beyond | ~Array(fits)[choice]
        value = Array(rows)[choice]
    return value.as_signed(), beyond

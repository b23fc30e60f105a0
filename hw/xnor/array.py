"""The XNOR array: `rows` outputs x `xnor_pixels` pixels x `8 * rows` bits a cycle, on the weights of the systolic array.

Why so: a cycle brings one word of activations, `8 * rows` bits, and from the weight banks `rows * pairs` words of 16 bits,
which are `8 * rows` bits for `rows` outputs. To use each weight for several pixels their activations must wait, and they are
the small thing: `xnor_pixels` words, against the kilobits of a word of weights. So the activations of a step hold still while
the weights of several tiles of outputs pass by, one tile a turn, and the next step's activations come meanwhile, a pixel a
cycle. A tile's sums of all pixels then wait for the next step in distributed memory, `XNOR_TILES` deep.

    i_load --> staged, a word a pixel --> near, a copy a group of rows of the systolic array --> held, a copy for every few rows
                                           | column 0       | column 1       ...
    i_words row 0:     counter[pixels] --> counter[pixels] --> ... --> accumulators[pixels] --> signs
    i_words row 1:     counter[pixels] --> counter[pixels] --> ... --> accumulators[pixels]
            ...        two bytes of the reduction each                 memory of `XNOR_TILES` sums each

Rows lie as far apart as their weight banks. So what goes to all of them has a register on its way in each of the systolic
array's groups of rows. Placers pull all counters together, to where the sums end: their words come from registers that a
floorplan can put beside the banks. Where flip-flops are short (`adder_levels`), the words that are staged take the register on
their way before, once for all groups: there is no `near`.

Column c is c cycles late, as the weight banks' are, so a sum moves right, a register a column. A sum s is mismatches less half
of the bits that count: it begins with -4 a byte that counts (the padding does not), and the sum of products is -2 * s. The
accumulators begin with a threshold of -1 - floor(bias / 2), so that a sum's sign is the layer's output:

    sum of products + bias >= 0   <=>   s <= floor(bias / 2)   <=>   s - 1 - floor(bias / 2) < 0

Of numbers of several bits, a plane of the activations is a pixel here and a plane of the weights a tile, and the sums leave as
they are: see `planes`. There a turn that `corrects` adds, for each pixel, its ones less half of the bits that count.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..config import BYTE_BITS, XNOR_TILES, FabricConfig
from ..delay import delay
from ..engine import Marks
from ..mac.cell import LOW_BITS, PACKED_BITS
from ..primitives.carry import add
from ..primitives.copies import copies
from .count import MismatchCounter

LEAST_TILES = 2
"""Least tiles of a step: a sum can be read the cycle after it was made, for the one after that."""

SUM_BITS = 16
"""Width of a sum: reductions of fewer than 2**15 bits."""

_ROWS_A_COPY = 3  # of what is held: the rows lie far apart; where flip-flops are short, all of a group
_CELL_BYTES = 2  # of the reduction, that the two weights of a word of the weight banks hold
_WORD_LAG = 1  # registers from the weight banks' words to the counters, and as many more to what is held


class Turn(data.Struct):
    """What one cycle means: the weights of one tile of outputs, against the activations that are held."""

    valid: 1
    swap: 1  # the step's first turn: what was loaded up to this cycle becomes what is held
    first: 1  # of the reduction
    last: 1  # of the reduction: the sums' signs are results
    tile: ceil_log2(XNOR_TILES)
    corrects: 1
    binary: 1  # sums begin with thresholds, and the last ones' signs are results; else sums begin with 0
    end: 1  # the step's last tile
    marks: Marks  # of the block of pixels


class Way(data.Struct):
    """What the accumulators of a row have to know of a turn, and whoever takes their sums."""

    valid: 1
    first: 1
    last: 1
    binary: 1
    end: 1
    again: 1  # the turn two before was of the same tile: its sum is in the accumulator, and not yet in memory
    tile: ceil_log2(XNOR_TILES)


class ActivationLoad(data.StructLayout):
    """A word of activations, a bit a byte that counts, what its sums begin with, and a bit a pixel: whose word it is, if there
    is any. `plain` is minus half of the bits that count; `corrected`, for turns that correct, that and the ones among them less
    half of them."""

    def __init__(self, config: FabricConfig):
        begin = signed(ceil_log2(BYTE_BITS * config.rows) + 1)
        super().__init__(
            {
                "take": config.xnor_pixels,
                "word": data.ArrayLayout(BYTE_BITS, config.rows),
                "inside": config.rows,
                "plain": begin,
                "corrected": begin,
            }
        )


class ThresholdWrite(data.StructLayout):
    """What the accumulators of a tile begin with, a strobe an output."""

    def __init__(self, config: FabricConfig):
        super().__init__(
            {
                "enable": config.rows,
                "tile": ceil_log2(XNOR_TILES),
                "values": data.ArrayLayout(signed(SUM_BITS), config.rows),
            }
        )


class Signs(data.StructLayout):
    """A tile's results: a bit an output and pixel, 1 for +1."""

    def __init__(self, config: FabricConfig):
        super().__init__({"valid": 1, "end": 1, "marks": Marks, "bits": data.ArrayLayout(config.rows, config.xnor_pixels)})


class XnorArray(wiring.Component):
    """`rows * xnor_pixels` sums of `8 * rows` binary products a cycle.

    Members: i_words are the weight banks' words, those of column c coming c + 2 cycles after their `i_turn`: of a word, bits 0
    to 7 and 10 to 17 are bytes 2 c and 2 c + 1 of the reduction. `i_load` brings activations, `threshold` what accumulators
    begin with, before the first turn of its tile. `o` follows the `last` turn of a tile by `latency_of`
    cycles. A cycle before that come o_sums, the sums by pixel and row, with o_ways, a copy a row, and o_marks. Tiles of a step
    differ, and are `LEAST_TILES` at least.
    """

    @classmethod
    def sums_latency_of(cls, config: FabricConfig) -> int:
        """Cycles from a turn to its sums."""
        return cls.latency_of(config) - 1

    @staticmethod
    def latency_of(config: FabricConfig) -> int:
        """Cycles from a turn to its signs."""
        return 1 + config.pairs + _WORD_LAG + MismatchCounter.latency_of(_CELL_BYTES, levels=config.adder_levels) + 2

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "i_turn": In(Turn),
                "i_words": In(data.ArrayLayout(data.ArrayLayout(PACKED_BITS, config.pairs), config.rows)),
                "i_load": In(ActivationLoad(config)),
                "threshold": In(ThresholdWrite(config)),
                "o": Out(Signs(config)),
                "o_sums": Out(data.ArrayLayout(data.ArrayLayout(signed(SUM_BITS), config.rows), config.xnor_pixels)),
                "o_ways": Out(data.ArrayLayout(Way, config.rows)),
                "o_marks": Out(Marks),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        groups = _groups(config)
        every = BYTE_BITS * config.rows  # a sum is from -every to every, and less than that before the last column
        bits = ceil_log2(every) + 1
        held, bases = self._held(m, platform, [config.group_of(groups.index(group)) for group in range(groups[-1] + 1)])
        sums = [bases[group] for group in groups]
        for column in range(config.pairs):
            total = signed(bits + (column + 1 == config.pairs))
            for row, group in enumerate(groups):
                counter = MismatchCounter(
                    count=_CELL_BYTES,
                    pixels=config.xnor_pixels,
                    base=signed(bits),
                    total=total,
                    levels=config.adder_levels,
                )
                m.submodules[f"cell_{row}_{column}"] = counter
                word = self.i_words[row][column]
                weights = Cat(word[:BYTE_BITS], word[LOW_BITS : LOW_BITS + BYTE_BITS])
                (near,) = copies(m, platform, weights, 1, name=f"word_{row}_{column}", site=f"cell_{row}_{column}.word")
                m.d.comb += counter.i_weights.eq(near)
                for pixel, (activations, inside) in enumerate(held[column][group]):
                    m.d.comb += [
                        counter.i_activations[pixel].eq(activations),
                        counter.i_inside[pixel].eq(inside),
                        counter.i_sums[pixel].eq(sums[row][pixel]),
                    ]
                sums[row] = list(counter.o)
        self._accumulate(m, platform, sums)
        return m

    def _held(self, m, platform, homes):
        """What is held, by column, group of rows and pixel: two bytes of activations and, the counters' lag later, which of
        them count; and what sums begin with, by group and pixel, a cycle before column 0's sums. `homes` are the groups of the
        systolic array in which these groups of rows lie."""
        config = self._config
        load = self.i_load if _has_near(config) else delay(m, self.i_load, 1, name="load")
        swap = self.i_turn.valid & self.i_turn.swap
        lag = MismatchCounter.inside_lag(levels=config.adder_levels)
        # From a word to the sum before it.
        begins_lag = MismatchCounter.latency_of(_CELL_BYTES, levels=config.adder_levels) - MismatchCounter.SUM_LATENCY
        corrects = _spread(m, platform, delay(m, self.i_turn.corrects, 1, name="corrects"), homes, name="corrects")
        held, bases = [], []
        for column in range(config.pairs):
            swaps = _spread(m, platform, swap, homes, name=f"swap_{column}")
            later = [delay(m, copy, lag, name=f"swap_{column}_{group}") for group, copy in enumerate(swaps)]
            cut = slice(_CELL_BYTES * column, _CELL_BYTES * (column + 1))
            word = Cat(load.word[byte] for byte in range(cut.start, cut.stop))
            take, inside = (delay(m, value, lag, name=f"{name}_{column}") for name, value in
                            (("take", load.take), ("inside", load.inside[cut])))  # fmt: skip
            activations = self._hold(m, platform, load.take, word, swaps, homes, f"word_{column}")
            counting = self._hold(m, platform, take, inside, later, homes, f"inside_{column}")
            if column == 0:
                begins = self._hold(m, platform, load.take, Cat(load.plain, load.corrected), swaps, homes, "base")
                for group, row in enumerate(begins):
                    chosen = [
                        Mux(corrects[group], each[len(load.plain) :], each[: len(load.plain)]).as_signed() for each in row
                    ]
                    bases.append(
                        [delay(m, base, begins_lag, name=f"base_{group}_{pixel}") for pixel, base in enumerate(chosen)]
                    )
            held.append([list(zip(*pair, strict=True)) for pair in zip(activations, counting, strict=True)])
            load = delay(m, load, 1, name=f"load_{column}")
            swap = delay(m, swap, 1, name=f"swap_{column}")
        return held, bases

    def _hold(self, m, platform, take, values, swaps, homes, name):
        """By group and pixel: the values, staged by pixel as `take` says, and held from one swap to the next. A swap comes with
        a cycle for the way from what is loaded to the groups."""
        held: list[list[Signal]] = [[] for _ in swaps]
        for pixel in range(self._config.xnor_pixels):
            staged = Signal(len(values), name=f"staged_{name}_{pixel}", reset_less=True)
            with m.If(take[pixel]):
                m.d.sync += staged.eq(values)
            near = [staged] * self._config.row_groups
            if _has_near(self._config):
                near = copies(m, platform, staged, self._config.row_groups, name=f"near_{name}_{pixel}")
            for group, (swap, home) in enumerate(zip(swaps, homes, strict=True)):
                register = Signal.like(staged, name=f"held_{name}_{pixel}_{group}", reset_less=True)
                with m.If(swap):
                    m.d.sync += register.eq(near[home])
                held[group].append(register)
        return held

    def _accumulate(self, m, platform, sums):
        """Adds the sums of a tile's steps, and gives their signs. What a sum is added to was read the cycle before."""
        config = self._config
        coming = delay(m, self.i_turn, self.latency_of(config) - 6, name="turn")
        turn = delay(m, coming, 1, name="turn_now")
        before = delay(m, turn, 1, name="turn_before")
        again = delay(m, before.valid & (before.tile == coming.tile), 1, name="again")
        way = Signal(Way)
        m.d.comb += way.again.eq(again)
        m.d.comb += [getattr(way, name).eq(getattr(turn, name)) for name in ("valid", "first", "last", "binary", "end", "tile")]
        homes = [config.group_of(row) for row in range(config.rows)]
        ways = _spread(m, platform, way, homes, name="way")
        enables, values = (
            delay(m, getattr(self.threshold, name), 2, name=f"threshold_{name}") for name in ("enable", "values")
        )
        tiles = _spread(m, platform, self.threshold.tile, homes, name="threshold_tile")
        for row, reading in enumerate(map(Way, ways)):
            adding = delay(m, reading, 1, name=f"adding_{row}")
            written = delay(m, adding, 1, name=f"written_{row}")
            m.submodules[f"thresholds_{row}"] = thresholds = Memory(shape=signed(SUM_BITS), depth=XNOR_TILES, init=[])
            threshold, port = thresholds.read_port(domain="comb"), thresholds.write_port()
            begin = delay(m, Mux(reading.binary, threshold.data, 0).as_signed(), 1, name=f"begin_{row}")
            m.d.comb += [
                threshold.addr.eq(reading.tile),
                port.en.eq(enables[row]),
                port.addr.eq(tiles[row]),
                port.data.eq(values[row]),
            ]
            for pixel in range(config.xnor_pixels):
                name = f"{row}_{pixel}"
                m.submodules[f"sums_{name}"] = waiting = Memory(shape=signed(SUM_BITS), depth=XNOR_TILES, init=[])
                read, write = waiting.read_port(domain="comb"), waiting.write_port()
                accumulator = Signal(signed(SUM_BITS), name=f"accumulator_{name}", reset_less=True)
                sign = Signal(name=f"sign_{name}", reset_less=True)
                total = add(
                    m,
                    platform,
                    sums[row][pixel],
                    delay(m, Mux(reading.again, accumulator, read.data).as_signed(), 1, name=f"waited_{name}"),
                    signed(SUM_BITS),
                    name=f"sum_{name}",
                    y_choose=adding.first,
                    other=begin,
                )
                m.d.sync += [accumulator.eq(total), sign.eq(accumulator[-1])]
                m.d.comb += [
                    read.addr.eq(reading.tile),
                    write.en.eq(written.valid),
                    write.addr.eq(written.tile),
                    write.data.eq(accumulator),
                    self.o.bits[pixel][row].eq(sign),
                    self.o_sums[pixel][row].eq(accumulator),
                ]
            m.d.comb += self.o_ways[row].eq(written)
        done = delay(m, turn, 4, name="done")
        valid, end, marks = (
            delay(m, value, 1, name=name)
            for name, value in (("valid", done.valid & done.last & done.binary), ("end", done.end), ("marks", done.marks))
        )
        m.d.comb += [self.o.valid.eq(valid), self.o.end.eq(end), self.o.marks.eq(marks), self.o_marks.eq(done.marks)]


def _has_near(config: FabricConfig) -> bool:
    """Whether each group of the systolic array's rows has a copy of what is staged."""
    return config.adder_levels == 1


def _spread(m, platform, value, homes, *, name: str):
    """Copies of a value, two cycles late, each near the rows of a group of the systolic array: these lie far apart, and a
    register in each is on the way."""
    near = copies(m, platform, value, max(homes) + 1, name=name)
    spread = []
    for home, copy in enumerate(near):
        spread += copies(m, platform, copy, homes.count(home), name=f"{name}_{home}")
    return spread


def _groups(config: FabricConfig) -> list[int]:
    """For each row, which copy of what is held it takes: neighbours of one group of the systolic array share one."""
    most = _ROWS_A_COPY if _has_near(config) else config.rows
    groups: list[int] = []
    for row in range(config.rows):
        shared = [before for before in range(row) if groups[before] == groups[-1]]
        joins = row and len(shared) < most and config.group_of(row) == config.group_of(row - 1)
        groups.append(groups[-1] if joins else groups[-1] + 1 if groups else 0)
    return groups

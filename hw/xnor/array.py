"""The XNOR array: `rows` outputs x `xnor_pixels` pixels x `8 * rows` bits a cycle, on the weights of the systolic array.

Why so: a cycle brings one word of activations, `8 * rows` bits, and from the weight banks `rows * pairs` words of 16 bits,
which are `8 * rows` bits for `rows` outputs. To use each weight for several pixels their activations must wait, and they are
the small thing: `xnor_pixels` words, against the kilobits of a word of weights. So the activations of a step hold still while
the weights of several tiles of outputs pass by, one tile a turn, and the next step's activations come meanwhile, a pixel a
cycle. A tile's sums of all pixels then wait for the next step in distributed memory, `XNOR_TILES` deep.

    i_load --> staged, a word a pixel --> held, a copy for every few rows     (`swap`)
                                           | column 0       | column 1       ...
    i_words row 0:     counter[pixels] --> counter[pixels] --> ... --> accumulators[pixels] --> signs
    i_words row 1:     counter[pixels] --> counter[pixels] --> ... --> accumulators[pixels]
            ...        two bytes of the reduction each                 memory of `XNOR_TILES` sums each

Column c is c cycles late, as the weight banks' are, so a sum moves right, a register a column. A sum s is mismatches less half
of the bits that count: it begins with -4 a byte that counts (the padding does not), and the sum of products is -2 * s. The
accumulators begin with a threshold of -1 - floor(bias / 2), so that a sum's sign is the layer's output:

    sum of products + bias >= 0   <=>   s <= floor(bias / 2)   <=>   s - 1 - floor(bias / 2) < 0
"""

from amaranth.hdl import Cat, Const, Module, Signal, signed
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
"""Least tiles of a step: a sum is in its memory the cycle after it was made."""

SUM_BITS = 16
"""Width of a sum: reductions of fewer than 2**15 bits."""

_ROWS_A_COPY = 3  # of what is held: the rows lie far apart
_CELL_BYTES = 2  # of the reduction, that the two weights of a word of the weight banks hold


class Turn(data.Struct):
    """What one cycle means: the weights of one tile of outputs, against the activations that are held."""

    valid: 1
    swap: 1  # the step's first turn: what was loaded up to this cycle becomes what is held
    first: 1  # of the reduction
    last: 1  # of the reduction: the sums' signs are results
    tile: ceil_log2(XNOR_TILES)
    end: 1  # the step's last tile
    marks: Marks  # of the block of pixels


class ActivationLoad(data.StructLayout):
    """A word of activations, one bit a byte that counts, and a bit a pixel: whose word it is, if there is any."""

    def __init__(self, config: FabricConfig):
        super().__init__({"take": config.xnor_pixels, "word": data.ArrayLayout(BYTE_BITS, config.rows), "inside": config.rows})


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
    cycles. Tiles of a step differ, and are `LEAST_TILES` at least.
    """

    @staticmethod
    def latency_of(config: FabricConfig) -> int:
        """Cycles from a turn to its signs."""
        return 1 + config.pairs + MismatchCounter.latency_of(_CELL_BYTES) + 1

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "i_turn": In(Turn),
                "i_words": In(data.ArrayLayout(data.ArrayLayout(PACKED_BITS, config.pairs), config.rows)),
                "i_load": In(ActivationLoad(config)),
                "threshold": In(ThresholdWrite(config)),
                "o": Out(Signs(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        groups = _groups(config)
        half = BYTE_BITS * config.rows // 2  # a sum is from -half to half, and less than half before the last column
        bits = ceil_log2(half) + 1
        held, bases = self._held(m, platform, groups[-1] + 1)
        sums = [bases[group] for group in groups]
        for column in range(config.pairs):
            total = signed(bits + (column + 1 == config.pairs))
            for row, group in enumerate(groups):
                counter = MismatchCounter(count=_CELL_BYTES, pixels=config.xnor_pixels, base=signed(bits), total=total)
                m.submodules[f"cell_{row}_{column}"] = counter
                word = self.i_words[row][column]
                weights = Cat(word[:BYTE_BITS], word[LOW_BITS : LOW_BITS + BYTE_BITS])
                m.d.comb += counter.i_weights.eq(weights)
                for pixel, (activations, inside) in enumerate(held[column][group]):
                    m.d.comb += [
                        counter.i_activations[pixel].eq(activations),
                        counter.i_inside[pixel].eq(inside),
                        counter.i_sums[pixel].eq(sums[row][pixel]),
                    ]
                sums[row] = list(counter.o)
        self._accumulate(m, platform, sums)
        return m

    def _held(self, m, platform, groups):
        """What is held, by column, group of rows and pixel: two bytes of activations and, a cycle later, which of them count;
        and what sums begin with, by group and pixel, as late as the latter."""
        config = self._config
        turn, load = self.i_turn, self.i_load
        swap = turn.valid & turn.swap
        begins = Signal(range(len(load.inside) + 1), name="begins", reset_less=True)
        m.d.sync += begins.eq(sum(load.inside))
        held, bases = [], []
        for column in range(config.pairs):
            swaps = copies(m, platform, swap, groups, name=f"swap_{column}")
            later = [delay(m, copy, 1, name=f"swap_{column}_{group}") for group, copy in enumerate(swaps)]
            cut = slice(_CELL_BYTES * column, _CELL_BYTES * (column + 1))
            word = Cat(load.word[byte] for byte in range(cut.start, cut.stop))
            take, inside = (delay(m, value, 1, name=f"{name}_{column}") for name, value in
                            (("take", load.take), ("inside", load.inside)))  # fmt: skip
            activations = self._hold(m, load.take, word, swaps, f"word_{column}")
            counting = self._hold(m, take, inside[cut], later, f"inside_{column}")
            if column == 0:
                counts = self._hold(m, take, begins, later, "base")
                bases = [[-Cat(Const(0, 2), count) for count in row] for row in counts]
            held.append([list(zip(*pair, strict=True)) for pair in zip(activations, counting, strict=True)])
            load = delay(m, load, 1, name=f"load_{column}")
            swap = delay(m, swap, 1, name=f"swap_{column}")
        return held, bases

    def _hold(self, m, take, values, swaps, name):
        """By group and pixel: the values, staged by pixel as `take` says, and held from one swap to the next."""
        held: list[list[Signal]] = [[] for _ in swaps]
        for pixel in range(self._config.xnor_pixels):
            staged = Signal(len(values), name=f"staged_{name}_{pixel}", reset_less=True)
            with m.If(take[pixel]):
                m.d.sync += staged.eq(values)
            for group, swap in enumerate(swaps):
                register = Signal.like(staged, name=f"held_{name}_{pixel}_{group}", reset_less=True)
                with m.If(swap):
                    m.d.sync += register.eq(staged)
                held[group].append(register)
        return held

    def _accumulate(self, m, platform, sums):
        """Adds the sums of a tile's steps, and gives their signs."""
        config = self._config
        turn = delay(m, self.i_turn, self.latency_of(config) - 2, name="turn")
        ways = copies(m, platform, turn, config.rows, name="way")
        for row, way in enumerate(ways):
            way = Turn(way)
            written = delay(m, way, 1, name=f"written_{row}")
            m.submodules[f"thresholds_{row}"] = thresholds = Memory(shape=signed(SUM_BITS), depth=XNOR_TILES, init=[])
            threshold, port = thresholds.read_port(domain="comb"), thresholds.write_port()
            m.d.comb += [
                threshold.addr.eq(way.tile),
                port.en.eq(self.threshold.enable[row]),
                port.addr.eq(self.threshold.tile),
                port.data.eq(self.threshold.values[row]),
            ]
            for pixel in range(config.xnor_pixels):
                name = f"{row}_{pixel}"
                m.submodules[f"sums_{name}"] = waiting = Memory(shape=signed(SUM_BITS), depth=XNOR_TILES, init=[])
                read, write = waiting.read_port(domain="comb"), waiting.write_port()
                accumulator = Signal(signed(SUM_BITS), name=f"accumulator_{name}", reset_less=True)
                total = add(
                    m,
                    platform,
                    sums[row][pixel],
                    read.data,
                    signed(SUM_BITS),
                    name=f"sum_{name}",
                    y_choose=way.first,
                    other=threshold.data,
                )
                m.d.sync += accumulator.eq(total)
                m.d.comb += [
                    read.addr.eq(way.tile),
                    write.en.eq(written.valid),
                    write.addr.eq(written.tile),
                    write.data.eq(accumulator),
                    self.o.bits[pixel][row].eq(accumulator[-1]),
                ]
        done = delay(m, turn, 2, name="done")
        m.d.comb += [self.o.valid.eq(done.valid & done.last), self.o.end.eq(done.end), self.o.marks.eq(done.marks)]


def _groups(config: FabricConfig) -> list[int]:
    """For each row, which copy of what is held it takes: neighbours of one group of the systolic array share one."""
    groups: list[int] = []
    for row in range(config.rows):
        shared = [before for before in range(row) if groups[before] == groups[-1]]
        joins = row and len(shared) < _ROWS_A_COPY and config.group_of(row) == config.group_of(row - 1)
        groups.append(groups[-1] if joins else groups[-1] + 1 if groups else 0)
    return groups

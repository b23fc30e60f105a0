"""Counting trees: how many bits of two words differ, for fabrics of LUT4 with carry chains.

The recipe for LUT4 alone is a leaf of two XNORs and 3:2 counters of two LUT4 each, three LUT4 for each pair of bits in all. A
carry chain does with two thirds of that: its half cell adds two gates of two inputs each and a carry, which may be a gate as
well (`hw.primitives.carry.sums`), so three XORs and their full adder are two half cells, and a sum of n bits with a third
operand of one bit takes n + 1. Every adder of the tree takes such a bit along, so a byte's eighth pair needs no adder:

    7 of a byte's 8 pairs --> two full adders --> sum of 3 bits --+
    the eighth pair ----------------------------------------------|--+
    another byte: the same ---------------------------------------+--+--> sum --> ... --> + i_sums
                          cycle 1             cycle 2             | cycle 3               the last cycle
                                                 AND "the byte counts"

A register behind every adder costs no LUT4: it lies in the carry cell's own slice. What goes past the full adders does so as
the bits of which a gate is made later, which rows and pixels share. Where flip-flops are short there is one behind every second
adder.

Whether a byte counts (it does not where it lies in the padding) is the other input of the gates. No wide LUTs.
"""

from typing import NamedTuple

from amaranth.hdl import Module, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..config import BYTE_BITS
from ..delay import delay
from ..primitives.carry import Gate, Sum, add, sums

_CHAIN_CELLS = 18  # half cells of a chain before its last one


class MismatchCounter(wiring.Component):
    """A word of weights against words of activations, one a pixel: `o[p] = i_sums[p] + (bits of i_weights ^ i_activations[p]
    that are 1)`, over those bytes whose bit of `i_inside[p]` is 1, modulo the shape of o.

    Parameters: `count` of bytes in a word, `pixels`, shapes of i_sums (`base`) and o (`total`), and `levels`, 1 or 2: adders
    between registers. New words every cycle; i_inside comes `inside_lag` cycles after them, o follows them by `latency` cycles,
    and i_sums by `SUM_LATENCY`.
    """

    SUM_LATENCY = 1
    """Cycles from i_sums to o."""

    def __init__(self, *, count: int, pixels: int, base, total, levels: int = 1):
        for name, value in (("count", count), ("pixels", pixels)):
            if value < 1:
                raise ValueError(f"a mismatch counter's {name} must be 1 or more, not {value}")
        self._count, self._pixels, self._levels = count, pixels, levels
        word = data.ArrayLayout(BYTE_BITS, count)
        super().__init__(
            {
                "i_weights": In(word),
                "i_activations": In(data.ArrayLayout(word, pixels)),
                "i_inside": In(data.ArrayLayout(count, pixels)),
                "i_sums": In(data.ArrayLayout(Shape.cast(base), pixels)),
                "o": Out(data.ArrayLayout(Shape.cast(total), pixels)),
            }
        )

    @staticmethod
    def latency_of(count: int, *, levels: int) -> int:
        """Cycles from words of `count` bytes to their sums."""
        return 2 // levels - (-(ceil_log2(count) + 1) // levels)

    @staticmethod
    def inside_lag(*, levels: int) -> int:
        """Cycles by which i_inside follows the words."""
        return 2 // levels

    @property
    def latency(self) -> int:
        """Cycles from the words to the sums."""
        return self.latency_of(self._count, levels=self._levels)

    def elaborate(self, platform):
        m = Module()
        numbers, singles = self._bytes(m, platform)
        for level in range(1, ceil_log2(self._count) + 1):
            numbers, singles = self._level(m, platform, numbers, singles, level)
            for pixel in range(0 if level % self._levels else self._pixels):
                name = f"{level}_{pixel}"
                numbers[pixel] = [number.registered(m, f"number_{name}_{i}") for i, number in enumerate(numbers[pixel])]
                singles[pixel] = [
                    Gate(delay(m, single.value, 1, name=f"single_{name}_{i}")) for i, single in enumerate(singles[pixel])
                ]
        totals = Signal(self.o.shape(), reset_less=True)
        m.d.comb += self.o.eq(totals)
        for pixel in range(self._pixels):
            ((number,), (single,)) = numbers[pixel], singles[pixel]
            shape = self.o[pixel].shape()
            whole = add(
                m,
                platform,
                self.i_sums[pixel],
                number.bits,
                shape,
                name=f"whole_{pixel}",
                y_gate=number.gate,
                carry=single,
            )
            m.d.sync += totals[pixel].eq(whole)
        return m

    def _bytes(self, m, platform):
        """For each pixel its numbers, one a byte, and as many single bits, after two adders."""
        pairs = self._pairs(self.i_weights, self.i_activations)
        between = 2 // self._levels - 1
        weights = delay(m, self.i_weights, between, name="weights")
        late = self._pairs(
            weights, [delay(m, word, between, name=f"activations_{pixel}") for pixel, word in enumerate(self.i_activations)]
        )
        full = self._chained(
            m,
            platform,
            [Sum(byte[first], byte[first + 1 : first + 2], byte[first + 2 : first + 3]) for byte in pairs for first in (0, 3)],
            "full",
        )
        halves = [[Gate(bit) for bit in delay(m, total, between, name=f"half_{index}")] for index, total in enumerate(full)]
        sevens = self._chained(
            m,
            platform,
            [Sum(byte[6], one, other) for byte, one, other in zip(late, halves[::2], halves[1::2], strict=True)],
            "seven",
        )
        numbers: list[list[_Number]] = []
        singles: list[list[Gate]] = []
        for pixel in range(self._pixels):
            numbers.append([])
            singles.append([])
            for byte in range(self._count):
                place, name = pixel * self._count + byte, f"{pixel}_{byte}"
                inside = self.i_inside[pixel][byte]
                numbers[-1].append(_Number(delay(m, sevens[place], 1, name=f"seven_{name}"), inside))
                singles[-1].append(Gate(delay(m, late[place][7].value, 1, name=f"eighth_{name}"), inside))
        return numbers, singles

    def _pairs(self, weights, activations):
        """By pixel and byte: the pairs of its bits."""
        return [
            [Gate(byte[bit], own[bit], differ=True) for bit in range(BYTE_BITS)]
            for word in activations
            for byte, own in zip(word, weights, strict=True)
        ]

    def _level(self, m, platform, numbers, singles, level):
        """Every two numbers and a single bit of each pixel added up; what is left over passes by."""
        adders = [
            Sum(single, one.gates, other.gates)
            for row, bits in zip(numbers, singles, strict=True)
            for one, other, single in zip(row[::2], row[1::2], bits, strict=False)
        ]
        totals = self._chained(m, platform, adders, f"level_{level}")
        count = len(numbers[0]) // 2
        added = [[_Number(total) for total in totals[n * count : (n + 1) * count]] for n in range(self._pixels)]
        return (
            [new + row[2 * count :] for new, row in zip(added, numbers, strict=True)],
            [bits[count:] for bits in singles],
        )

    def _chained(self, m, platform, adders, name):
        """The sums, in chains that are not too long: tools for timing follow a carry through all of a chain."""
        totals = []
        chain: list[Sum] = []
        cells = 0
        for index, adder in enumerate(adders):
            chain.append(adder)
            cells += len(adder.x) + 1
            if index + 1 == len(adders) or cells + len(adder.x) + 1 > _CHAIN_CELLS:
                totals += sums(m, platform, chain, name=f"{name}_{index}")
                chain, cells = [], 0
        return totals


class _Number(NamedTuple):
    """A number of the tree, which counts where `gate` is 1, if there is one."""

    bits: Value
    gate: Value | None = None

    @property
    def gates(self) -> list[Gate]:
        """Its bits for an adder."""
        return [Gate(bit, self.gate) for bit in self.bits]

    def registered(self, m, name: str) -> "_Number":
        """What it counts, after a register."""
        bits = self.bits if self.gate is None else self.bits & self.gate.replicate(len(self.bits))
        return _Number(delay(m, bits, 1, name=name))

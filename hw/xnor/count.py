"""Counting trees: how many bits of two words differ, for fabrics of LUT4 with carry chains.

The recipe for LUT4 alone is a leaf of two XNORs and 3:2 counters of two LUT4 each, three LUT4 for each pair of bits in all. A
carry chain does with half of that: its half cell adds two gates of two inputs each and a carry, which may be a gate as well
(`hw.primitives.carry.sums`), so three XORs and their full adder are two half cells, and a sum of n bits with a third operand of
one bit is n + 1. Every adder of the tree takes such a bit along, so a byte's eighth pair needs no adder of its own:

    7 of a byte's 8 pairs --> two full adders --> sum of 3 bits --+               cycle 1
    the eighth pair, if the byte counts --------------------------|--+
    another byte: the same ---------------------------------------+--+--> sum --> ... --> + i_sums --> register
                                                  AND "the byte counts"               every two adders, and at the end

Whether a byte counts (it does not where it lies in the padding) is one of the gates' inputs, and costs nothing but the eighth
pair's LUT4. No wide LUTs.
"""

from typing import NamedTuple

from amaranth.hdl import Module, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..delay import delay
from ..primitives.carry import Gate, Sum, add, sums

BYTE = 8

_LEVELS = 2  # adders between registers
_CHAIN_CELLS = 18  # half cells of a chain before its last one


class MismatchCounter(wiring.Component):
    """One word of activations against `outputs` words of weights: `o[n] = i_sums[n] + (bits of activations ^ weights[n] that
    are 1)`, over those bytes whose bit of `i_inside` is 1, modulo the shape of `i_sums`.

    Parameters: `count` of bytes in a word, `outputs`, and `shape` of i_sums and o. A word a cycle; o follows the words by
    `latency` cycles and i_sums by `SUM_LATENCY`.
    """

    SUM_LATENCY = 1
    """Cycles from i_sums to o."""

    def __init__(self, *, count: int, outputs: int, shape):
        for name, value in (("count", count), ("outputs", outputs)):
            if value < 1:
                raise ValueError(f"a mismatch counter's {name} must be 1 or more, not {value}")
        self._count, self._outputs, self._shape = count, outputs, Shape.cast(shape)
        word = data.ArrayLayout(BYTE, count)
        totals = data.ArrayLayout(self._shape, outputs)
        super().__init__(
            {
                "i_activations": In(word),
                "i_inside": In(count),
                "i_weights": In(data.ArrayLayout(word, outputs)),
                "i_sums": In(totals),
                "o": Out(totals),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the words to the sums."""
        return 1 + -(-(ceil_log2(self._count) + 1) // _LEVELS)

    def elaborate(self, platform):
        m = Module()
        numbers, singles = self._bytes(m, platform)
        adders = ceil_log2(self._count)
        for level in range(1, adders + 1):
            numbers, singles = self._level(m, platform, numbers, singles, level)
            if level % _LEVELS == 0:
                for output in range(self._outputs):
                    name = f"{level}_{output}"
                    numbers[output] = [
                        _Number(delay(m, number.value, 1, name=f"number_{name}_{place}"))
                        for place, number in enumerate(numbers[output])
                    ]
                    singles[output] = [
                        delay(m, single, 1, name=f"single_{name}_{place}") for place, single in enumerate(singles[output])
                    ]
        for output in range(self._outputs):
            ((number,), (single,)) = numbers[output], singles[output]
            total = Signal(self._shape, name=f"total_{output}", reset_less=True)
            whole = add(
                m,
                platform,
                self.i_sums[output],
                number.bits,
                self._shape,
                name=f"whole_{output}",
                y_gate=number.gate,
                carry=single,
            )
            m.d.sync += total.eq(whole)
            m.d.comb += self.o[output].eq(total)
        return m

    def _bytes(self, m, platform):
        """For each output its numbers, one a byte, and as many single bits, after a register."""
        inside = delay(m, self.i_inside, 1, name="inside")
        adders = []
        for weights in self.i_weights:
            for activations, weights_byte in zip(self.i_activations, weights, strict=True):
                pairs = [Gate(activations[bit], weights_byte[bit], differ=True) for bit in range(BYTE)]
                adders += [Sum(pairs[0], pairs[1:2], pairs[2:3]), Sum(pairs[3], pairs[4:5], pairs[5:6])]
        full = self._chained(m, platform, adders, "full")
        adders = []
        for place in range(self._outputs * self._count):
            one, other = full[2 * place : 2 * place + 2]
            output, byte = divmod(place, self._count)
            seventh = Gate(self.i_activations[byte][6], self.i_weights[output][byte][6], differ=True)
            adders.append(Sum(seventh, [Gate(bit) for bit in one], [Gate(bit) for bit in other]))
        sevens = self._chained(m, platform, adders, "seven")
        numbers: list[list[_Number]] = []
        singles: list[list[Value]] = []
        for output, weights in enumerate(self.i_weights):
            numbers.append([])
            singles.append([])
            for byte in range(self._count):
                seven = delay(m, sevens[output * self._count + byte], 1, name=f"seven_{output}_{byte}")
                numbers[-1].append(_Number(seven, inside[byte]))
                eighth = (self.i_activations[byte][7] ^ weights[byte][7]) & self.i_inside[byte]
                singles[-1].append(delay(m, eighth, 1, name=f"eighth_{output}_{byte}"))
        return numbers, singles

    def _level(self, m, platform, numbers, singles, level):
        """Every two numbers and a single bit of each output added up; what is left over passes by."""
        adders = [
            Sum(Gate(single), one.gates, other.gates)
            for row, bits in zip(numbers, singles, strict=True)
            for one, other, single in zip(row[::2], row[1::2], bits, strict=False)
        ]
        totals = self._chained(m, platform, adders, f"level_{level}")
        count = len(numbers[0]) // 2
        sums_of = [[_Number(total) for total in totals[n * count : (n + 1) * count]] for n in range(self._outputs)]
        return (
            [added + row[2 * count :] for added, row in zip(sums_of, numbers, strict=True)],
            [bits[count:] for bits in singles],
        )

    def _chained(self, m, platform, adders, name):
        """The sums, in chains that are not too long: a tool for timing follows a carry through all of a chain."""
        totals = []
        chain: list[Sum] = []
        for index, adder in enumerate(adders):
            chain.append(adder)
            cells = sum(len(one.x) + 1 for one in chain)
            if index + 1 == len(adders) or cells + len(adder.x) + 1 > _CHAIN_CELLS:
                totals += sums(m, platform, chain, name=f"{name}_{index}")
                chain = []
        return totals


class _Number(NamedTuple):
    """A number of the tree, which counts where `gate` is 1, if there is one."""

    bits: Value
    gate: Value | None = None

    @property
    def gates(self) -> list[Gate]:
        """Its bits for an adder."""
        return [Gate(bit, self.gate) for bit in self.bits]

    @property
    def value(self) -> Value:
        """What it counts."""
        return self.bits if self.gate is None else self.bits & self.gate.replicate(len(self.bits))

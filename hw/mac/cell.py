"""Two exact int8 products a multiplier.

A cell multiplies one activation by a packed word of two weights, `word = w1 * 2**10 + w0`, in a single 18-bit multiplier:

    P = a * word = (a * w1) * 2**10 + a * w0        |P| < 2**25 for w0, w1 in [-127, 127] and any int8 a
    low  = P[0:10]                                  a * w0 modulo 2**10
    high = P >> 10                                  a * w1 plus the signed upper bits of a * w0
    fold = (high - ((a * w1) mod 32)) mod 32        those upper bits, signed: five bits suffice, as |a * w0| < 2**14
    a * w0 = {fold, low},  a * w1 = high - fold

The residue `(a * w1) mod 32` needs five bits of each operand: a few LUTs. The subtraction waits until the sums leave the
array: high, low and fold are added down the column apart, and

    S1 = sum(high) - sum(fold)
    S0 = sum(low) + 2**10 * sum(fold)

             i_activation (from the left)       i_address (from the left)
                    |                                |
                    |                           weight bank, output register
                    v                                v
                 register                        register
                    +------------> multiply <--------+          cycle 2
                                   P, residue                   cycle 3
                                 high, low, fold                cycle 4
    i_sums (from above) ------------> add ---------> o_sums     cycle 5
"""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

PACKED_BITS = 18
"""Width of a packed word of two weights."""

LOW_BITS = 10
"""Position of the second weight in a packed word."""

FOLD_BITS = 5
"""Width of the part of the first product that lands in the second."""


def pack(first: int, second: int) -> int:
    """The packed word of weights `first` (w0) and `second` (w1), as an unsigned number of `PACKED_BITS` bits."""
    return ((second << LOW_BITS) + first) & ((1 << PACKED_BITS) - 1)


class PairSums(data.StructLayout):
    """The three sums of a column of `rows` cells."""

    def __init__(self, rows: int):
        growth = ceil_log2(rows)
        super().__init__(
            {
                "high": signed(PACKED_BITS + 8 - LOW_BITS + growth),
                "low": unsigned(LOW_BITS + growth),
                "fold": signed(FOLD_BITS + growth),
            }
        )


class WeightWrite(wiring.Signature):
    """One write into a weight bank: the packed word, its address, and a strobe."""

    def __init__(self, address_bits: int):
        super().__init__({"enable": Out(1), "address": Out(address_bits), "data": Out(PACKED_BITS)})


class PairCell(wiring.Component):
    """One multiplier with a weight bank of its own: the products of two output channels, added to the sums from above.

    Parameters: `rows` of the array (for the width of the sums), `depth` of the bank in words.

    Members: i_address selects the weights; i_activation must follow it by `ACTIVATION_LAG` cycles less its own input
    register; i_sums by `LATENCY - 1` cycles; o_sums comes `LATENCY` cycles after i_address. o_activation and o_address hand
    the registered values to the cell on the right. A new step every cycle.
    """

    LATENCY = 5
    """Cycles from i_address to o_sums."""

    ACTIVATION_LAG = 1
    """Cycles by which i_activation follows i_address."""

    def __init__(self, *, rows: int, depth: int):
        self._depth = depth
        address_bits = ceil_log2(depth)
        sums = PairSums(rows)
        super().__init__(
            {
                "i_address": In(address_bits),
                "i_activation": In(signed(8)),
                "i_sums": In(sums),
                "write": In(WeightWrite(address_bits)),
                "o_address": Out(address_bits),
                "o_activation": Out(signed(8)),
                "o_sums": Out(sums),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.bank = bank = Memory(shape=unsigned(PACKED_BITS), depth=self._depth, init=[])
        read = bank.read_port()
        write = bank.write_port()
        m.d.comb += [
            read.addr.eq(self.i_address),
            write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
            write.en.eq(self.write.enable),
        ]

        weight = Signal(signed(PACKED_BITS))
        activation = self.o_activation
        m.d.sync += [
            self.o_address.eq(self.i_address),
            weight.eq(read.data),
            activation.eq(self.i_activation),
        ]

        product = Signal(signed(PACKED_BITS + 8))
        residue = Signal(FOLD_BITS)
        # w1 mod 32, undone of the borrow that packing took from it where w0 is negative.
        second = (weight[LOW_BITS : LOW_BITS + FOLD_BITS] + weight[LOW_BITS - 1])[:FOLD_BITS]
        m.d.sync += [
            product.eq(activation * weight),
            residue.eq(activation[:FOLD_BITS] * second),
        ]

        parts = Signal(PairSums(1))
        m.d.sync += [
            parts.high.eq(product >> LOW_BITS),
            parts.low.eq(product[:LOW_BITS]),
            parts.fold.eq((product[LOW_BITS : LOW_BITS + FOLD_BITS] - residue)[:FOLD_BITS].as_signed()),
        ]
        for name in ("high", "low", "fold"):
            m.d.sync += self.o_sums[name].eq(self.i_sums[name] + parts[name])
        return m


def unpacked_sums(sums, bits: int) -> tuple:
    """(S0, S1): expressions for the sums of the first and of the second channel, each `bits` wide."""
    first = (sums.low + (sums.fold << LOW_BITS))[:bits].as_signed()
    second = (sums.high - sums.fold)[:bits].as_signed()
    return first, second

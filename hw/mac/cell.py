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

A word may as well be a single weight of up to 18 bits, whose sum of products is sum(low) + 2**10 * sum(high).

             i_activation (from the left)       i_address (from the left)
                    |                                |
                    |                           weight bank (two cycles)      cycle 2
                    v                                v
                    +---> multiplier, residue <------+     its own registers  cycle 5
                               |         |
    i_sums (from above)     high, low    |
       high, low ------------> add ------|---------> o_sums.high, .low        cycle 6
                                       fold                                   cycle 6
       fold --------------------------> add -------> o_sums.fold              cycle 7
"""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from ..delay import delay
from ..primitives.bank import Bank, BankWrite
from ..primitives.multiplier import Multiplier
from ..primitives.products import CarryMultiplier

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


class PairCell(wiring.Component):
    """One multiplier with a weight bank of its own: the products of two output channels, added to the sums from above.

    Parameters: `rows` of the array (for the width of the sums), `depth` of the bank in words; `carries`, whether the products
    are made of carry chains instead of a multiplier; `hands_words`, whether there is o_word; `site`, for a floorplan: its
    multiplier is `site.multiplier`, its bank `site.bank`.

    Members: i_address selects the weights; i_activation must follow it by `ACTIVATION_LAG` cycles, i_sums by `LATENCY - 1`
    cycles; o_sums comes `LATENCY` cycles after i_address. Of both sums, `fold` is `FOLD_LAG` cycles later than the others.
    o_activation and o_address hand the registered values to the cell on the right; o_word is what the bank gives, a cycle
    later. A new step every cycle.
    """

    LATENCY = Bank.LATENCY + Multiplier.LATENCY + 1
    """Cycles from i_address to o_sums.high and o_sums.low."""

    FOLD_LAG = 1
    """Cycles by which o_sums.fold follows the other sums: it is a difference before it is added."""

    ACTIVATION_LAG = Bank.LATENCY
    """Cycles by which i_activation follows i_address."""

    def __init__(self, *, rows: int, depth: int, carries: bool = False, hands_words: bool = False, site: str = ""):
        self._depth = depth
        self._hands_words = hands_words
        self._carries = carries
        self._site = site
        address_bits = ceil_log2(depth)
        sums = PairSums(rows)
        super().__init__(
            {
                "i_address": In(address_bits),
                "i_activation": In(signed(8)),
                "i_sums": In(sums),
                "write": In(BankWrite(width=PACKED_BITS, depth=depth)),
                "o_address": Out(address_bits),
                "o_activation": Out(signed(8)),
                **({"o_word": Out(PACKED_BITS)} if hands_words else {}),
                "o_sums": Out(sums),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.bank = bank = Bank(width=PACKED_BITS, depth=self._depth, site=f"{self._site}.bank")
        connect(m, flipped(self.write), bank.write)
        m.d.comb += [
            bank.i_address.eq(self.i_address),
            self.o_address.eq(delay(m, self.i_address, 1, name="address")),
            self.o_activation.eq(delay(m, self.i_activation, 1, name="activation")),
        ]
        multiply = self._multiply_by_carries if self._carries else self._multiply
        if self._hands_words:
            m.d.comb += self.o_word.eq(delay(m, bank.o_data, 1, name="word"))
        product, residue = multiply(m, self.i_activation, bank.o_data)
        sums = Signal(self.o_sums.shape(), reset_less=True)
        fold = Signal(signed(FOLD_BITS), reset_less=True)
        m.d.sync += [
            sums.high.eq(self.i_sums.high + (product >> LOW_BITS)),
            sums.low.eq(self.i_sums.low + product[:LOW_BITS]),
            fold.eq((product[LOW_BITS : LOW_BITS + FOLD_BITS] - residue)[:FOLD_BITS].as_signed()),
            sums.fold.eq(self.i_sums.fold + fold),
        ]
        m.d.comb += self.o_sums.eq(sums)
        return m

    def _multiply(self, m, activation, word):
        """P and the residue, `Multiplier.LATENCY` cycles later."""
        m.submodules.multiplier = multiplier = Multiplier(signed(PACKED_BITS), signed(8), site=f"{self._site}.multiplier")
        m.d.comb += [multiplier.i_x.eq(word), multiplier.i_y.eq(activation)]
        return multiplier.o, self._residue(m, activation, word)

    def _multiply_by_carries(self, m, activation, word):
        """The same from a multiplier of carry chains for each of the two weights."""
        weights = word[:8], (word[LOW_BITS:] + word[LOW_BITS - 1])[:8]
        products = []
        for index, weight in enumerate(weights):
            m.submodules[f"multiplier_{index}"] = multiplier = CarryMultiplier(signed(8), signed(8))
            assert multiplier.latency == Multiplier.LATENCY
            m.d.comb += [multiplier.i_x.eq(activation), multiplier.i_y.eq(weight)]
            products.append(multiplier.o)
        product = ((products[1] << LOW_BITS) + products[0])[: PACKED_BITS + 8].as_signed()
        return product, products[1][:FOLD_BITS]

    def _residue(self, m, activation, word):
        """`(a * w1) mod 32`, `Multiplier.LATENCY` cycles later, as sums of ANDed rows: a `*` would take another multiplier."""
        # w1 mod 32, undone of the borrow that packing took from it where w0 is negative.
        second = (word[LOW_BITS : LOW_BITS + FOLD_BITS] + word[LOW_BITS - 1])[:FOLD_BITS]
        a = delay(m, activation[:FOLD_BITS], 1, name="residue_a")
        w = delay(m, second, 1, name="residue_w")
        rows = [Mux(w[bit], a[: FOLD_BITS - bit], 0) for bit in range(FOLD_BITS)]
        low = delay(m, (rows[0] + (rows[1] << 1))[:FOLD_BITS], 1, name="residue_low")
        high = delay(m, (rows[2] + (rows[3] << 1) + (rows[4] << 2))[: FOLD_BITS - 2], 1, name="residue_high")
        assert Multiplier.LATENCY == 3
        return delay(m, (low + (high << 2))[:FOLD_BITS], 1, name="residue")


def unpacked_sums(sums, bits: int, whole=None) -> tuple:
    """(S0, S1): expressions for the sums of the first and of the second channel, each `bits` wide. Where `whole` is 1, the
    packed words were numbers of their own, and S0 is the sum of their products."""
    upper = sums.fold if whole is None else Mux(whole, sums.high, sums.fold)
    first = (sums.low + (upper << LOW_BITS))[:bits].as_signed()
    second = (sums.high - sums.fold)[:bits].as_signed()
    return first, second

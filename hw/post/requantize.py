"""TensorFlow Lite's exact rounding, one channel a cycle.

    x    = sum + bias
    high = floor((x * 2**left * multiplier + 2**30) / 2**31)       SaturatingRoundingDoublingHighMul
    y    = (high + 2**(right - 1) - (high < 0)) >> right           RoundingDivideByPOT: halves away from zero
    out  = clip(y + zero_point, low, high)

The reference kernel adds a nudge of 2**30 or 1 - 2**30 by the product's sign and divides toward zero: for both signs that is
the floor above. Its saturation cannot happen: the multiplier is never -2**31.

Both floors are one, with a single shift of `total = 31 - left + right` places. Where right > 0,

    y = (x * multiplier + nudge + 2**(total - 1)) >> total         nudge = 2**30, or -2**30 where x < 0

(the reference looks for the sign of `high`, which differs from x's only where the product lies in -2**30 .. -1; there both ways
give 0), and without the nudge where right = 0. So the product is shifted to one bit below its unit, and that bit rounds it:

    y = (((x * multiplier + nudge) >> (total - 1)) + 1) >> 1

Fully-connected layers round once, halves up (their reference kernel multiplies in double precision, which `round_once`
equals): no nudge. Average pooling divides instead: on the magnitude, without rounding (bias = count // 2, multiplier and
shift the reciprocal of count), and the sign comes back at the end.

Only what int8 can show is kept of a shifted product: what does not fit is far outside of `low` and `high`.

    cycle  1 in   2 bias   3 to 8 multiply   9, 10, 11 shift   12 round, zero point   13, 14, 15 range
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import ACCUMULATOR_BITS
from ..delay import delay
from ..isa import MAX_LEFT_SHIFT, SHIFT_BITS
from ..primitives.carry import CarryMultiplier, add
from ..primitives.multiplier import Multiplier

MULTIPLIER_BITS = 31

MULTIPLIERS = 2
"""Hardware multipliers of a lane that has any."""

_NUDGE = 30  # exponent
_HIGH_BITS = 18  # of x: what a hardware multiplier takes
_LOW_BITS = ACCUMULATOR_BITS - _HIGH_BITS
_SPLIT = 17  # bits of the multiplier's lower part
_PRODUCT_BITS = ACCUMULATOR_BITS + MULTIPLIER_BITS
_PRODUCT_CYCLES = 6
_DROPPED = _NUDGE - MAX_LEFT_SHIFT  # bits of the product that every shift drops
_SHIFT_STAGES = ((32, 16), (8, 4), (2, 1))
_RESULT_BITS = 10  # of a shifted product, which is twice the result: where it does not fit, |y| is 256 or more


class Channel(data.Struct):
    """Parameters of one output channel: `shift` is positive to the left."""

    bias: signed(ACCUMULATOR_BITS)
    multiplier: unsigned(MULTIPLIER_BITS)
    shift: signed(SHIFT_BITS)


class OutputRange(data.Struct):
    """What holds for a whole layer."""

    zero_point: signed(8)
    low: signed(8)
    high: signed(8)
    average: 1
    round_once: 1


class RequantizeLane(wiring.Component):
    """One sum a cycle to int8. `o` follows `i_sum` and `i_channel` by `LATENCY` cycles; `i_range` holds still.

    The sum with its bias must lie within `LARGEST_SUM`, modulo 2**`ACCUMULATOR_BITS`. Shifts are -31 to `MAX_LEFT_SHIFT`.

    With `multipliers` the lane takes `MULTIPLIERS` hardware multipliers of 18 bits, for 18 of x's bits; the others' products,
    or all, are made of carry chains.
    """

    LATENCY = 8 + len(_SHIFT_STAGES) + 4

    def __init__(self, *, multipliers: bool = True, site: str = ""):
        self._multipliers = multipliers
        self._site = site
        super().__init__(
            {
                "i_sum": In(signed(ACCUMULATOR_BITS)),
                "i_channel": In(Channel),
                "i_range": In(OutputRange),
                "o": Out(signed(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        average, once = self.i_range.average, self.i_range.round_once

        channel = delay(m, self.i_channel, 1, name="channel")
        total = delay(m, self.i_sum, 1, name="sum")
        negative = delay(m, average & (self.i_sum < 0), 1, name="negative")
        x = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        m.d.sync += x.eq(
            add(m, platform, channel.bias, total, signed(ACCUMULATOR_BITS), name="biased", y_flip=negative, carry=negative)
        )
        twice = delay(m, ~average & ~once & (channel.shift < 0), 1, name="twice")
        nudge = Cat(twice, twice & (x < 0)).as_signed()  # in units of 2**30
        multiplier = delay(m, channel.multiplier, 1, name="multiplier")
        multiply = self._multiply if self._multipliers else self._multiply_by_carries
        product = multiply(m, platform, x, multiplier, nudge)

        places = delay(m, (MAX_LEFT_SHIFT - channel.shift)[:6], 1 + _PRODUCT_CYCLES, name="places")
        shifted, outside = _shift(m, product[_DROPPED:].as_signed(), places, _RESULT_BITS)
        sign = delay(m, product[-1], len(_SHIFT_STAGES) + 1, name="sign")

        # The half that rounds is a carry out of the bit below the unit.
        negative = delay(m, negative, 1 + _PRODUCT_CYCLES + len(_SHIFT_STAGES), name="negative_r")
        doubled = Signal(signed(_RESULT_BITS + 1))
        half = Cat(shifted[0] & ~average, shifted[1:]).as_signed()
        point = Cat(Const(1, 1), self.i_range.zero_point).as_signed()
        m.d.sync += doubled.eq(add(m, platform, point, half, doubled.shape(), name="pointed", y_flip=negative))
        placed = doubled[1:].as_signed()

        # Comparisons are signs of differences; what is outside may be on the other side.
        difference = signed(_RESULT_BITS + 1)
        under = add(m, platform, placed, self.i_range.low, difference, name="under", y_flip=Const(1, 1), carry=1)
        over = add(m, platform, self.i_range.high, placed, difference, name="over", y_flip=Const(1, 1), carry=1)
        signs = delay(m, Cat(under[-1], over[-1]), 1, name="signs")
        away = delay(m, Cat(outside & sign, outside & ~sign), 1, name="away")
        below, above = delay(m, Mux(away.any(), away, signs), 1, name="range")
        inside = delay(m, placed[:8], 2, name="inside")
        m.d.sync += self.o.eq(Mux(below, self.i_range.low, Mux(above, self.i_range.high, inside)))
        return m

    def _multiply(self, m, platform, x, multiplier, nudge):
        """x * multiplier + nudge * 2**30, `_PRODUCT_CYCLES` later; the bits below `_LOW_BITS` are not right.

        x = upper:lower   multiplier = b1:b0     upper * b0 --+
                                                 upper * b1 --+--> + ---+
                                                 lower * multiplier ----+--> + (two cycles)
        """
        upper = x[_LOW_BITS:].as_signed()
        parts = []
        for index, factor in enumerate((multiplier[:_SPLIT], multiplier[_SPLIT:])):
            part = Multiplier(signed(_HIGH_BITS), signed(_HIGH_BITS), site=f"{self._site}.multiplier_{index}")
            m.submodules[f"upper_{index}"] = part
            m.d.comb += [part.i_x.eq(upper), part.i_y.eq(factor)]
            parts.append(part.o)
        m.submodules.lower = lower = CarryMultiplier(
            unsigned(_LOW_BITS), unsigned(MULTIPLIER_BITS), addend=signed(2), addend_log2=_NUDGE
        )
        m.d.comb += [lower.i_x.eq(x[:_LOW_BITS]), lower.i_y.eq(multiplier), lower.i_addend.eq(nudge)]
        lag = Multiplier.LATENCY + 1 - lower.latency  # until the upper part's products are one

        bits = _PRODUCT_BITS - _LOW_BITS
        above = Signal(signed(bits), reset_less=True)
        high = add(m, platform, parts[0][_SPLIT:].as_signed(), parts[1], signed(bits - _SPLIT), name="high")
        m.d.sync += above.eq(Cat(parts[0][:_SPLIT], high))
        below = delay(m, lower.o[_LOW_BITS:].as_signed(), lag, name="below")
        # A chain of 49 bits would be the slowest one of all.
        half = bits // 2
        first, second = Signal(half + 1, reset_less=True), Signal(signed(bits - half), reset_less=True)
        m.d.sync += first.eq(add(m, platform, above[:half], below[:half], unsigned(half + 1), name="first_half"))
        x, y = (delay(m, side[half:].as_signed(), 1, name=name) for side, name in ((above, "above_r"), (below, "below_r")))
        m.d.sync += second.eq(add(m, platform, x, y, second.shape(), name="second_half", carry=first[half]))
        return Cat(Const(0, _LOW_BITS), delay(m, first[:half], 1, name="first_r"), second)

    def _multiply_by_carries(self, m, platform, x, multiplier, nudge):
        """The same, without a hardware multiplier."""
        m.submodules.product = product = CarryMultiplier(x.shape(), multiplier.shape(), addend=signed(2), addend_log2=_NUDGE)
        m.d.comb += [product.i_x.eq(x), product.i_y.eq(multiplier), product.i_addend.eq(nudge)]
        return delay(m, product.o[:_PRODUCT_BITS], _PRODUCT_CYCLES - product.latency, name="product")


def _shift(m, value, places, bits):
    """(value >> places, whether that does not fit signed `bits`): the former a cycle for each of `_SHIFT_STAGES` later, the
    latter a cycle after that. Where it does not fit, the former's bits are not right."""
    outside = Const(0, 1)
    late = None  # the last stage's sum bits that were cut off, by the place that they were shifted to
    left = sum(sum(stage) for stage in _SHIFT_STAGES)
    for number, (first, second) in enumerate(_SHIFT_STAGES):
        left -= first + second
        kept = min(bits + left, len(value))
        select = Cat(places[_log2(second)], places[_log2(first)])
        cut, choices = [], []
        for distance in (0, second, first, first + second):
            shifted = value >> min(distance, len(value) - 1)
            choices.append(_resized(shifted, kept))
            top = _resized(shifted, len(value))[kept - 1 :]
            cut.append((top.any() & ~top.all()) if len(top) > 1 else Const(0, 1))
        register = Signal(signed(kept), name=f"shifted_{number}", reset_less=True)
        cuts = Signal(len(cut), name=f"cut_{number}", reset_less=True)
        m.d.sync += [
            register.eq(Mux(select[1], Mux(select[0], choices[3], choices[2]), Mux(select[0], choices[1], choices[0]))),
            cuts.eq(Cat(*cut)),
        ]
        if late is not None:
            outside = delay(m, outside | late, 1, name=f"outside_{number}")
        late = cuts.bit_select(delay(m, select, 1, name=f"select_{number}"), 1)
        value = register
        places = delay(m, places, 1, name=f"places_{number}")
    return value, delay(m, outside | late, 1, name="outside")


def _log2(value):
    return value.bit_length() - 1


def _resized(value, bits):
    """A signed number cut off or sign-extended to `bits`."""
    value = Cat(value, *[value[-1]] * (bits - len(value)))
    return value[:bits].as_signed()

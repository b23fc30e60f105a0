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

Only what a result can show is kept of a shifted product: what does not fit is far outside of `low` and `high`.

Few layers have sums of more than 20 bits, so the multiplier takes `NARROW_BITS` of x. A layer that is `wide` takes two passes
for each sum, one cycle after the other, the upper part first:

    x * multiplier = (upper * multiplier) * 2**19 + lower * multiplier

    cycle  1 bias   2 which part   3 to 7 multiply   8 the upper part's product   9, 10, 11 shift   12 round, zero point
           13, 14, 15 range
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import ACCUMULATOR_BITS, BYTE_BITS
from ..delay import delay
from ..isa import MAX_LEFT_SHIFT, SHIFT_BITS
from ..primitives.carry import add
from ..primitives.multiplier import PORT_BITS, Multiplier
from ..primitives.products import CarryMultiplier

MULTIPLIER_BITS = 31

NARROW_BITS = 20
"""Bits of a sum with its bias that takes one pass: its magnitude is below 2**19. Others are wide and take two."""

_LOWER_BITS = NARROW_BITS - 1  # of x in the second pass, without a sign
_NUDGE = 30  # exponent
_REST_BITS = NARROW_BITS - PORT_BITS
_SPLIT = PORT_BITS - 1  # bits of the multiplier's lower half, without a sign
_PART_PRODUCT_BITS = NARROW_BITS + MULTIPLIER_BITS
_PRODUCT_CYCLES = 5
_SUM_CYCLES = 2 + _PRODUCT_CYCLES + 1  # until both parts' products are one
_DROPPED = _NUDGE - MAX_LEFT_SHIFT  # bits of the product that every shift drops
_SHIFT_STAGES = ((32, 16), (8, 4), (2, 1))
_MORE_BITS = 2  # of a shifted product, which is twice the result: where it does not fit, |y| is twice what a result can be


class Channel(data.StructLayout):
    """Parameters of one output channel: `shift` is positive to the left."""

    def __init__(self, bias_bits: int = ACCUMULATOR_BITS):
        super().__init__({"bias": signed(bias_bits), "multiplier": unsigned(MULTIPLIER_BITS), "shift": signed(SHIFT_BITS)})


class OutputRange(data.StructLayout):
    """What holds for a whole layer, whose results are of `bits`."""

    def __init__(self, bits: int = BYTE_BITS):
        number = signed(bits)
        super().__init__(
            {"zero_point": signed(BYTE_BITS), "low": number, "high": number, "average": 1, "round_once": 1, "wide": 1}
        )


class RequantizeLane(wiring.Component):
    """One sum a cycle to a result of `bits`. `o` follows `i_sum` and `i_channel` by `LATENCY` cycles; `i_range` holds still.

    The sum with its bias must be a number of `total_bits`, the bias of `bias_bits`, modulo 2**`total_bits`, and be narrow
    unless `i_range.wide`.
    Where that is set, a sum comes twice, in one cycle with `i_upper` and in the next one without, which gives the result.
    `i_negative` takes a sum's magnitude, and negates the result. Shifts are -31 to `MAX_LEFT_SHIFT`.

    `multipliers`, 0 to 2, are the hardware multipliers of 18 bits that the lane takes; carry chains make the other products,
    with `levels` adders from one register to the next.
    """

    LATENCY = _SUM_CYCLES + len(_SHIFT_STAGES) + 4

    def __init__(
        self,
        *,
        multipliers: int = 2,
        bits: int = BYTE_BITS,
        total_bits: int = ACCUMULATOR_BITS,
        bias_bits: int = ACCUMULATOR_BITS,
        levels: int = 1,
        site: str = "",
    ):
        if multipliers not in (0, 1, 2):
            raise ValueError(f"multipliers must be 0, 1 or 2, not {multipliers!r}")
        self._multipliers = multipliers
        self._bits, self._total_bits = bits, total_bits
        self._levels = levels
        self._site = site
        super().__init__(
            {
                "i_sum": In(signed(total_bits)),
                "i_negative": In(1),
                "i_upper": In(1),
                "i_channel": In(Channel(bias_bits)),
                "i_range": In(OutputRange(bits)),
                "o": Out(signed(bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        average, once, wide = self.i_range.average, self.i_range.round_once, self.i_range.wide

        channel, negative = self.i_channel, self.i_negative
        x = Signal(signed(self._total_bits), reset_less=True)
        m.d.sync += x.eq(add(m, platform, channel.bias, self.i_sum, x.shape(), name="biased", y_flip=negative, carry=negative))
        twice = delay(m, ~average & ~once & (channel.shift < 0) & ~self.i_upper, 1, name="twice")
        nudge = delay(m, Cat(twice, twice & (x < 0)).as_signed(), 1, name="nudge")  # in units of 2**30
        multiplier = delay(m, channel.multiplier, 2, name="multiplier")
        upper = delay(m, self.i_upper, 1, name="upper")
        part = Signal(signed(NARROW_BITS), reset_less=True)
        m.d.sync += part.eq(Mux(upper, x >> _LOWER_BITS, Cat(x[:_LOWER_BITS], x[_LOWER_BITS] & ~wide).as_signed()))
        multiply = self._multiply if self._multipliers else self._multiply_by_carries
        product = multiply(m, platform, part, multiplier, nudge)
        # In the cycle of the lower part's product this is the upper part's.
        before = delay(m, product, 1, name="before")
        bits = self._total_bits + MULTIPLIER_BITS - _LOWER_BITS
        total = Signal(signed(bits), reset_less=True)
        m.d.sync += total.eq(
            add(
                m,
                platform,
                product[_LOWER_BITS:].as_signed(),
                before[:bits].as_signed(),
                total.shape(),
                name="whole",
                y_gate=wide,
            )
        )

        places = delay(m, (MAX_LEFT_SHIFT - channel.shift)[:6], _SUM_CYCLES, name="places")
        result_bits = self._bits + _MORE_BITS
        shifted, outside = _shift(m, total[_DROPPED - _LOWER_BITS :].as_signed(), places, result_bits)
        sign = delay(m, total[-1], len(_SHIFT_STAGES) + 1, name="sign")

        # The half that rounds is a carry out of the bit below the unit.
        negative = delay(m, negative, _SUM_CYCLES + len(_SHIFT_STAGES), name="negative")
        doubled = Signal(signed(result_bits + 1), reset_less=True)
        half = Cat(shifted[0] & ~average, shifted[1:]).as_signed()
        point = Cat(Const(1, 1), self.i_range.zero_point).as_signed()
        m.d.sync += doubled.eq(add(m, platform, point, half, doubled.shape(), name="pointed", y_flip=negative))
        placed = doubled[1:].as_signed()

        # Comparisons are signs of differences; what is outside may be on the other side.
        difference = signed(result_bits + 1)
        under = add(m, platform, placed, self.i_range.low, difference, name="under", y_flip=Const(1, 1), carry=1)
        over = add(m, platform, self.i_range.high, placed, difference, name="over", y_flip=Const(1, 1), carry=1)
        signs = delay(m, Cat(under[-1], over[-1]), 1, name="signs")
        away = delay(m, Cat(outside & sign, outside & ~sign), 1, name="away")
        below, above = delay(m, Mux(away.any(), away, signs), 1, name="range")
        inside = delay(m, placed[: self._bits], 2, name="inside")
        result = Signal(signed(self._bits), reset_less=True)
        m.d.sync += result.eq(Mux(below, self.i_range.low, Mux(above, self.i_range.high, inside)))
        m.d.comb += self.o.eq(result)
        return m

    def _multiply(self, m, platform, part, multiplier, nudge):
        """part * multiplier + nudge * 2**30, `_PRODUCT_CYCLES` later.

        part = most:rest   multiplier = b1:b0     most * b0 --+
                                                  rest * b0 --+--> low --+
                                                  part * b1 + nudge -----+--> product
        """
        b0, b1 = multiplier[:_SPLIT], multiplier[_SPLIT:]
        assert (Multiplier.LATENCY, _PRODUCT_CYCLES) == (3, 5)
        most_b0 = self._most_times(m, part, b0, 0)
        rest_b0 = self._rest_times(m, part, b0, 0)
        low = Signal(signed(PORT_BITS + _SPLIT + _REST_BITS), reset_less=True)
        later = delay(m, rest_b0, 2, name="rest_late")
        sum_low = add(m, platform, most_b0, later[_REST_BITS:], signed(len(low) - _REST_BITS), name="low")
        m.d.sync += low.eq(Cat(later[:_REST_BITS], sum_low))
        upper = self._upper(m, platform, part, b1, nudge)
        high = Signal(signed(_PART_PRODUCT_BITS - _SPLIT), reset_less=True)
        m.d.sync += high.eq(add(m, platform, low[_SPLIT:].as_signed(), upper, high.shape(), name="high"))
        return Cat(delay(m, low[:_SPLIT], 1, name="low"), high).as_signed()

    def _most_times(self, m, part, factor, index):
        """The upper bits of `part` times a factor, by a hardware multiplier."""
        unit = Multiplier(signed(PORT_BITS), signed(PORT_BITS), site=f"{self._site}.multiplier_{index}")
        m.submodules[f"most_{index}"] = unit
        m.d.comb += [unit.i_x.eq(part[_REST_BITS:]), unit.i_y.eq(factor)]
        return unit.o

    def _rest_times(self, m, part, factor, index):
        """The `_REST_BITS` lower bits of `part`, which that multiplier leaves, times a factor: a cycle."""
        m.submodules[f"rest_{index}"] = rest = CarryMultiplier(unsigned(_REST_BITS), factor.shape())
        assert rest.latency == 1
        m.d.comb += [rest.i_x.eq(part[:_REST_BITS]), rest.i_y.eq(factor)]
        return rest.o

    def _upper(self, m, platform, part, factor, nudge):
        """part * factor + nudge * 2**(30 - _SPLIT), four cycles later."""
        place = _NUDGE - _SPLIT
        if self._multipliers == 2:
            rest = self._rest_times(m, part, factor, 1)
            nudge = delay(m, nudge, 1, name="nudge")
            nudged = Signal(signed(len(factor) + _REST_BITS + 1), reset_less=True)
            m.d.sync += nudged.eq(Cat(rest[:place], (rest[place:] + nudge)[: len(nudged) - place]))
            nudged = delay(m, nudged, 1, name="nudged")
            upper = Signal(signed(PORT_BITS + len(factor) + _REST_BITS), reset_less=True)
            most = self._most_times(m, part, factor, 1)
            total = add(m, platform, most, nudged[_REST_BITS:].as_signed(), signed(len(upper) - _REST_BITS), name="upper")
            m.d.sync += upper.eq(Cat(nudged[:_REST_BITS], total))
            return upper
        m.submodules.upper = product = CarryMultiplier(
            part.shape(), factor.shape(), addend=signed(2), addend_log2=place, levels=self._levels
        )
        m.d.comb += [product.i_x.eq(part), product.i_y.eq(factor), product.i_addend.eq(nudge)]
        return delay(m, product.o, Multiplier.LATENCY + 1 - product.latency, name="upper")

    def _multiply_by_carries(self, m, platform, part, multiplier, nudge):
        """The same, without a hardware multiplier."""
        m.submodules.product = product = CarryMultiplier(
            part.shape(), multiplier.shape(), addend=signed(2), addend_log2=_NUDGE, levels=self._levels
        )
        m.d.comb += [product.i_x.eq(part), product.i_y.eq(multiplier), product.i_addend.eq(nudge)]
        late = delay(m, product.o, _PRODUCT_CYCLES - product.latency, name="product")
        return late[:_PART_PRODUCT_BITS].as_signed()


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

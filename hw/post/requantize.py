"""TensorFlow Lite's exact rounding, one channel a cycle.

    x    = sum + bias
    high = floor((x * 2**left * multiplier + 2**30) / 2**31)       SaturatingRoundingDoublingHighMul
    y    = (high + 2**(right - 1) - (high < 0)) >> right           RoundingDivideByPOT: halves away from zero
    out  = clip(y + zero_point, low, high)

The reference kernel adds a nudge of 2**30 or 1 - 2**30 by the product's sign and divides toward zero: for both signs that is
the floor above. Its saturation cannot happen: the multiplier is never -2**31.

Fully-connected layers round once, halves up (their reference kernel multiplies in double precision, which `round_once`
equals): the nudge moves behind the high half, where it costs nothing:

    floor((x * multiplier + 2**(30 + right)) / 2**(31 + right)) = (floor(x * multiplier / 2**31) + 2**(right - 1)) >> right

Average pooling divides instead: on the magnitude, without rounding (bias = count // 2, multiplier and shift the
reciprocal of count), and the sign comes back at the end.

    cycle  1 magnitude   2 bias   3 shift left   4 four 16x16 products   5, 6 add   7 rounding   8 shift right   9, 10 range
"""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..delay import delay
from ..isa import SHIFT_BITS

_HALF = 16


class Channel(data.Struct):
    """Parameters of one output channel: `shift` is positive to the left."""

    bias: signed(32)
    multiplier: unsigned(31)
    shift: signed(SHIFT_BITS)


class OutputRange(data.Struct):
    """What holds for a whole layer."""

    zero_point: signed(8)
    low: signed(8)
    high: signed(8)
    average: 1
    round_once: 1


class RequantizeLane(wiring.Component):
    """One sum a cycle to int8. `o` follows `i_sum` and `i_channel` by `LATENCY` cycles; `i_range` holds still."""

    LATENCY = 10

    def __init__(self):
        super().__init__(
            {
                "i_sum": In(signed(32)),
                "i_channel": In(Channel),
                "i_range": In(OutputRange),
                "o": Out(signed(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        average, once = self.i_range.average, self.i_range.round_once

        negative = Signal()
        magnitude = Signal(signed(32))
        m.d.sync += [
            negative.eq(average & (self.i_sum < 0)),
            magnitude.eq(Mux(average & (self.i_sum < 0), -self.i_sum, self.i_sum)),
        ]
        biased = Signal(signed(32))
        m.d.sync += biased.eq(magnitude + delay(m, self.i_channel.bias, 1, name="bias"))

        shift = delay(m, self.i_channel.shift, 2, name="shift")
        shifted = Signal(signed(32))
        left = Mux(shift > 0, shift[:3], 0)
        right = Signal(5)
        m.d.sync += [shifted.eq(biased << left), right.eq(Mux(shift < 0, -shift, 0))]

        multiplier = delay(m, self.i_channel.multiplier, 3, name="multiplier")
        x = shifted[:_HALF], shifted[_HALF:].as_signed()
        y = multiplier[:_HALF], multiplier[_HALF:]
        low, high = Signal(unsigned(32)), Signal(signed(32))
        cross = [Signal(signed(33), name=f"cross_{i}") for i in range(2)]
        m.d.sync += [low.eq(x[0] * y[0]), cross[0].eq(x[0] * y[1]), cross[1].eq(x[1] * y[0]), high.eq(x[1] * y[1])]

        # The lowest 16 bits of the product cannot change a floor at bit 31.
        right = delay(m, right, 1, name="right")
        nudge = Mux(average | (once & (right != 0)), 0, 1 << (30 - _HALF))
        middle = Signal(signed(36))
        upper = Signal(signed(32))
        m.d.sync += [middle.eq(cross[0] + cross[1] + low[_HALF:] + nudge), upper.eq(high)]
        doubled = Signal(signed(32))
        m.d.sync += doubled.eq(((upper << _HALF) + middle) >> (31 - _HALF))

        right = delay(m, right, 2, name="right_r")
        half = Signal(unsigned(31))
        rounded = Signal(signed(33))
        m.d.comb += half.eq((1 << right) >> 1)
        away = ~average & ~once & (right != 0) & (doubled < 0)
        m.d.sync += rounded.eq(doubled + Mux(average, 0, half) - away)
        divided = Signal(signed(33))
        m.d.sync += divided.eq(rounded >> delay(m, right, 1, name="right_e"))

        placed = Signal(signed(34))
        negative = delay(m, negative, 7, name="negative")
        m.d.sync += placed.eq(Mux(negative, -divided, divided) + self.i_range.zero_point)
        m.d.sync += self.o.eq(
            Mux(placed < self.i_range.low, self.i_range.low, Mux(placed > self.i_range.high, self.i_range.high, placed))
        )
        return m

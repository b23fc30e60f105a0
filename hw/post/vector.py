"""The vector unit: what needs no weights, `cols` channels a cycle.

MAX keeps the running maximum over the steps of a result, and gives it with 128 on top, an unsigned number.

ADD takes two steps a result. TensorFlow Lite's reference kernel brings both operands to twice the larger of their scales, so
the one that has it is halved: its scaled value is (x - zero_point) * 2**19, exactly. It comes first, waits where the maximum
does, and its zero point is left to the requantizer's bias. The second one is scaled as the kernel does it:

    scaled = RoundingDivideByPOT(floor(((x - zero_point) * 2**20 * multiplier + 2**30) / 2**31), shift)
           = RoundingDivideByPOT(((x - zero_point) * multiplier + 2**10) >> 11, shift)
           = (((x - zero_point) * multiplier + nudge) >> (10 + shift) + 1) >> 1

with the nudge of `requantize`, which explains the last step: 0 where the shift is 0, else 2**10 or, below the zero point,
-2**10. That is one product in two cycles, so two channels share what scales:

    i_values[0] --+-----> maximum, or first operand --> wait --+
                  +--+                                         |
                     +--> zero point --> multiply --> shift ---+--> sum --+--> register --> o[0]
                  +--+                                         |          |
    i_values[1] --+-----> maximum, or first operand --> wait --+          +---------------> o[1]

    cycle  1, 2 in   3 maximum, zero point   4 to 7 multiply   8, 9 shift   10 sum   11 register; the second channel's product
           is a cycle later, and its sum in 11
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import ACCUMULATOR_BITS, FabricConfig
from ..delay import delay
from ..engine import Results, Step
from ..isa import ADD_SHIFT_BITS, FIRST_LOG2
from ..primitives.carry import add
from ..primitives.copies import copies
from ..primitives.products import CarryMultiplier

_NUDGE = 10  # exponent: half of what the multiplication drops, which is 2**31 / 2**20
_PRODUCT_CYCLES = 4
_SHIFT_CYCLES = 2
_BITS_A_SHIFT = ADD_SHIFT_BITS // _SHIFT_CYCLES  # of the amount, in each of these
_GROUP = 2  # channels that share a copy of what steers them


class Operand(data.Struct):
    """How ADD scales its second operand; `shift` is to the right."""

    multiplier: unsigned(31)
    zero_point: signed(8)
    shift: unsigned(ADD_SHIFT_BITS)


class _Way(data.Struct):
    """What a step means to a pair of channels; `add` and `operand`, 0 without it, hold still."""

    add: 1
    begin: 1
    valid: 1
    second: 1  # of ADD's operands
    operand: Operand


class VectorPair(wiring.Component):
    """Two channels: `i_values` come with `way`; both `o` are right `LATENCY` cycles after a result's last step.

    Where there is `either`, it holds still, and gives the OR of a result's values instead of their maximum. `levels` adders of
    a product come from one register to the next.
    """

    LATENCY = 1 + _PRODUCT_CYCLES + _SHIFT_CYCLES + 2

    def __init__(self, *, has_either: bool = False, levels: int = 1):
        members = {
            "way": In(_Way),
            "i_values": In(data.ArrayLayout(signed(8), 2)),
            "o": Out(data.ArrayLayout(signed(ACCUMULATOR_BITS), 2)),
        }
        if has_either:
            members["either"] = In(1)
        self._has_either, self._levels = has_either, levels
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        way, values = self.way, self.i_values
        # After a second operand's step comes a first one's or none, so the other channel's may follow.
        second = way.second
        scaled, half = self._scale(m, platform, Mux(second, values[0], delay(m, values[1], 1, name="other")))

        # First operands hold still for two cycles or more, in which both sums are made.
        firsts = []
        for channel, value in enumerate(values):
            kept = Signal(signed(8), name=f"kept_{channel}", reset_less=True)
            # Signed numbers compare as unsigned ones with each other's signs, which so are read once.
            less, more = Cat(kept[:-1], value[-1]), Cat(value[:-1], kept[-1])
            growth = add(m, platform, less, more, unsigned(9), name=f"growth_{channel}", y_flip=Const(1, 1), carry=1)
            with m.If(way.valid & (way.begin | (growth[-1] & ~way.add))):
                m.d.sync += kept.eq(value)
            if self._has_either:
                with m.If(self.either & way.valid):
                    m.d.sync += kept.eq(Mux(way.begin, value, kept | value))
            firsts.append(delay(m, kept, self.LATENCY - 3, name=f"kept_{channel}"))
        ready = delay(m, second, self.LATENCY - 3, name="ready")
        total = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        # Without ADD nothing else is in the sum, as what is scaled is 0 then, and 0 is what both maxima have above them. All of
        # it is chosen a cycle before: the sum is long, and `add` comes from afar.
        maxima = [Cat(first[:-1], ~first[-1]) for first in firsts]
        maximum = delay(m, maxima[0], 1, name="maximum")
        lower = delay(m, Mux(way.add, 0, maxima[1]), 1, name="lower")
        upper = delay(m, Mux(way.add, Mux(ready, *firsts).as_unsigned(), 0), 1, name="upper")
        place = Signal(signed(FIRST_LOG2 + 8))
        m.d.comb += place.eq(Cat(lower, Const(0, FIRST_LOG2 - 8), upper))
        m.d.sync += total.eq(add(m, platform, place, scaled, total.shape(), name="sum", carry=half))
        earlier = Signal.like(total, reset_less=True)
        m.d.sync += earlier.eq(Cat(Mux(way.add, total[:8], maximum), total[8:]))
        m.d.comb += [self.o[0].eq(earlier), self.o[1].eq(total)]
        return m

    def _scale(self, m, platform, x):
        """x scaled, less the half that rounds it, and that half."""
        operand = self.way.operand
        centred = Signal(signed(9), reset_less=True)
        difference = add(m, platform, x, operand.zero_point, centred.shape(), name="centre", y_flip=Const(1, 1), carry=1)
        twice = delay(m, operand.shift != 0, 1, name="twice")  # holds still
        m.d.sync += centred.eq(difference)

        m.submodules.product = product = CarryMultiplier(
            centred.shape(), operand.multiplier.shape(), addend=signed(2), addend_log2=_NUDGE, levels=self._levels
        )
        late = delay(m, product.o, _PRODUCT_CYCLES - product.latency, name="product")
        m.d.comb += [
            product.i_x.eq(centred),
            product.i_y.eq(operand.multiplier),
            product.i_addend.eq(Cat(twice, twice & centred[-1])),
        ]
        doubled = late[_NUDGE:].as_signed()
        for place, bit in reversed(list(enumerate(operand.shift))):
            doubled = Mux(bit, doubled >> (1 << place), doubled)
            if place % _BITS_A_SHIFT == 0:
                doubled = delay(m, doubled, 1, name=f"doubled_{place}")
        return doubled[1:].as_signed(), doubled[0]


class VectorUnit(wiring.Component):
    """Element-wise sum (`add` high, see `FIRST_LOG2`), or maximum over the steps of a result with `MAX_OFFSET` (`add` low);
    beside an XNOR engine also the OR, bit by bit, with `either`.

    Members: i_step with i_activations; `right` scales the second operand of ADD and holds still, with `add`, from three
    cycles before the first step on; `o` follows the last step of a result by `LATENCY` cycles. Sums are modulo
    2**`ACCUMULATOR_BITS`.
    """

    LATENCY = 2 + VectorPair.LATENCY

    def __init__(self, config: FabricConfig):
        self._config = config
        members = {
            "add": In(1),
            "right": In(Operand),
            "i_step": In(Step),
            "i_activations": In(data.ArrayLayout(signed(8), config.rows)),
            "o": Out(Results(config)),
        }
        if config.xnor_pixels:
            members["either"] = In(1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        step = delay(m, self.i_step, 1, name="first_step")
        way = Signal(_Way)
        m.d.comb += [
            way.add.eq(delay(m, self.add, 2, name="add")),
            way.operand.eq(delay(m, Mux(self.add, self.right.as_value(), 0), 2, name="right")),
            way.begin.eq(step.first),
            way.valid.eq(step.valid),
        ]
        m.d.sync += way.second.eq(self.add & self.i_step.valid & ~self.i_step.first)
        ways = copies(m, platform, way, -(-self._config.cols // _GROUP), name="way")
        values = delay(m, self.i_activations, 2, name="value")
        for first in range(0, self._config.cols, 2):
            m.submodules[f"pair_{first}"] = pair = VectorPair(
                has_either=self._config.xnor_pixels > 0, levels=self._config.adder_levels
            )
            if self._config.xnor_pixels:
                m.d.comb += pair.either.eq(self.either)
            m.d.comb += pair.way.eq(ways[first // _GROUP])
            for channel in range(2):
                m.d.comb += [
                    pair.i_values[channel].eq(values[first + channel]),
                    self.o.sums[first + channel].eq(pair.o[channel]),
                ]
        done = delay(m, self.i_step, self.LATENCY, name="step")
        m.d.comb += [self.o.valid.eq(done.valid & done.last), self.o.marks.eq(done.marks)]
        return m

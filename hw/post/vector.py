"""The vector unit: what needs no weights, `cols` channels a cycle.

MAX keeps the running maximum over the steps of a result. ADD takes two steps a result, left operand then right, and scales
each as TensorFlow Lite's reference kernel does before the sum goes to the requantizer:

    scaled = RoundingDivideByPOT(floor(((x - zero_point) * 2**20 * multiplier + 2**30) / 2**31), shift)
           = RoundingDivideByPOT(((x - zero_point) * multiplier + 2**10) >> 11, shift)
           = (((x - zero_point) * multiplier + nudge) >> (10 + shift) + 1) >> 1

with the nudge of `requantize`, which explains the last step: 0 where the shift is 0, else 2**10 or, below the zero point,
-2**10. The maximum goes the same way, times 2**11 and without a zero point.

    cycle  1 in   2 zero point, maximum   3 which of them   4 to 7 multiply   8, 9, 10 shift   11 sum
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import ACCUMULATOR_BITS, FabricConfig
from ..delay import delay
from ..engine import Results, Step
from ..primitives.carry import CarryMultiplier, add
from ..primitives.copies import copies

ADD_LEFT_SHIFT = 20
"""Bits by which ADD widens its operands before scaling."""

_UNIT = 31 - ADD_LEFT_SHIFT  # exponent of the multiplier that scales by 1
_PRODUCT_CYCLES = 4
_SHIFT_STAGES = ((16, 8), (4, 2), (1,))
_SCALED_BITS = 9 + 31 - _UNIT
_GROUP = 4  # lanes that share a copy of their operand


class Operand(data.Struct):
    """How ADD scales one of its operands; `shift` is to the right."""

    multiplier: unsigned(31)
    zero_point: signed(8)
    shift: unsigned(5)


class _Way(data.Struct):
    """How a lane scales a step's value."""

    add: 1
    begin: 1
    valid: 1
    operand: Operand


class VectorLane(wiring.Component):
    """One channel of the vector unit: i_value comes with `way`; `o` is right `LATENCY` cycles after a result's last step."""

    LATENCY = 2 + _PRODUCT_CYCLES + len(_SHIFT_STAGES) + 1

    def __init__(self):
        super().__init__({"way": In(_Way), "i_value": In(signed(8)), "o": Out(signed(ACCUMULATOR_BITS))})

    def elaborate(self, platform):
        m = Module()
        way, value = self.way, self.i_value
        centred = Signal(signed(9), reset_less=True)
        largest = Signal(signed(8), reset_less=True)
        less = Const(1, 1)
        m.d.sync += centred.eq(add(m, platform, value, way.operand.zero_point, signed(9), name="centre", y_flip=less, carry=1))
        growth = add(m, platform, largest, value, signed(9), name="growth", y_flip=less, carry=1)
        with m.If(way.valid & (way.begin | growth[-1])):
            m.d.sync += largest.eq(value)
        way = delay(m, way, 1, name="way")
        x = Signal(signed(9), reset_less=True)
        nudge = Signal(signed(2), reset_less=True)
        twice = way.add & (way.operand.shift != 0)
        m.d.sync += [x.eq(Mux(way.add, centred, largest)), nudge.eq(Cat(twice, twice & (centred < 0)))]

        way = delay(m, way, 1, name="way_x")
        m.submodules.product = product = CarryMultiplier(signed(9), unsigned(31), addend=signed(2), addend_log2=_UNIT - 1)
        assert product.latency == _PRODUCT_CYCLES
        m.d.comb += [
            product.i_x.eq(x),
            product.i_y.eq(way.operand.multiplier),
            product.i_addend.eq(nudge),
        ]
        doubled = product.o[_UNIT - 1 :].as_signed()
        places = delay(m, way.operand.shift, _PRODUCT_CYCLES, name="places")
        for number, stage in enumerate(_SHIFT_STAGES):
            shifted = doubled
            for distance in stage:
                shifted = Mux(places[distance.bit_length() - 1], shifted >> distance, shifted)
            doubled = delay(m, shifted[: len(doubled)].as_signed(), 1, name=f"shifted_{number}")
            places = delay(m, places, 1, name=f"places_{number}")

        flags = Cat(way.valid, way.add & ~way.begin)
        valid, more = delay(m, flags, _PRODUCT_CYCLES + len(_SHIFT_STAGES), name="flags")
        total = Signal(signed(ACCUMULATOR_BITS), reset_less=True)
        scaled = doubled[1:].as_signed()
        with m.If(valid):
            m.d.sync += total.eq(add(m, platform, scaled, total, total.shape(), name="sum", y_gate=more, carry=doubled[0]))
        m.d.comb += self.o.eq(total)
        return m


class VectorUnit(wiring.Component):
    """Element-wise sum (`add` high) or maximum over the steps of a result (`add` low).

    Members: i_step with i_activations; `left` and `right` scale the operands of ADD and hold still, with `add`, from two
    cycles before the first step on; `o` follows the last step of a result by `LATENCY` cycles. Sums are modulo
    2**`ACCUMULATOR_BITS`.
    """

    LATENCY = 1 + VectorLane.LATENCY

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "add": In(1),
                "left": In(Operand),
                "right": In(Operand),
                "i_step": In(Step),
                "i_activations": In(data.ArrayLayout(signed(8), config.rows)),
                "o": Out(Results(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # What a maximum is scaled by: 1.
        unit = Signal(Operand)
        m.d.comb += unit.multiplier.eq(1 << _UNIT)
        is_add = delay(m, self.add, 1, name="add")
        left, right = (
            delay(m, Mux(self.add, operand.as_value(), unit.as_value()), 1, name=name)
            for operand, name in ((self.left, "left"), (self.right, "right"))
        )
        way = Signal(_Way)
        m.d.comb += [
            way.add.eq(is_add),
            way.begin.eq(self.i_step.first),
            way.valid.eq(self.i_step.valid),
            way.operand.eq(Mux(self.i_step.first, left, right)),
        ]
        ways = copies(m, platform, way, -(-self._config.cols // _GROUP), name="way")
        values = delay(m, self.i_activations, 1, name="value")
        for channel in range(self._config.cols):
            m.submodules[f"lane_{channel}"] = lane = VectorLane()
            m.d.comb += [
                lane.way.eq(ways[channel // _GROUP]),
                lane.i_value.eq(values[channel]),
                self.o.sums[channel].eq(lane.o),
            ]
        done = delay(m, self.i_step, self.LATENCY, name="step")
        m.d.comb += [self.o.valid.eq(done.valid & done.last), self.o.marks.eq(done.marks)]
        return m

"""The vector unit: what needs no weights, `cols` channels a cycle.

MAX keeps the running maximum over the steps of a result. ADD takes two steps a result, left operand then right, and scales
each as TensorFlow Lite's reference kernel does before the sum goes to the requantizer:

    scaled = RoundingDivideByPOT(floor(((x - zero_point) * 2**20 * multiplier + 2**30) / 2**31), shift)
           = RoundingDivideByPOT(((x - zero_point) * multiplier + 2**10) >> 11, shift)
"""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import FabricConfig
from ..delay import delay
from ..engine import Results, Step

ADD_LEFT_SHIFT = 20
"""Bits by which ADD widens its operands before scaling."""


class Operand(data.Struct):
    """How ADD scales one of its operands; `shift` is to the right."""

    multiplier: unsigned(31)
    zero_point: signed(8)
    shift: unsigned(5)


class VectorLane(wiring.Component):
    """One channel of the vector unit: i_value with `operand` and `first` in one cycle; `o_total` (ADD) and `o_largest` (MAX)
    are right `LATENCY` cycles after the last step; `valid` and `begin` are the step's `valid` and `first`, `LATENCY - 1`
    cycles late."""

    LATENCY = 6

    def __init__(self):
        super().__init__(
            {
                "operand": In(Operand),
                "i_value": In(signed(8)),
                "valid": In(1),
                "begin": In(1),
                "o_total": Out(signed(32)),
                "o_largest": Out(signed(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        multiplier = delay(m, self.operand.multiplier, 1, name="multiplier")
        shift = delay(m, self.operand.shift, 3, name="shift")

        centred = Signal(signed(9))
        product = Signal(signed(40))
        high = Signal(signed(29))
        rounded, scaled = Signal(signed(32)), Signal(signed(30))
        half = (1 << shift) >> 1
        m.d.sync += [
            centred.eq(self.i_value - self.operand.zero_point),
            product.eq(centred * multiplier),
            high.eq((product + (1 << (30 - ADD_LEFT_SHIFT))) >> (31 - ADD_LEFT_SHIFT)),
            rounded.eq(high + half - ((shift != 0) & (high < 0))),
            scaled.eq(rounded >> delay(m, shift, 1, name="shift_late")),
        ]
        late = delay(m, self.i_value, self.LATENCY - 1, name="late")
        with m.If(self.valid):
            m.d.sync += [
                self.o_total.eq(Mux(self.begin, 0, self.o_total) + scaled),
                self.o_largest.eq(Mux(self.begin | (late > self.o_largest), late, self.o_largest)),
            ]
        return m


class VectorUnit(wiring.Component):
    """Element-wise sum (`add` high) or maximum over the steps of a result (`add` low).

    Members: i_step with i_activations; `left` and `right` scale the operands of ADD and hold still; `o` follows the last
    step of a result by `LATENCY` cycles.
    """

    LATENCY = VectorLane.LATENCY

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
        step = delay(m, self.i_step, self.LATENCY - 1, name="step")
        done = delay(m, step, 1, name="done")
        operand = Signal(Operand)
        m.d.comb += operand.eq(Mux(self.i_step.first, self.left, self.right))
        for channel in range(self._config.cols):
            m.submodules[f"lane_{channel}"] = lane = VectorLane()
            m.d.comb += [
                lane.operand.eq(operand),
                lane.i_value.eq(self.i_activations[channel]),
                lane.valid.eq(step.valid),
                lane.begin.eq(step.first),
                self.o.sums[channel].eq(Mux(self.add, lane.o_total, lane.o_largest)),
            ]
        m.d.comb += [self.o.valid.eq(done.valid & done.last), self.o.marks.eq(done.marks)]
        return m

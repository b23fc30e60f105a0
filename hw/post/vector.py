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


class VectorUnit(wiring.Component):
    """Element-wise sum (`add` high) or maximum over the steps of a result (`add` low).

    Members: i_step with i_activations; `left` and `right` scale the operands of ADD and hold still; `o` follows the last
    step of a result by `LATENCY` cycles.
    """

    LATENCY = 6

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
        multiplier = delay(m, operand.multiplier, 1, name="multiplier")
        shift = delay(m, operand.shift, 3, name="shift")
        shift_late = delay(m, shift, 1, name="shift_late")

        for channel in range(self._config.cols):
            value = self.i_activations[channel]

            centred = Signal(signed(9), name=f"centred_{channel}")
            product = Signal(signed(40), name=f"product_{channel}")
            high = Signal(signed(29), name=f"high_{channel}")
            rounded = Signal(signed(30), name=f"rounded_{channel}")
            scaled = Signal(signed(30), name=f"scaled_{channel}")
            total = Signal(signed(32), name=f"total_{channel}")
            half = ((1 << shift) >> 1)[:30]
            m.d.sync += [
                centred.eq(value - operand.zero_point),
                product.eq(centred * multiplier),
                high.eq((product + (1 << (30 - ADD_LEFT_SHIFT))) >> (31 - ADD_LEFT_SHIFT)),
                rounded.eq(high + half - ((shift != 0) & (high < 0))),
                scaled.eq(rounded >> shift_late),
            ]
            with m.If(step.valid):
                m.d.sync += total.eq(Mux(step.first, 0, total) + scaled)

            largest = Signal(signed(8), name=f"largest_{channel}")
            late = delay(m, value, 5, name=f"late_{channel}")
            with m.If(step.valid):
                m.d.sync += largest.eq(Mux(step.first | (late > largest), late, largest))
            m.d.comb += self.o.sums[channel].eq(Mux(self.add, total, largest))
        m.d.comb += [
            self.o.valid.eq(done.valid & done.last),
            self.o.marks.eq(done.marks),
        ]
        return m

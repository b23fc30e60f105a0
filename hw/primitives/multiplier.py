"""A multiplier with its own registers: MULT18X18D on the ECP5.

    i_x, i_y --> input register --> multiply --> pipeline register --> output register --> o

nextpnr times no path inside the primitive, so all three registers are used; registers outside would not count.
"""

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..delay import delay
from . import is_ecp5, placed_at

PORT_BITS = 18
"""Width of the primitive's operands."""

_PRODUCT_BITS = 2 * PORT_BITS


class Multiplier(wiring.Component):
    """`o = i_x * i_y`, `LATENCY` cycles later, a product a cycle.

    Parameters: shapes `x` and `y`, of up to 18 bits each; `site`, the name under which a floorplan may place it.
    """

    LATENCY = 3

    def __init__(self, x, y, *, site: str = ""):
        x, y = Shape.cast(x), Shape.cast(y)
        if not 0 < x.width <= PORT_BITS or not 0 < y.width <= PORT_BITS:
            raise ValueError(f"a multiplier's operands must have 1 to {PORT_BITS} bits, not {x.width} and {y.width}")
        self._site = site
        super().__init__({"i_x": In(x), "i_y": In(y), "o": Out(Shape(x.width + y.width, x.signed or y.signed))})

    def elaborate(self, platform):
        m = Module()
        if is_ecp5(platform):
            self._ecp5(m, platform)
            return m
        x, y = (delay(m, operand, 1, name=name) for name, operand in (("x", self.i_x), ("y", self.i_y)))
        product = Signal.like(self.o)
        m.d.sync += [product.eq(x * y), self.o.eq(product)]
        return m

    def _ecp5(self, m, platform):
        operands = {"A": self.i_x, "B": self.i_y}
        product = Signal(_PRODUCT_BITS)
        below = 0  # bits of the product that are always 0
        ports = {"i_CLK0": ClockSignal(), "i_CE0": 1, "i_RST0": 0}
        for name, operand in operands.items():
            # At the port's upper end: a sign that is extended would have a reader a bit.
            above = PORT_BITS - len(operand) if operand.shape().signed else 0
            below += above
            wide = Signal(Shape(PORT_BITS, operand.shape().signed), name=name.lower())
            m.d.comb += wide.eq(Cat(Const(0, above), operand))
            ports |= {f"i_{name}{bit}": wide[bit] for bit in range(PORT_BITS)}
            ports |= {f"i_SIGNED{name}": int(operand.shape().signed), f"i_SOURCE{name}": 0}
        ports |= {f"o_P{bit}": product[bit] for bit in range(_PRODUCT_BITS)}
        for register in ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT"):
            ports |= {f"p_REG_{register}_CLK": "CLK0", f"p_REG_{register}_CE": "CE0", f"p_REG_{register}_RST": "RST0"}
        m.submodules.mult18x18d = Instance(
            "MULT18X18D", p_CLK0_DIV="ENABLED", p_GSR="DISABLED", p_RESETMODE="SYNC", **ports, **placed_at(platform, self._site)
        )
        m.d.comb += self.o.eq(product[below:])

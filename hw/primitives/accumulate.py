"""Multiplications on the iCE40 UltraPlus's SB_MAC16: with its accumulator, or alone."""

from amaranth.hdl import ClockSignal, Instance, Module, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from . import is_ultra_plus

_OPERAND_BITS = 16
_BITS = 32
_ACCUMULATOR, _PRODUCT = 1, 3  # what is put out
_FROM_PRODUCT, _LOWER_CARRY = 2, 3


def _extended(m, value, name):
    """A number as the primitive takes it."""
    wide = Signal(Shape(_OPERAND_BITS, value.shape().signed), name=name)
    m.d.comb += wide.eq(value)
    return wide


class Accumulator(wiring.Component):
    """`o` is the sum of the products `i_x * i_y` of signed bytes since the last `clear`, modulo 2**32.

    `add` belongs to the operands; their product is in `o` `LATENCY` cycles later. `clear` makes `o` zero in the next cycle; a
    product that would come into `o` in that cycle is lost. So does a reset, in the cycle after it.
    """

    LATENCY = 2

    def __init__(self):
        super().__init__({"i_x": In(signed(8)), "i_y": In(signed(8)), "add": In(1), "clear": In(1), "o": Out(signed(_BITS))})

    def elaborate(self, platform):
        m = Module()
        adding = Signal()
        m.d.sync += adding.eq(self.add)
        fresh = Signal(init=1)  # no reset reaches the primitive's own register, nor has it a value when it begins
        m.d.sync += fresh.eq(0)
        clear = self.clear | fresh
        if is_ultra_plus(platform):
            hold = ~adding & ~clear
            m.submodules.mac16 = Instance(
                "SB_MAC16",
                p_A_REG=1,
                p_B_REG=1,
                p_A_SIGNED=1,
                p_B_SIGNED=1,
                p_TOPOUTPUT_SELECT=_ACCUMULATOR,
                p_BOTOUTPUT_SELECT=_ACCUMULATOR,
                p_TOPADDSUB_LOWERINPUT=_FROM_PRODUCT,
                p_BOTADDSUB_LOWERINPUT=_FROM_PRODUCT,
                p_TOPADDSUB_CARRYSELECT=_LOWER_CARRY,
                i_CLK=ClockSignal(),
                i_CE=1,
                i_A=_extended(m, self.i_x, "a"),
                i_B=_extended(m, self.i_y, "b"),
                i_C=0,
                i_D=0,
                i_OLOADTOP=clear,
                i_OLOADBOT=clear,
                i_OHOLDTOP=hold,
                i_OHOLDBOT=hold,
                o_O=self.o,
                **_unused(),
            )
            return m
        x, y = Signal(signed(8)), Signal(signed(8))
        m.d.sync += [x.eq(self.i_x), y.eq(self.i_y)]
        with m.If(clear):
            m.d.sync += self.o.eq(0)
        with m.Elif(adding):
            m.d.sync += self.o.eq(self.o + x * y)
        return m


class Product(wiring.Component):
    """`o = i_x * i_y`, `LATENCY` cycles later. Parameters: shapes `x` and `y`, of up to 16 bits each."""

    LATENCY = 1

    def __init__(self, x, y):
        x, y = Shape.cast(x), Shape.cast(y)
        if not 0 < x.width <= _OPERAND_BITS or not 0 < y.width <= _OPERAND_BITS:
            raise ValueError(f"a product's operands must have 1 to {_OPERAND_BITS} bits, not {x.width} and {y.width}")
        super().__init__({"i_x": In(x), "i_y": In(y), "o": Out(Shape(x.width + y.width, x.signed or y.signed))})

    def elaborate(self, platform):
        m = Module()
        if is_ultra_plus(platform):
            product = Signal(_BITS)
            m.submodules.mac16 = Instance(
                "SB_MAC16",
                p_A_REG=1,
                p_B_REG=1,
                p_A_SIGNED=int(self.i_x.shape().signed),
                p_B_SIGNED=int(self.i_y.shape().signed),
                p_TOPOUTPUT_SELECT=_PRODUCT,
                p_BOTOUTPUT_SELECT=_PRODUCT,
                i_CLK=ClockSignal(),
                i_CE=1,
                i_A=_extended(m, self.i_x, "a"),
                i_B=_extended(m, self.i_y, "b"),
                i_C=0,
                i_D=0,
                i_OLOADTOP=0,
                i_OLOADBOT=0,
                i_OHOLDTOP=0,
                i_OHOLDBOT=0,
                o_O=product,
                **_unused(),
            )
            m.d.comb += self.o.eq(product)
            return m
        x, y = Signal.like(self.i_x), Signal.like(self.i_y)
        m.d.sync += [x.eq(self.i_x), y.eq(self.i_y)]
        m.d.comb += self.o.eq(x * y)
        return m


def _unused():
    """The primitive's inputs that neither use needs."""
    names = ("AHOLD", "BHOLD", "CHOLD", "DHOLD", "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT", "ADDSUBTOP", "ADDSUBBOT")
    return {f"i_{name}": 0 for name in (*names, "CI", "ACCUMCI", "SIGNEXTIN")}

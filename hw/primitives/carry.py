"""Adders of carry chains: a LUT4 for every bit of a row, with a gate before each operand for nothing.

An ECP5 carry cell adds what two LUT4 compute, bit by bit: S = LUT4 ^ CIN, COUT = LUT4 ? CIN : LUT2, with LUT2 the LUT4's
function of A and B where C = D = 0. So a chain adds `p(A, B) + q(C, D)` for any p and any q with q(0, 0) = 0 at one LUT4 a bit.

Yosys alone takes LUTs for such gates, and nextpnr spends two carry cells on each of its sums, one to bring a constant carry in,
one to bring an unread carry out. Chains here begin with a half cell that knows its carry.
"""

from collections.abc import Sequence
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Instance, Module, Mux, Shape, Signal, Value

from . import is_ecp5

# Truth tables over two inputs, the first one the lower bit of the index.
ZERO = 0b0000
AND = 0b1000
NAND = 0b0111
FIRST = 0b1010
SECOND = 0b1100
XOR = 0b0110
ONE = 0b1111


class Bit(NamedTuple):
    """What a chain adds at one place: `p(a, b) + q(c, d)`, with `other` instead of q where b is 1. Inputs that are not there
    read as 1.

    One that `begins` a sum is no place: its LUT4 is 0, so that the carry which it gives is p(a, b), whatever comes in, and its
    sum bit is that carry which comes in.
    """

    p: int = ZERO
    a: Value | None = None
    b: Value | None = None
    q: int = ZERO
    c: Value | None = None
    d: Value | None = None
    other: int | None = None
    begins: bool = False

    @property
    def table(self) -> int:
        """The cell's LUT4; where it `begins`, C and D read as 1."""
        if self.begins:
            return self.p
        other = self.q if self.other is None else self.other
        return sum(
            ((self.p >> (place & 3) & 1) ^ ((other if place & 2 else self.q) >> (place >> 2) & 1)) << place
            for place in range(16)
        )


class Gate(NamedTuple):
    """A bit that a half cell makes of two: `a & b`, or `a ^ b` where `differ`; `a` alone without b."""

    a: Value
    b: Value | None = None
    differ: bool = False

    @property
    def value(self) -> Value:
        """The bit."""
        if self.b is None:
            return self.a
        return self.a ^ self.b if self.differ else self.a & self.b

    @property
    def table(self) -> int:
        """As a half cell's function."""
        if self.b is None:
            return FIRST
        return XOR if self.differ else AND


def chain(m, bits: list[Bit], carry, name: str) -> list[Signal]:
    """The sum's bits, modulo 2**len(bits)."""
    begin = _begin(carry)
    below: list[Value] = []
    if not len(bits) % 2 and begin.p == ZERO and (bits[0].p, bits[0].q) == (FIRST, AND) and bits[0].d is None:
        # That would leave a half cell over at the end, so let the first one give the carry of the first place instead.
        one, other = bits[0].a, bits[0].c
        assert one is not None
        assert other is not None
        begin = Bit(p=AND, a=one, b=other, begins=True)
        below.append(one ^ other)
        bits = bits[1:]
    return below + _cells(m, [begin, *bits], name)[1:]


def _begin(carry) -> Bit:
    """What begins a sum, with a carry that is a gate, a bit or constant."""
    if isinstance(carry, Gate):
        return Bit(p=carry.table, a=carry.a, b=carry.b, begins=True)
    if isinstance(carry, Value):
        return Bit(p=FIRST, a=carry, begins=True)
    return Bit(p=ONE if carry else ZERO, begins=True)


def _cells(m, bits: list[Bit], name: str) -> list[Value]:
    """The sum bit of every half cell of a chain, whose first one begins a sum."""
    places = len(bits)
    if places % 2:
        bits = [*bits, Bit()]
    sums: list[Value] = []
    carries: dict[str, Value] = {}
    for index in range(0, len(bits), 2):
        ports: dict[str, object] = dict(carries)
        for side, bit in enumerate(bits[index : index + 2]):
            total = Signal(name=f"{name}_s{index + side}")
            sums.append(total)
            ports |= {f"p_INIT{side}": Const(bit.table, 16), f"p_INJECT1_{side}": "NO"}
            ports |= {f"i_{pin.upper()}{side}": Const(1) if (net := getattr(bit, pin)) is None else net for pin in "abcd"}
            ports[f"o_S{side}"] = total
        if index + 2 < len(bits):
            following = Signal(name=f"{name}_c{index}")
            ports["o_COUT"] = following
            carries = {"i_CIN": following}
        m.submodules[f"{name}_{index}"] = Instance("CCU2C", **ports)
    return sums[:places]


def bit_of(value: Value, place: int) -> Value | None:
    """A number's bit, sign-extended; None where it is always 0."""
    shape = value.shape()
    if place < 0 or (place >= shape.width and not shape.signed):
        return None
    return value[min(place, shape.width - 1)]


def add(
    m: Module,
    platform,
    x,
    y,
    shape,
    *,
    name: str,
    x_gate=None,
    y_flip=None,
    y_gate=None,
    y_choose=None,
    other=None,
    carry=0,
) -> Value:
    """`x + (y ^ y_flip) + carry`, `(x & x_gate) + (y & y_gate) + carry` or `x + (y_choose ? other : y) + carry`, modulo
    `shape`, in the same cycle.

    `x_gate`, `y_flip`, `y_gate` and `y_choose` are single bits that hold for all of x or y; a flip's carry makes `x - y`. The
    carry is a bit or a `Gate`.
    """
    shape = Shape.cast(shape)
    result = Signal(shape, name=name)
    if not is_ecp5(platform):
        first, wide = Signal(shape, name=f"{name}_x"), Signal(shape, name=f"{name}_y")
        m.d.comb += [first.eq(x if x_gate is None else Mux(x_gate, x, 0)), wide.eq(y)]
        if y_flip is not None:
            wide = wide ^ y_flip.replicate(shape.width)
        if y_gate is not None:
            wide = wide & y_gate.replicate(shape.width)
        if y_choose is not None:
            wide = Mux(y_choose, other, wide)
        m.d.comb += result.eq(first + wide + (carry.value if isinstance(carry, Gate) else carry))
        return result
    x, y = Value.cast(x), Value.cast(y)
    instead = None if other is None else Value.cast(other)
    bits = []
    for place in range(shape.width):
        first, second = bit_of(x, place), bit_of(y, place)
        bit = Bit()
        if first is not None:
            bit = Bit(p=FIRST, a=first) if x_gate is None else Bit(p=AND, a=first, b=x_gate)
        if instead is not None:
            third = bit_of(instead, place)
            bit = bit._replace(b=y_choose, q=SECOND, other=FIRST)
            bit = bit._replace(c=Const(0) if third is None else third, d=Const(0) if second is None else second)
        elif y_flip is not None:
            bit = bit._replace(q=XOR, c=Const(0) if second is None else second, d=y_flip)
        elif second is not None:
            bit = bit._replace(q=AND, c=second, d=y_gate)
        bits.append(bit)
    m.d.comb += result.eq(Cat(*chain(m, bits, carry, name)))
    return result


class Sum(NamedTuple):
    """`carry + x + y`, the numbers as their bits, the lowest first."""

    carry: Gate
    x: Sequence[Gate]
    y: Sequence[Gate]


def sums(m: Module, platform, terms: Sequence[Sum], *, name: str) -> list[Value]:
    """Several short sums, each a bit longer than its longer number, in the same cycle.

    One chain makes them all: the half cell that begins a sum gives its carry, which may be a gate of two bits too, and at the
    same time brings out what the sum before it has carried. So a full adder with a gate at each of its inputs takes two half
    cells, a sum of n bits n + 1 of them, and the chain one more at its end.
    """
    if not is_ecp5(platform):
        totals = []
        for index, (carry, x, y) in enumerate(terms):
            total = Signal(max(len(x), len(y)) + 1, name=f"{name}_{index}")
            one, other = (Cat(bit.value for bit in number) for number in (x, y))
            m.d.comb += total.eq(one + other + carry.value)
            totals.append(total)
        return totals
    bits = []
    for carry, x, y in terms:
        bits.append(_begin(carry))
        for place in range(max(len(x), len(y))):
            bit = Bit()
            if place < len(x):
                bit = bit._replace(p=x[place].table, a=x[place].a, b=x[place].b)
            if place < len(y):
                bit = bit._replace(q=y[place].table, c=y[place].a, d=y[place].b)
            bits.append(bit)
    cells = _cells(m, [*bits, _begin(0)], name)
    begins = [place for place, bit in enumerate(bits) if bit.begins]
    return [Cat(cells[begin + 1 : end + 1]) for begin, end in zip(begins, [*begins[1:], len(bits)], strict=True)]

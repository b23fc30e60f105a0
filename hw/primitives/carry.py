"""Adders and multipliers of carry chains: no DSP, a LUT4 for every bit of a row.

An ECP5 carry cell adds what two LUT4 compute, bit by bit: S = LUT4 ^ CIN, COUT = LUT4 ? CIN : LUT2, with LUT2 the LUT4's
function of A and B where C = D = 0. So a chain adds `p(A, B) + q(C, D)` for any p and any q with q(0, 0) = 0 at one LUT4 a bit.

The multiplier takes two partial products a row, their ANDs being p and q, and then a tree of sums:

    i_y[0] & i_x --+                 i_y[2] & i_x --+
    i_y[1] & i_x --+--> row          i_y[3] & i_x --+--> row        cycle 1
                         |                                |
                         +-------------> + <--------------+         a cycle a level
                                         v
                                         o

Yosys alone sends every product to a DSP, or to three times the LUTs; and nextpnr spends two carry cells on each of its sums,
one to bring a constant carry in, one to bring an unread carry out. Chains here begin with a half cell that knows its carry.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Instance, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..delay import delay
from . import is_ecp5

# Truth tables over two inputs, the first one the lower bit of the index.
_ZERO = 0b0000
_AND = 0b1000
_NAND = 0b0111
_FIRST = 0b1010
_SECOND = 0b1100
_XOR = 0b0110
_ONE = 0b1111


class _Bit(NamedTuple):
    """What a chain adds at one place: `p(a, b) + q(c, d)`, with `other` instead of q where b is 1. Inputs that are not there
    read as 1.

    One that `begins` a sum is no place: its LUT4 is 0, so that the carry which it gives is p(a, b), whatever comes in, and its
    sum bit is that carry which comes in.
    """

    p: int = _ZERO
    a: Value | None = None
    b: Value | None = None
    q: int = _ZERO
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
            return _FIRST
        return _XOR if self.differ else _AND


def _chain(m, bits: list[_Bit], carry, name: str) -> list[Signal]:
    """The sum's bits, modulo 2**len(bits)."""
    begin = _begin(carry)
    below: list[Value] = []
    if not len(bits) % 2 and begin.p == _ZERO and (bits[0].p, bits[0].q) == (_FIRST, _AND) and bits[0].d is None:
        # That would leave a half cell over at the end, so let the first one give the carry of the first place instead.
        one, other = bits[0].a, bits[0].c
        assert one is not None
        assert other is not None
        begin = _Bit(p=_AND, a=one, b=other, begins=True)
        below.append(one ^ other)
        bits = bits[1:]
    return below + _cells(m, [begin, *bits], name)[1:]


def _begin(carry) -> _Bit:
    """What begins a sum, with a carry that is a gate, a bit or constant."""
    if isinstance(carry, Gate):
        return _Bit(p=carry.table, a=carry.a, b=carry.b, begins=True)
    if isinstance(carry, Value):
        return _Bit(p=_FIRST, a=carry, begins=True)
    return _Bit(p=_ONE if carry else _ZERO, begins=True)


def _cells(m, bits: list[_Bit], name: str) -> list[Value]:
    """The sum bit of every half cell of a chain, whose first one begins a sum."""
    places = len(bits)
    if places % 2:
        bits = [*bits, _Bit()]
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


def _bit_of(value: Value, place: int) -> Value | None:
    """A number's bit, sign-extended; None where it is always 0."""
    shape = value.shape()
    if place < 0 or (place >= shape.width and not shape.signed):
        return None
    return value[min(place, shape.width - 1)]


def add(m: Module, platform, x, y, shape, *, name: str, y_flip=None, y_gate=None, y_choose=None, other=None, carry=0) -> Value:
    """`x + (y ^ y_flip) + carry`, `x + (y & y_gate) + carry` or `x + (y_choose ? other : y) + carry`, modulo `shape`, in the
    same cycle.

    `y_flip`, `y_gate` and `y_choose` are single bits that hold for all of y; a flip's carry makes `x - y`. The
    carry is a bit or a `Gate`.
    """
    shape = Shape.cast(shape)
    result = Signal(shape, name=name)
    if not is_ecp5(platform):
        wide = Signal(shape, name=f"{name}_y")
        m.d.comb += wide.eq(y)
        if y_flip is not None:
            wide = wide ^ y_flip.replicate(shape.width)
        if y_gate is not None:
            wide = wide & y_gate.replicate(shape.width)
        if y_choose is not None:
            wide = Mux(y_choose, other, wide)
        m.d.comb += result.eq(x + wide + (carry.value if isinstance(carry, Gate) else carry))
        return result
    x, y = Value.cast(x), Value.cast(y)
    instead = None if other is None else Value.cast(other)
    bits = []
    for place in range(shape.width):
        first, second = _bit_of(x, place), _bit_of(y, place)
        bit = _Bit() if first is None else _Bit(p=_FIRST, a=first)
        if instead is not None:
            third = _bit_of(instead, place)
            bit = bit._replace(b=y_choose, q=_SECOND, other=_FIRST)
            bit = bit._replace(c=Const(0) if third is None else third, d=Const(0) if second is None else second)
        elif y_flip is not None:
            bit = bit._replace(q=_XOR, c=Const(0) if second is None else second, d=y_flip)
        elif second is not None:
            bit = bit._replace(q=_AND, c=second, d=y_gate)
        bits.append(bit)
    m.d.comb += result.eq(Cat(*_chain(m, bits, carry, name)))
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
            bit = _Bit()
            if place < len(x):
                bit = bit._replace(p=x[place].table, a=x[place].a, b=x[place].b)
            if place < len(y):
                bit = bit._replace(q=y[place].table, c=y[place].a, d=y[place].b)
            bits.append(bit)
    cells = _cells(m, [*bits, _begin(0)], name)
    begins = [place for place, bit in enumerate(bits) if bit.begins]
    return [Cat(cells[begin + 1 : end + 1]) for begin, end in zip(begins, [*begins[1:], len(bits)], strict=True)]


def _limits(shape: Shape) -> tuple[int, int]:
    """Least and largest number of a shape."""
    if shape.signed:
        return -(1 << (shape.width - 1)), (1 << (shape.width - 1)) - 1
    return 0, (1 << shape.width) - 1


def _shape(low: int, high: int) -> Shape:
    """The narrowest shape that holds `low` to `high`."""
    if low < 0:
        return signed(max((-low - 1).bit_length(), high.bit_length()) + 1)
    return unsigned(max(high.bit_length(), 1))


@dataclass
class _Row:
    """A partial product before its AND: `gate ? value * 2**log2 : 0`, subtracted where `negative`."""

    value: Value
    gate: Value
    log2: int
    negative: bool = False

    @property
    def limits(self) -> tuple[int, int]:
        """Least and largest number."""
        low, high = (limit << self.log2 for limit in _limits(self.value.shape()))
        low, high = min(low, 0), max(high, 0)
        return (-high, -low) if self.negative else (low, high)

    def bit(self, place: int) -> Value | None:
        """The value's bit at a place of the product; None where it is always 0."""
        return _bit_of(self.value, place - self.log2)


@dataclass
class _Term:
    """A number on its way through the tree: `value * 2**log2`; `low` and `high` are the value's limits."""

    value: Value
    log2: int
    low: int
    high: int


class CarryMultiplier(wiring.Component):
    """`o = i_x * i_y`, or `o = i_x * i_y + i_addend * 2**addend_log2`, `latency` cycles later, a product a cycle.

    Parameters: shapes `x`, `y` and `addend`; `levels`, additions between one register and the next: two of them take half the
    flip-flops, and the clock some 20 % (carries of both run at the same time). Cost on the ECP5: (rows - 1) * (width + 3)
    LUT4 or so, with a row for each bit of the narrower operand and one for the addend.
    """

    def __init__(self, x, y, *, addend=None, addend_log2: int = 0, levels: int = 1):
        x, y = Shape.cast(x), Shape.cast(y)
        if not x.width or not y.width:
            raise ValueError(f"a multiplier's operands must have 1 bit or more, not {x.width} and {y.width}")
        products = [a * b for a in _limits(x) for b in _limits(y)]
        low, high = min(products), max(products)
        members = {"i_x": In(x), "i_y": In(y)}
        if addend is not None:
            addend = Shape.cast(addend)
            least, most = _limits(addend)
            low, high = low + (least << addend_log2), high + (most << addend_log2)
            members["i_addend"] = In(addend)
        self._has_addend = addend is not None
        self._addend_log2 = addend_log2
        self._depth = _depth(min(x.width, y.width) + self._has_addend)
        self._levels = levels
        super().__init__({**members, "o": Out(_shape(low, high))})

    @property
    def latency(self) -> int:
        """Cycles from the operands to their product."""
        return -(-self._depth // self._levels)

    def elaborate(self, platform):
        m = Module()
        if is_ecp5(platform):
            self._ecp5(m, platform)
            return m
        result = Signal.like(self.o, name="result")
        product = self.i_x * self.i_y
        m.d.comb += result.eq(product + (self.i_addend << self._addend_log2) if self._has_addend else product)
        m.d.comb += self.o.eq(delay(m, result, self.latency, name="product"))
        return m

    def _ecp5(self, m, platform):
        rows = _rows(self.i_x, self.i_y)
        if self._has_addend:
            # Beside the lowest row, which would be alone where the narrower operand's width is odd.
            rows.insert(0, _Row(self.i_addend, Const(1), self._addend_log2))
        term = _sum_of_rows(m, platform, rows, self._depth, self._levels)
        m.d.comb += self.o.eq(term.value << term.log2)


class CarryDotProduct(wiring.Component):
    """`o = i_sum + sum over k of i_x[k] * i_y[k]`: `latency` cycles after i_x and i_y, one after i_sum.

    Parameters: shapes `x` and `y`; `count`, products; `sum_shape`, of i_sum, None without one; `levels` as above. All rows of
    all products go into one tree, which is smaller than products and a tree of them. A row of them is a systolic FIR filter.
    """

    def __init__(self, x, y, *, count: int, sum_shape=None, levels: int = 1):
        x, y = Shape.cast(x), Shape.cast(y)
        products = [a * b for a in _limits(x) for b in _limits(y)]
        low, high = count * min(products), count * max(products)
        members = {"i_x": In(data.ArrayLayout(x, count)), "i_y": In(data.ArrayLayout(y, count))}
        self._has_sum = sum_shape is not None
        if sum_shape is not None:
            sum_shape = Shape.cast(sum_shape)
            least, most = _limits(sum_shape)
            low, high = low + least, high + most
            members["i_sum"] = In(sum_shape)
        self._depth = _depth(count * min(x.width, y.width)) + 1
        self._count, self._levels = count, levels
        super().__init__({**members, "o": Out(_shape(low, high))})

    @property
    def latency(self) -> int:
        """Cycles from the operands to the sum."""
        return -(-self._depth // self._levels)

    def elaborate(self, platform):
        m = Module()
        base = self.i_sum if self._has_sum else Const(0)
        if is_ecp5(platform):
            rows = [row for index in range(self._count) for row in _rows(self.i_x[index], self.i_y[index])]
            term = _sum_of_rows(m, platform, rows, self._depth, self._levels, base if self._has_sum else None)
            m.d.comb += self.o.eq(term.value << term.log2)
            return m
        total = Signal.like(self.o, name="total")
        m.d.comb += total.eq(sum(x * y for x, y in zip(self.i_x, self.i_y, strict=True)))
        result = Signal.like(self.o, name="result")
        m.d.sync += result.eq(delay(m, total, self.latency - 1, name="total") + base)
        m.d.comb += self.o.eq(result)
        return m


def _rows(x, y) -> list[_Row]:
    """The partial products of two numbers."""
    wide, narrow = (x, y) if len(x) >= len(y) else (y, x)
    rows = [_Row(wide, gate, log2) for log2, gate in enumerate(narrow)]
    rows[-1].negative = narrow.shape().signed
    return rows


def _depth(rows: int) -> int:
    """Additions that follow each other in a tree of so many rows, two of which one chain adds."""
    return max(ceil_log2(rows), 1)


def _sum_of_rows(m, platform, rows: list[_Row], depth: int, levels: int, last: Value | None = None) -> _Term:
    """The sum of all rows, with a register behind every `levels` of `depth` additions; `last` comes a cycle before the end."""
    terms: list[_Term] = []
    while rows:
        pair, rows = rows[-2:], rows[:-2]
        terms.insert(0, _first_level(m, pair, f"row_{len(rows)}"))
    for level in range(1, depth + 1):
        if level == depth and last is not None:
            terms.append(_Term(last, 0, *_limits(last.shape())))
        if level > 1:
            pairs = [terms[index : index + 2] for index in range(0, len(terms), 2)]
            terms = [_sum(m, platform, pair, f"sum_{level}_{index}") for index, pair in enumerate(pairs)]
        if level == depth or level % levels == 0:
            terms = [
                replace(term, value=delay(m, term.value, 1, name=f"level_{level}_{index}")) for index, term in enumerate(terms)
            ]
    (term,) = terms
    return term


def _first_level(m, rows: list[_Row], name: str) -> _Term:
    """One or two rows as a number."""
    rows = sorted(rows, key=lambda row: row.log2)
    lower, upper = rows[0], rows[-1]
    base = lower.log2
    low, high = (sum(limits) >> base for limits in zip(*(row.limits for row in rows), strict=True))
    total = Signal(_shape(low, high), name=name)
    # Below the upper row's first place there is nothing to add.
    end = base + len(total)
    begin = upper.log2 if len(rows) == 2 or upper.negative else end
    below = (lower.bit(place) for place in range(base, begin))
    bits: list[Value] = [Const(0) if bit is None else bit & lower.gate for bit in below]
    if begin < end:
        bits += _chain(m, [_add_rows(rows, place) for place in range(begin, end)], int(any(r.negative for r in rows)), name)
    m.d.comb += total.eq(Cat(*bits))
    return _Term(total, base, low, high)


def _add_rows(rows: list[_Row], place: int) -> _Bit:
    """One place of a chain. What is subtracted comes inverted, which must be p's part: q(0, 0) is 0."""
    result = _Bit()
    for row in sorted(rows, key=lambda row: not row.negative):
        bit = row.bit(place)
        if row.negative:
            result = _Bit(p=_ONE) if bit is None else _Bit(p=_NAND, a=bit, b=row.gate)
        elif bit is not None and result.p == _ZERO:
            result = _Bit(p=_AND, a=bit, b=row.gate)
        elif bit is not None:
            result = result._replace(q=_AND, c=bit, d=row.gate)
    return result


def _sum(m, platform, terms: list[_Term], name: str) -> _Term:
    """One or two terms as a number; the bits of one that lie below the other's pass by."""
    if len(terms) == 1:
        return terms[0]
    lower, upper = sorted(terms, key=lambda term: term.log2)
    apart = upper.log2 - lower.log2
    low, high = lower.low + (upper.low << apart), lower.high + (upper.high << apart)
    result = Signal(_shape(low, high), name=name)
    passing = Signal(Shape(max(len(lower.value), apart + 1), lower.value.shape().signed), name=f"{name}_lower")
    m.d.comb += passing.eq(lower.value)
    rest = passing[apart:].as_signed() if passing.shape().signed else passing[apart:]
    shape = Shape(len(result) - apart, result.shape().signed)
    total = add(m, platform, rest, upper.value, shape, name=f"{name}_s")
    m.d.comb += result.eq(Cat(passing[:apart], total))
    return _Term(result, lower.log2, low, high)

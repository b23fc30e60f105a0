"""Multipliers of carry chains: no DSP, where Yosys alone would take one, or three times the LUTs.

The multiplier takes two partial products a row, their ANDs being p and q, and then a tree of sums:

    i_y[0] & i_x --+                 i_y[2] & i_x --+
    i_y[1] & i_x --+--> row          i_y[3] & i_x --+--> row        cycle 1
                         |                                |
                         +-------------> + <--------------+         a cycle a level
                                         v
                                         o
"""

from dataclasses import dataclass, replace

from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..delay import delay
from . import is_ecp5
from .carry import AND, NAND, ONE, ZERO, Bit, add, bit_of, chain


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
        return bit_of(self.value, place - self.log2)


@dataclass
class _Term:
    """A number on its way through the tree: `value * 2**log2`; `low` and `high` are the value's limits."""

    value: Value
    log2: int
    low: int
    high: int


class CarryMultiplier(wiring.Component):
    """`o = i_x * i_y`, or `o = i_x * i_y + i_addend * 2**addend_log2`, `latency` cycles later, a product a cycle.

    Parameters: shapes `x`, `y` and `addend`; `levels`, additions between one register and the next, but for the first one,
    whose operands come from afar: two of them take fewer flip-flops, and some of the clock (carries of both run at the same
    time). Cost on the ECP5: (rows - 1) * (width + 3) LUT4 or so, with a row for each bit of the narrower operand and one for
    the addend.
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
        return _cycles(self._depth, self._levels)

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
        return _cycles(self._depth, self._levels)

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


def _cycles(depth: int, levels: int) -> int:
    """Registers in a tree of that depth: one behind the first addition, then one behind every `levels`."""
    return 1 - (-(depth - 1) // levels)


def _sum_of_rows(m, platform, rows: list[_Row], depth: int, levels: int, last: Value | None = None) -> _Term:
    """The sum of all rows, with the registers that `_cycles` counts; `last` comes a cycle before the end."""
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
        if level == depth or (level - 1) % levels == 0:
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
        bits += chain(m, [_add_rows(rows, place) for place in range(begin, end)], int(any(r.negative for r in rows)), name)
    m.d.comb += total.eq(Cat(*bits))
    return _Term(total, base, low, high)


def _add_rows(rows: list[_Row], place: int) -> Bit:
    """One place of a chain. What is subtracted comes inverted, which must be p's part: q(0, 0) is 0."""
    result = Bit()
    for row in sorted(rows, key=lambda row: not row.negative):
        bit = row.bit(place)
        if row.negative:
            result = Bit(p=ONE) if bit is None else Bit(p=NAND, a=bit, b=row.gate)
        elif bit is not None and result.p == ZERO:
            result = Bit(p=AND, a=bit, b=row.gate)
        elif bit is not None:
            result = result._replace(q=AND, c=bit, d=row.gate)
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

"""What a design is made of, counted in the elaborated gateware: no synthesis, about a second.

It reads Amaranth's elaborated form (`Fragment`), which is internal to Amaranth: its version is pinned.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from amaranth.hdl import Const, Fragment, Shape, Signal
from amaranth.hdl._ast import Assign, Concat, Operator, Part, Slice, Switch, SwitchValue
from amaranth.hdl._ir import Instance
from amaranth.hdl._mem import MemoryInstance

__all__ = ["Netlist", "Target", "count"]

_CARRY = {"+", "-", "<", "<=", ">", ">="}
_BITWISE = {"&", "|", "^", "~"}
_REDUCTION = {"b", "r&", "r|", "r^"}


@dataclass(frozen=True)
class Target:
    """Stands for a platform while gateware is elaborated for a family: `ecp5`, `ice40` (its UltraPlus) or `gowin`."""

    family: str

    @property
    def device(self) -> str:
        """What gateware looks at to know an UltraPlus."""
        return "iCE40UP5K" if self.family == "ice40" else ""


@dataclass(kw_only=True)
class Netlist:
    """Counts of a design. All but `products`, `memories` and `instances` are bits.

    registers       that a clock drives
    carry           of sums, differences and comparisons
    equal           of what is compared for equality
    logic           of bitwise operators and reductions
    select          of choices in expressions: multiplexer inputs beyond the first
    shift           of shifts by an amount that is no constant, a stage each
    choose          of assignments under a condition, beyond the first to the same signal
    products        operand widths of every multiplication
    memories        width, depth and write granularity of every memory
    instances       primitives by type
    """

    registers: int = 0
    carry: int = 0
    equal: int = 0
    logic: int = 0
    select: int = 0
    shift: int = 0
    choose: int = 0
    products: list[tuple[int, int]] = field(default_factory=list)
    memories: list[tuple[int, int, int]] = field(default_factory=list)
    instances: Counter[str] = field(default_factory=Counter)


def count(design: Any, platform: Any = None) -> Netlist:
    """Elaborates `design` for `platform` and counts."""
    netlist = Netlist()
    for fragment in _fragments(Fragment.get(design, platform)):
        if isinstance(fragment, Instance):
            netlist.instances[fragment.type] += 1
        elif isinstance(fragment, MemoryInstance):
            width = Shape.cast(fragment._data.shape).width
            granularity = min((port._granularity for port in fragment._write_ports), default=width)
            netlist.memories.append((width, fragment._data.depth, granularity))
        _Walk(netlist).module(fragment)
    return netlist


def _fragments(fragment: Any) -> Iterator[Any]:
    yield fragment
    for child, *_ in fragment.subfragments:
        yield from _fragments(child)


class _Walk:
    """Counts one module's statements; an expression that is used twice counts once."""

    def __init__(self, netlist: Netlist) -> None:
        self._netlist = netlist
        self._seen: dict[int, Any] = {}  # holds the expressions too, so that no identity is used again

    def module(self, fragment: Any) -> None:
        for domain, statements in fragment.statements.items():
            assigned: Counter[int] = Counter()
            widths: dict[int, int] = {}
            for target, bits in self._statements(statements):
                assigned[id(target)] += bits
                widths[id(target)] = len(target)
            if domain != "comb":
                self._netlist.registers += sum(widths.values())
            self._netlist.choose += sum(max(0, bits - widths[target]) for target, bits in assigned.items())

    def _statements(self, statements: Iterable[Any]) -> Iterator[tuple[Any, int]]:
        """Every assignment: the signal, and how many of its bits it sets."""
        for statement in statements:
            if isinstance(statement, Switch):
                self._value(statement.test)
                for _, body, *_ in statement.cases:
                    yield from self._statements(body)
            elif isinstance(statement, Assign):
                self._value(statement.rhs)
                bits = len(statement.lhs)
                for target in _targets(statement.lhs):
                    yield target, min(bits, len(target))

    def _value(self, value: Any) -> None:
        if isinstance(value, Const | Signal) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, Operator):
            self._operator(value)
        elif isinstance(value, SwitchValue):
            self._netlist.select += len(value) * (len(value.cases) - 1)
            self._value(value.test)
            for _, choice in value.cases:
                self._value(choice)
        elif isinstance(value, Part):
            self._netlist.shift += len(value) * len(value.offset)
            self._value(value.value)
            self._value(value.offset)
        elif isinstance(value, Slice):
            self._value(value.value)
        elif isinstance(value, Concat):
            for part in value.parts:
                self._value(part)

    def _operator(self, value: Any) -> None:
        netlist = self._netlist
        operator, operands = value.operator, value.operands
        widest = max(len(operand) for operand in operands)
        if operator == "*":
            netlist.products.append((len(operands[0]), len(operands[1])))
        elif operator in _CARRY:
            netlist.carry += min(widest + 1, len(value)) if operator in "+-" else widest
        elif operator in ("==", "!="):
            netlist.equal += widest
        elif operator in _BITWISE:
            netlist.logic += len(value) if len(operands) > 1 else 0
        elif operator in _REDUCTION:
            netlist.logic += widest // 3
        elif operator == "m":
            netlist.select += len(value)
        elif operator in ("<<", ">>") and not isinstance(operands[1], Const):
            netlist.shift += len(value) * len(operands[1])
        for operand in operands:
            self._value(operand)


def _targets(value: Any) -> Iterator[Any]:
    """The signals on the left of an assignment."""
    if isinstance(value, Signal):
        yield value
    elif isinstance(value, Slice | Part):
        yield from _targets(value.value)
    elif isinstance(value, Concat):
        for part in value.parts:
            yield from _targets(part)
    elif isinstance(value, SwitchValue):
        for _, choice in value.cases:
            yield from _targets(choice)
    elif isinstance(value, Operator):
        for operand in value.operands:  # a signed view of a signal
            yield from _targets(operand)

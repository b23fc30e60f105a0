"""Faults of a fixed kind, wherever the gateware has a place for them: one for each place.

    sign        a sum becomes a difference, and back; a signed number is read as unsigned
    compare     == for !=, < for <=, ...
    logic       & for |, a lost ~, ^ for |
    constant    a number is one larger: addresses, widths, latencies, indices
    choice      the sides of a Mux are swapped
    condition   an If is inverted
    assignment  a register or a wire is not assigned

A place is named by what stands there, not by its line, so that an edit elsewhere in the file leaves it alone.
"""

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from mutation.gateware import HW

KINDS = ("assignment", "sign", "condition", "logic", "compare", "constant", "choice")

_ARITHMETIC = {ast.Add: ("+", "-"), ast.Sub: ("-", "+")}
_LOGIC = {ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"), ast.BitXor: ("^", "|")}
_COMPARE = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
}
_BRANCHES = ("If", "Elif")


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One edit of one file.

    key     names it: file, function, kind, what stands there, and which of several such places it is
    start, end, new   the edit, in bytes
    """

    file: str
    function: str
    kind: str
    old: str
    index: int
    start: int
    end: int
    new: str

    @property
    def key(self) -> str:
        return f"{self.file} | {self.function} | {self.kind} | {self.old} | {self.index}"

    @property
    def number(self) -> str:
        """Short and stable."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:8]

    def apply(self, source: str) -> str:
        data = source.encode()
        return (data[: self.start] + self.new.encode() + data[self.end :]).decode()

    def __str__(self) -> str:
        return f"{self.number} {self.file} {self.function}: {self.kind}, {self.old!r} -> {self.new!r}"


class _Places(ast.NodeVisitor):
    """Collects (function, kind, start, end, new, what stands there)."""

    def __init__(self, source: str) -> None:
        self._data = source.encode()
        lines = self._data.split(b"\n")
        self._offsets = [0]
        for line in lines:
            self._offsets.append(self._offsets[-1] + len(line) + 1)
        self._names: list[str] = []
        self._around: list[ast.expr] = []
        self._elements: list[ast.expr] = []  # what comprehensions make: it cannot be left out
        self.found: list[tuple[str, str, int, int, str, str]] = []

    def _at(self, line: int, column: int) -> int:
        return self._offsets[line - 1] + column

    def _span(self, node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def _text(self, start: int, end: int) -> str:
        return self._data[start:end].decode()

    def _add(self, kind: str, start: int, end: int, new: str, whole: ast.expr) -> None:
        context = " ".join(self._text(*self._span(whole)).split())
        if len(context) > 90:
            context = context[:60] + " ... " + context[-25:]
        self.found.append((".".join(self._names), kind, start, end, new, context))

    def _operator(self, kind: str, left: ast.expr, right: ast.expr, old: str, new: str, whole: ast.expr) -> None:
        """Replaces the operator that stands between two operands."""
        begin, end = self._span(left)[1], self._span(right)[0]
        at = self._text(begin, end).find(old)
        assert at >= 0
        self._add(kind, begin + at, begin + at + len(old), new, whole)

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.expr):
            self._around.append(node)
            super().visit(node)
            self._around.pop()
        else:
            super().visit(node)

    def _number(self, node: ast.Constant, span: tuple[int, int]) -> None:
        """A number, named by the expression that it stands in."""
        texts = [" ".join(self._text(*self._span(around)).split()) for around in reversed(self._around)]
        context = next((text for text in texts if 8 <= len(text) <= 90), texts[0])
        assert isinstance(node.value, int)
        self.found.append((".".join(self._names), "constant", *span, str(node.value + 1), f"{node.value} in {context}"))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._names.append(node.name)
        body = node.body
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body = body[1:]  # a docstring
        for statement in body:
            self.visit(statement)
        self._names.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._names.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self._names.pop()

    def visit_Raise(self, node: ast.Raise) -> None:
        """Messages are no gateware."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """Nor are its own checks."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Nor are the layouts of `data.Struct`, which both sides read."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Nor are names."""

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if self._names:
            for kind, table in (("sign", _ARITHMETIC), ("logic", _LOGIC)):
                if type(node.op) in table:
                    self._operator(kind, node.left, node.right, *table[type(node.op)], node)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if self._names and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
            self._operator("compare", node.left, node.comparators[0], *_COMPARE[type(node.ops[0])], node)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if self._names and isinstance(node.op, ast.Invert):
            start, _ = self._span(node)
            self._add("logic", start, start + 1, "", node)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if self._names and type(node.value) is int:
            self._number(node, self._span(node))

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self._names and isinstance(node.slice, ast.Constant) and type(node.slice.value) is int:
            self._number(node.slice, self._span(node.slice))
            self.visit(node.value)
        else:
            self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            call = item.context_expr
            branch = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _BRANCHES
            if self._names and branch and len(call.args) == 1:
                start, end = self._span(call.args[0])
                self._add("condition", start, end, f"({self._text(start, end)}) == 0", call)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if self._names and name == "Mux" and len(node.args) == 3 and not any(isinstance(a, ast.Starred) for a in node.args):
            spans = [self._span(argument) for argument in node.args[1:]]
            texts = [self._text(*span) for span in spans]
            self._add("choice", spans[0][0], spans[1][1], f"{texts[1]}, {texts[0]}", node)
        elif self._names and name == "as_signed" and not node.args:
            end = self._span(node)[1]
            self._add("sign", end - len("as_signed()"), end, "as_unsigned()", node)
        elif self._names and name == "eq" and len(node.args) == 1 and node not in self._elements:
            start, end = self._span(node)
            self._add("assignment", start, end, "*()", node)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._elements.append(node.elt)
        self.generic_visit(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._elements.append(node.elt)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        before = len(self.found)
        self.generic_visit(node)
        value = node.value
        if isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "eq":
            # The only one of its statement, not one of a list.
            for place in range(before, len(self.found)):
                function, kind, start, end, _, text = self.found[place]
                if kind == "assignment" and (start, end) == self._span(value):
                    self.found[place] = (function, kind, start, end, "[]", text)


def mutants_of(file: str, source: str) -> Iterator[Mutant]:
    """All of a file."""
    places = _Places(source)
    places.visit(ast.parse(source))
    seen: Counter[tuple[str, str, str]] = Counter()
    for function, kind, start, end, new, text in places.found:
        seen[function, kind, text] += 1
        index = seen[function, kind, text]
        yield Mutant(file=file, function=function, kind=kind, old=text, index=index, start=start, end=end, new=new)


@cache
def all_mutants() -> dict[str, list[Mutant]]:
    """All of the gateware's, by file."""
    files = sorted(HW.rglob("*.py"))
    found = {str(path.relative_to(HW)): list(mutants_of(str(path.relative_to(HW)), path.read_text())) for path in files}
    return {file: mutants for file, mutants in found.items() if mutants}


def sample(mutants: list[Mutant], count: int, seed: str) -> list[Mutant]:
    """So many of one file's, kind after kind, in an order that the seed and their names decide: an edit of the gateware
    changes the sample where it changes what stands there, and not elsewhere."""
    ranked = sorted(mutants, key=lambda mutant: hashlib.sha256((seed + mutant.key).encode()).digest())
    waiting = {kind: [mutant for mutant in ranked if mutant.kind == kind] for kind in KINDS}
    chosen: list[Mutant] = []
    while len(chosen) < count and any(waiting.values()):
        for kind in KINDS:
            if waiting[kind] and len(chosen) < count:
                chosen.append(waiting[kind].pop(0))
    return chosen

"""What every proof is: a property, a bound, and the faults that refute it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from formal.prover import Proof, solver, verify
from mutation.gateware import Fault, Gateware, planted

needs_solver = pytest.mark.skipif(solver() is None, reason="no SMT solver: `pip install z3-solver`")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A property of the gateware.

    name        what holds
    make        the proof, of the gateware that it is given
    cycles      the bound, or with `induction` the k of k-induction, after which the property holds for ever
    faults      each of them refutes it
    slow        takes more than a few seconds
    """

    name: str
    make: Callable[[Gateware], Proof]
    cycles: int
    faults: tuple[Fault, ...]
    induction: bool = False
    slow: bool = False

    def check(self) -> None:
        """Holds for the gateware as it is."""
        verdict = verify(lambda: self.make(Gateware()), cycles=self.cycles, induction=self.induction)
        assert verdict.holds, f"{self.name}: broken in cycle {verdict.cycle}\n{verdict.log}"

    def check_fault(self, fault: Fault) -> None:
        """Does not hold with the fault: a violation within the bound, or an induction that does not close."""
        with planted(fault) as gateware:
            verdict = verify(lambda: self.make(gateware), cycles=self.cycles, induction=self.induction)
        assert not verdict.holds, f"{self.name}: holds in spite of {fault.what!r}"


def holding(cases: Iterable[Case]) -> list[Any]:
    """Parameters: a case."""
    return [pytest.param(case, id=case.name.replace(" ", "-"), marks=[pytest.mark.slow] if case.slow else []) for case in cases]


def refuted(cases: Iterable[Case], *, quick: int = 0) -> list[Any]:
    """Parameters: a case and one of its faults; all but the first `quick` ones are slow."""
    pairs = [(case, fault) for case in cases for fault in case.faults]
    return [
        pytest.param(
            case,
            fault,
            id=f"{case.name}-{fault}".replace(" ", "-"),
            marks=[] if number < quick and not case.slow else [pytest.mark.slow],
        )
        for number, (case, fault) in enumerate(pairs)
    ]


def faults_of(faults: Iterable[Fault]) -> list[Any]:
    """Parameters: a fault; all but the first are slow."""
    return [
        pytest.param(fault, id=str(fault), marks=[pytest.mark.slow] if number else []) for number, fault in enumerate(faults)
    ]

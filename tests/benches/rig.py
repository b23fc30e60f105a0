r"""What the benches share: one block of the top, its ports by name, cycles, streams with stalls, reset, a scoreboard.

Everything happens in cycles. A task runs right behind a falling edge of the clock: there it sets inputs. `sample` then waits
until all of them have settled, takes the values that the next rising edge will find, and goes on to the next falling edge.

    clk    ____/''''\____/''''\____
               ^    ^  ^ ^
               |    |  | the block takes what was sampled
               |    |  sample
               |    set
               the block took what was sampled before
"""

import os
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Const, Shape, Value
from amaranth.lib import data
from amaranth.lib.wiring import In
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb.utils import get_sim_time
from stalls import pauses

from .blocks import BENCHES
from .coverage import Coverage, read_plan

_PERIOD = 2  # steps
_RESET = 64  # cycles: the link resets the fabric for longer

TIMEOUT = {"timeout_time": 1_000_000 * _PERIOD, "timeout_unit": "step"}
"""For `cocotb.test`: a bench that takes a million cycles hangs."""


class Rig:
    """One block of a bench under test.

    `rng` depends on the run's seed and on the test's name alone. What the bench sees goes into `cover`.
    """

    def __init__(self, top: Any, bench: str, block: str):
        self._coverage = Coverage(read_plan()[bench])
        self.cover = self._coverage.hit
        self.rng = np.random.default_rng(random.getrandbits(128))  # cocotb seeds `random` for every test
        self.dut = BENCHES[bench][block]()
        flat = [("__".join(map(str, path)), member, value) for path, member, value in self.dut.signature.flatten(self.dut)]
        self._members = {name: member for name, member, _ in flat}
        self._begin = {name: Value.cast(value).init for name, member, value in flat if member.flow == In}
        instance = os.environ.get("CELOSIA_INSTEAD") or block  # another one of the same ports
        names = [name for name in (*self._members, "clk", "rst") if self._exists(name)]
        self._handles = {name: getattr(top, f"{instance}__{name}") for name in names}

    async def __aenter__(self) -> "Rig":
        for name, value in self._begin.items():
            if self._exists(name):
                self._handles[name].value = value
        self._handles["rst"].value = 0
        Clock(self._handles["clk"], _PERIOD, unit="step").start(start_high=False)
        await FallingEdge(self._handles["clk"])
        await self.reset()
        return self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        path = Path(os.environ["CELOSIA_COVERAGE"])
        if path.exists():
            self._coverage.merge(path)
        self._coverage.write(path)

    def _exists(self, name: str) -> bool:
        """Verilog has no ports without bits."""
        return name not in self._members or Shape.cast(self._members[name].shape).width > 0

    def set(self, **values: Any) -> None:
        """Drives inputs: numbers, or whatever the member's shape makes a constant of."""
        for name, value in values.items():
            if not self._exists(name):
                continue
            shape = self._members[name].shape
            if not isinstance(value, int):
                value = Const.cast(shape.const(value)).value
            self._handles[name].value = value & ((1 << Shape.cast(shape).width) - 1)

    def get(self, name: str) -> Any:
        """An output: a number, or a constant of its layout."""
        shape = self._members[name].shape
        value = int(self._handles[name].value)
        if isinstance(shape, (data.Layout, type)):
            return shape.from_bits(value)
        shape = Shape.cast(shape)
        return value - (1 << shape.width) if shape.signed and value >> (shape.width - 1) else value

    def bits(self, name: str) -> int:
        """An output's bits."""
        return int(self._handles[name].value)

    async def sample(self, *names: str) -> list[Any]:
        """The values that outputs have at the end of this cycle; goes on to the next one."""
        await ReadOnly()
        values = [self.get(name) for name in names]
        await FallingEdge(self._handles["clk"])
        return values

    async def settled(self) -> None:
        """Waits until the inputs of this cycle have settled: then `get` gives what the block will find. Inputs cannot be set
        until the next `ticks`."""
        await ReadOnly()

    async def ticks(self, count: int = 1) -> None:
        """Goes on by so many cycles."""
        for _ in range(count):
            await FallingEdge(self._handles["clk"])

    @property
    def cycle(self) -> int:
        """The number of this cycle."""
        return int(get_sim_time("step")) // _PERIOD

    async def reset(self) -> None:
        """Resets the block, in whatever it is doing, for longer than any pipeline is: its registers are not reset."""
        self._handles["rst"].value = 1
        await self.ticks(_RESET)
        self._handles["rst"].value = 0

    def pauses(self, kind: str) -> Iterator[bool]:
        """`stalls.pauses` from this bench's random numbers."""
        return pauses(self.rng, kind)

    async def send(self, stream: str, words: Iterable[Any], stalls: str, taken: Callable[[Any], None] | None = None) -> None:
        """Drives a stream into the block; `taken` hears of each word. In a pause the payload is noise."""
        pauses = self.pauses(stalls)
        width = Shape.cast(self._members[f"{stream}__payload"].shape).width
        for word in words:
            while next(pauses):
                self.set(**{f"{stream}__payload": int.from_bytes(self.rng.bytes((width + 7) // 8), "little")})
                await self.ticks()
            self.set(**{f"{stream}__payload": word, f"{stream}__valid": 1})
            while not (await self.sample(f"{stream}__ready"))[0]:
                pass
            if taken is not None:
                taken(word)
            self.set(**{f"{stream}__valid": 0})

    async def receive(self, stream: str, stalls: str, give: Callable[[Any], bool]) -> None:
        """Takes words from a stream until `give`, which gets them, says that it has enough.

        A word that is offered must stay until it is taken: this watches it.
        """
        pauses = self.pauses(stalls)
        valid, payload, ready = (f"{stream}__{name}" for name in ("valid", "payload", "ready"))
        offered = None
        while True:
            takes = not next(pauses)
            self.set(**{ready: int(takes)})
            is_valid, word = await self.sample(valid, payload)
            assert offered is None or (is_valid and word == offered), f"{stream} took back {offered}"
            offered = None
            if is_valid and takes:
                if give(word):
                    self.set(**{ready: 0})
                    return
            elif is_valid:
                offered = word


class Scoreboard:
    """Compares what comes with what was expected, one by one and in order."""

    def __init__(self, name: str = "result"):
        self._name = name
        self._expected: list[Any] = []
        self.seen = 0

    def expect(self, *values: Any) -> None:
        self._expected += values

    @property
    def complete(self) -> bool:
        """Whether all that was expected has come."""
        return self.seen == len(self._expected)

    def next(self) -> Any:
        """What must come next."""
        assert self.seen < len(self._expected), f"{self._name} {self.seen}, which nobody expects"
        return self._expected[self.seen]

    def __call__(self, value: Any) -> bool:
        """Whether all that was expected has come."""
        wanted = self.next()
        assert value == wanted, f"{self._name} {self.seen} is {value}, not {wanted}"
        self.seen += 1
        return self.complete

    def finish(self) -> None:
        assert self.complete, f"only {self.seen} of {len(self._expected)}: {self._name}s are missing"


async def together(*tasks: Awaitable[Any]) -> None:
    """Runs until all of them have ended."""
    for task in [cocotb.start_soon(task) for task in tasks]:
        await task


def corner(value: int, low: int, high: int) -> str:
    """Where a number lies between its extremes: `least`, `most`, `zero` or `inner`."""
    return {low: "least", high: "most", 0: "zero"}.get(int(value), "inner")


def effort(count: int) -> int:
    """So much of something, or ten times as much where the run is to be long."""
    return count * (10 if os.environ.get("CELOSIA_LONG") == "1" else 1)


def packed(values: Iterable[int], width: int) -> int:
    """Numbers of so many bits side by side, the first one lowest."""
    mask = (1 << width) - 1
    return sum((int(value) & mask) << width * place for place, value in enumerate(values))

"""What the gateware's unit tests share: Amaranth's own simulator, stalls, random numbers from a seed that a failure prints."""

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator
from stalls import STALLS, pauses


class Bench:
    """Simulates one component. `rng` is the test's own; the environment variable CELOSIA_SEED moves all of them."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)

    def run(self, dut: Any, *testbenches: Callable, background: Iterable[Callable] = (), limit: int = 100_000) -> None:
        """Runs the testbenches until all have ended; the test fails where they have not after `limit` cycles.

        Testbenches in the background may go on for ever; they see a cycle when the others have driven it.
        """
        simulator = Simulator(dut)
        simulator.add_clock(1e-6)
        for testbench in testbenches:
            simulator.add_testbench(testbench)
        for testbench in background:
            simulator.add_testbench(testbench, background=True)
        for _ in range(2 * limit):
            if not simulator.advance():
                return
        pytest.fail(f"the testbenches hang: no end after {limit} cycles")

    def put(self, ctx: Any, port: Any, **values: Any) -> None:
        """Drives members of an interface."""
        for name, value in values.items():
            ctx.set(getattr(port, name), value)

    def resettable(self, dut: Any) -> tuple[Any, Signal]:
        """`dut` with a reset, and the signal that resets it."""
        reset = Signal(name="bench_reset")
        return ResetInserter(reset)(dut), reset

    def pauses(self, kind: str) -> Iterator[bool]:
        """`stalls.pauses` from this bench's random numbers."""
        return pauses(self.rng, kind)

    # A testbench that is dropped inside of Amaranth's own `repeat` or `until`, because another one failed, would take pytest
    # with it; so these loop themselves.

    async def ticks(self, ctx: Any, count: int) -> None:
        """Waits for `count` cycles."""
        for _ in range(count):
            await ctx.tick()

    async def until(self, ctx: Any, condition: Any, *values: Any) -> list[Any]:
        """Waits for the end of the first cycle in which the condition holds; gives the values that it had then."""
        while True:
            _, _, holds, *sampled = await ctx.tick().sample(condition, *values)
            if holds:
                return sampled

    async def send(self, ctx: Any, stream: Any, words: Iterable[int], pauses: Iterator[bool]) -> None:
        """Sends words to a stream. While it pauses, the payload is noise."""
        for word in words:
            while next(pauses):
                ctx.set(stream.payload, int(self.rng.integers(1 << len(stream.payload))))
                await ctx.tick()
            ctx.set(stream.payload, int(word))
            ctx.set(stream.valid, 1)
            await self.until(ctx, stream.ready)
            ctx.set(stream.valid, 0)

    async def receive(self, ctx: Any, stream: Any, count: int, pauses: Iterator[bool]) -> list[int]:
        """Takes `count` words from a stream."""
        words = []
        for _ in range(count):
            while next(pauses):
                await ctx.tick()
            ctx.set(stream.ready, 1)
            words += await self.until(ctx, stream.valid, stream.payload)
            ctx.set(stream.ready, 0)
        return words


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Bench:
    """A `Bench` whose seed is the test's name."""
    seed = zlib.crc32(request.node.name.encode()) + int(os.environ.get("CELOSIA_SEED", "0"))
    print(f"{request.node.name}: seed {seed}")
    return Bench(seed)


@pytest.fixture(params=STALLS)
def stalls(request: pytest.FixtureRequest) -> str:
    """How the streams of a test stall: `Bench.pauses` knows."""
    return request.param

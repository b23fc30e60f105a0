"""The single-port memory against a list: a read or a write every cycle, byte by byte."""

import numpy as np
import pytest
from celosia.hw.primitives.single_port import SinglePortMemory


@pytest.mark.parametrize(("width", "depth"), [(16, 64), (32, 300), (16, 2048)])
def test_reads_what_was_written(bench, width, depth):
    memory = SinglePortMemory(width=width, depth=depth)
    content = {}
    addresses = bench.rng.integers(0, depth, 40)

    async def testbench(ctx):
        for address in addresses:
            bytes_ = bench.rng.integers(0, 256, width // 8)
            content[address] = bytes_
            bench.put(
                ctx,
                memory,
                i_address=int(address),
                i_write=1,
                i_bytes=-1,
                i_data=int.from_bytes(bytes_.astype(np.uint8), "little"),
            )
            await ctx.tick()
        expected = None
        for _ in range(800):
            if expected is not None:
                assert ctx.get(memory.o_data) == int.from_bytes(expected.astype(np.uint8), "little")
            address = bench.rng.choice(addresses)
            write, strobes = int(bench.rng.integers(2)), bench.rng.integers(0, 2, width // 8)
            given = bench.rng.integers(0, 256, width // 8)
            bench.put(
                ctx,
                memory,
                i_address=int(address),
                i_write=write,
                i_bytes=int(strobes @ (1 << np.arange(width // 8))),
                i_data=int.from_bytes(given.astype(np.uint8), "little"),
            )
            if write:
                content[address] = np.where(strobes, given, content[address])
            expected = None if write else content[address]
            await ctx.tick()

    bench.run(memory, testbench)


def test_refused_width():
    with pytest.raises(ValueError, match="width must be a multiple of 16, not 24"):
        SinglePortMemory(width=24, depth=16)

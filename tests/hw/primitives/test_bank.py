"""The bank against a list: a read and a write every cycle, at the latency that the class names."""

import pytest
from celosia.hw.primitives.bank import Bank


@pytest.mark.parametrize(("width", "depth"), [(18, 1024), (36, 300), (8, 16), (4, 4096), (70, 500)])
def test_reads_what_was_written(bench, width, depth):
    bank = Bank(width=width, depth=depth)
    content = [0] * depth
    due = []

    async def testbench(ctx):
        for _ in range(600):
            read, write = (int(address) for address in bench.rng.integers(0, depth, 2))
            if bench.rng.random() < 0.3:
                read = last_write[0]
            enable, data = int(bench.rng.integers(2)), int.from_bytes(bench.rng.bytes(16), "little") >> (128 - width)
            if read == write:
                enable = 0  # what a read of the word gives that is written in the same cycle is not defined
            ctx.set(bank.i_address, read)
            bench.put(ctx, bank.write, enable=enable, address=write, data=data)
            due.append(content[read])
            if enable:
                content[write] = data
                last_write[0] = write
            if len(due) > bank.LATENCY:
                assert ctx.get(bank.o_data) == due[-1 - bank.LATENCY]
            await ctx.tick()

    last_write = [0]
    bench.run(bank, testbench)

"""The bank against a list, a read and a write every cycle; and the primitive against its twin."""

import celosia.hw.primitives.bank as bank_module
import pytest
from amaranth.hdl import Cat
from celosia.hw.primitives.bank import Bank
from twins import first_difference


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


def random_traffic(m, noise, bank):
    """Reads and writes of 32 words spread over the memory, never both of the same one in a cycle."""
    bits = len(bank.i_address)
    read, write = noise[:5], noise[5:10]
    data = Cat(noise[20:], noise[:20])
    m.d.comb += [
        bank.i_address.eq(Cat(read[:2], read[2:] << (bits - 5))),
        bank.write.address.eq(Cat(write[:2], write[2:] << (bits - 5))),
        bank.write.data.eq(data),
        bank.write.enable.eq(noise[10:12].any() & (read != write)),
    ]


WIDTHS = [(36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384), (8, 4096), (70, 512), (20, 1024)]


@pytest.mark.parametrize(("width", "depth"), WIDTHS)
def test_the_primitive_remembers_alike(width, depth):
    assert first_difference(lambda: Bank(width=width, depth=depth), cycles=5000, drive=random_traffic) is None


def test_a_wrong_primitive_is_noticed(monkeypatch):
    """The comparison can fail: no output register, an address bit that is not there, a write that writes half."""
    original = bank_module.Instance
    for wrong in ({"p_REGMODE_B": "NOREG"}, {"i_ADB4": 0}, {"i_ADA1": 0}):
        monkeypatch.setattr(bank_module, "Instance", lambda kind, wrong=wrong, **ports: original(kind, **(ports | wrong)))
        assert first_difference(lambda: Bank(width=18, depth=1024), cycles=5000, drive=random_traffic) is not None

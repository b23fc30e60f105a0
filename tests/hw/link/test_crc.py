"""CRC-32 against zlib's."""

import zlib

from celosia.hw.link.crc import Crc32


def test_crc(bench):
    dut = Crc32()
    checked = 0

    async def feed(ctx):
        nonlocal checked
        for length in (1, 2, 3, 40):
            data = bench.rng.bytes(length)
            for index, byte in enumerate(data):
                ctx.set(dut.byte, byte)
                ctx.set(dut.first, index == 0)
                ctx.set(dut.strobe, 1)
                assert ctx.get(dut.idle)
                await ctx.tick()
                ctx.set(dut.strobe, 0)
                await bench.ticks(ctx, dut.CYCLES - 1)
                assert not ctx.get(dut.idle)
                await ctx.tick()
                assert ctx.get(dut.idle)
                assert ctx.get(dut.crc) == zlib.crc32(data[: index + 1])
                checked += 1

    bench.run(dut, feed)
    assert checked == 46

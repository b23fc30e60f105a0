"""Which byte is the last before a pause."""

import pytest
from celosia.hw.link.packets import PauseMarker

CYCLES = 8


@pytest.mark.parametrize("gaps", [[0] * 10, [0, 0, 30, 0, 5, 40], [7, 9, 7, 9], [CYCLES - 1, CYCLES, CYCLES + 1, CYCLES + 2]])
def test_a_pause_marks_the_byte_before_it(bench, gaps):
    """Bytes come in order and once; one is marked where nothing followed it for `CYCLES` cycles."""
    dut = PauseMarker(CYCLES)
    came = []

    async def send(ctx):
        for number, gap in enumerate(gaps):
            ctx.set(dut.i.payload, number)
            ctx.set(dut.i.valid, 1)
            await bench.until(ctx, dut.i.ready)
            ctx.set(dut.i.valid, 0)
            await bench.ticks(ctx, gap)
        await bench.ticks(ctx, CYCLES + 2)

    async def receive(ctx):
        ctx.set(dut.o.ready, 1)
        while True:
            byte, last = await bench.until(ctx, dut.o.valid, dut.o.payload.byte, dut.o.payload.last)
            came.append((byte, last))

    bench.run(dut, send, background=[receive])
    *between, _ = gaps
    assert came == [(number, int(gap > CYCLES)) for number, gap in enumerate([*between, 99])]


def test_nothing_is_lost_where_nobody_takes(bench, stalls):
    dut = PauseMarker(CYCLES)
    words = bench.rng.integers(0, 256, 200).tolist()
    came = []

    async def send(ctx):
        await bench.send(ctx, dut.i, words, bench.pauses(stalls))

    async def receive(ctx):
        for _ in words:
            while next(pauses):
                await ctx.tick()
            ctx.set(dut.o.ready, 1)
            came.extend(await bench.until(ctx, dut.o.valid, dut.o.payload.byte))
            ctx.set(dut.o.ready, 0)

    pauses = bench.pauses(stalls)
    bench.run(dut, send, receive)
    assert came == words

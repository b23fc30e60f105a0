"""The register in a stream: every word once, in order, a word a cycle, and no path from one side to the other in a cycle."""

from celosia.hw.stream_buffer import StreamBuffer


def test_words_in_order(bench, stalls):
    buffer = StreamBuffer(32)
    words = bench.rng.integers(0, 1 << 32, 300).tolist()
    received = []

    async def sender(ctx):
        await bench.send(ctx, buffer.i, words, bench.pauses(stalls))

    async def receiver(ctx):
        received.extend(await bench.receive(ctx, buffer.o, len(words), bench.pauses(bench.rng.choice(["none", "random"]))))

    bench.run(buffer, sender, receiver)
    assert received == words


def test_a_word_a_cycle(bench):
    buffer = StreamBuffer(8)
    taken = []

    async def testbench(ctx):
        ctx.set(buffer.o.ready, 1)
        for cycle in range(20):
            bench.put(ctx, buffer.i, valid=1, payload=cycle)
            assert ctx.get(buffer.i.ready)
            if ctx.get(buffer.o.valid):
                taken.append((cycle, ctx.get(buffer.o.payload)))
            await ctx.tick()

    bench.run(buffer, testbench)
    assert taken == [(cycle, cycle - 1) for cycle in range(1, 20)]


def test_sides_do_not_see_each_other(bench):
    """`i.ready` and `o.valid` hold still for a cycle, whatever the other side does in it."""
    buffer = StreamBuffer(8)

    async def testbench(ctx):
        for _ in range(200):
            before = ctx.get(buffer.i.ready), ctx.get(buffer.o.valid)
            ctx.set(buffer.i.valid, int(bench.rng.integers(2)))
            ctx.set(buffer.o.ready, int(bench.rng.integers(2)))
            assert (ctx.get(buffer.i.ready), ctx.get(buffer.o.valid)) == before
            await ctx.tick()

    bench.run(buffer, testbench)


def test_reset_empties_it(bench):
    buffer = StreamBuffer(8)
    dut, reset = bench.resettable(buffer)

    async def testbench(ctx):
        bench.put(ctx, buffer.i, valid=1, payload=1)
        await bench.ticks(ctx, 3)
        assert not ctx.get(buffer.i.ready)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        ctx.set(buffer.i.valid, 0)
        assert ctx.get(buffer.i.ready)
        assert not ctx.get(buffer.o.valid)

    bench.run(dut, testbench)

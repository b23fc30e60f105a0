"""Two senders of packets, one after the other, from whom all words come in the order in which they were taken."""

import pytest
from celosia.hw.in_turn import InTurn


@pytest.mark.parametrize("lengths", [(3, 2), (1, 1), (2, 7)], ids=str)
def test_packets_in_order(bench, stalls, lengths):
    join = InTurn(32)
    packets = [(turn % 2, bench.rng.integers(0, 1 << 32, lengths[turn % 2]).tolist()) for turn in range(24)]
    received = []

    async def sender(ctx):
        for number, words in packets:
            await bench.send(ctx, (join.first, join.second)[number], words, bench.pauses(stalls))

    async def receiver(ctx):
        total = sum(len(words) for _, words in packets)
        received.extend(await bench.receive(ctx, join.o, total, bench.pauses(bench.rng.choice(["none", "random", "bursty"]))))

    bench.run(join, sender, receiver)
    assert received == [word for _, words in packets for word in words]


def test_the_first_need_not_wait(bench):
    """Where nothing is under way: a word that the second has given is not, once it has left."""
    join = InTurn(8)

    async def testbench(ctx):
        ctx.set(join.o.ready, 1)
        for _ in range(3):
            assert ctx.get(join.first.ready)
            await bench.send(ctx, join.second, [1], bench.pauses("none"))
            await bench.ticks(ctx, 4)

    bench.run(join, testbench)

"""The compact array: sums of products, result after result with nothing but the gap between them."""

from dataclasses import replace

import numpy as np
import pytest
from celosia.hw.compact.columns import Columns
from celosia.hw.presets import preset


@pytest.mark.parametrize("pauses", ["none", "random"])
def test_sums_of_products(bench, pauses):
    config = replace(preset("up5k"), name="columns")
    columns = Columns(config)
    rng = bench.rng
    results, expected = [], []
    extremes = [(-128, -128), (-128, 127), (127, 127)]

    async def feed(ctx):
        idle = bench.pauses(pauses)
        for number, length in enumerate([1, 1, 2, 7, 40, 300]):
            x = rng.integers(-128, 128, length)
            weights = rng.integers(-128, 128, (length, config.cols))
            if number < len(extremes):
                x[:], weights[:] = extremes[number]
            expected.append((x[:, None] * weights).sum(0).tolist())
            for at in range(length):
                while next(idle):
                    bench.put(ctx, columns, add=0, last=0, i_activation=int(rng.integers(-128, 128)))
                    await ctx.tick()
                bench.put(ctx, columns, add=1, last=at == length - 1, i_activation=int(x[at]))
                ctx.set(columns.i_weights, weights[at].tolist())
                await ctx.tick()
            bench.put(ctx, columns, add=0, last=0)
            await ctx.tick()
        await bench.ticks(ctx, Columns.LATENCY + 1)

    async def watch(ctx):
        since = None
        while True:
            if ctx.get(columns.o_valid):
                assert since == Columns.LATENCY
                results.append([ctx.get(value) for value in columns.o_sums])
            if ctx.get(columns.last):
                since = 0
            since = None if since is None else since + 1
            await ctx.tick()

    bench.run(columns, feed, background=[watch])
    np.testing.assert_array_equal(results, expected)

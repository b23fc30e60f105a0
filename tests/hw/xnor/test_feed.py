"""What feeds the XNOR array: turns in the walker's order, with their weights' addresses and their activations, in time."""

from dataclasses import replace

import numpy as np
import pytest
from celosia.hw.config import XNOR_TILES
from celosia.hw.isa import Operation
from celosia.hw.presets import preset
from celosia.hw.xnor.feed import XnorFeed

CONFIG = replace(preset("mini"), rows=8, cols=8, requant_lanes=8, xnor_pixels=2)
WORD_LATENCY = 6


@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize("gaps", [0.0, 0.4])
@pytest.mark.parametrize(("tiles", "chunks", "last_bytes"), [(2, 1, 3), (3, 2, 8), (XNOR_TILES, 3, 1)])
def test_turns(bench, tiles, chunks, last_bytes, gaps, serial):
    """Two layers, one behind the other; in a serial one the padding counts, and the lowest planes' turns correct."""
    rng, feed = bench.rng, XnorFeed(CONFIG, word_latency=WORD_LATENCY)
    passing = 1 + tiles // 3  # tiles of outputs
    turns, held = [], []  # (cycle, turn, address) as they come; what the array holds at each first turn
    expected, activations = [], []

    async def layer(ctx, now):
        operation = Operation.SERIAL if serial else Operation.XNOR
        layer = {"operation": operation, "chunks": tiles, "kernel_columns": chunks, "last_bytes": last_bytes}
        layer["operand"] = {"planes": {"tiles": passing}}
        ctx.set(feed.descriptor, layer)
        ctx.set(feed.start, 1)
        now = await step(ctx, now, None)
        ctx.set(feed.start, 0)
        now = await step(ctx, await step(ctx, now, None), None)
        for _ in range(3):
            for part in range(chunks):
                first, last = part == 0, part + 1 == chunks
                marks = int(rng.integers(8))
                words = rng.integers(0, 256, (CONFIG.xnor_pixels, CONFIG.rows))
                inside = rng.integers(0, 2, (CONFIG.xnor_pixels, CONFIG.rows))
                for tile in range(tiles):
                    while rng.random() < gaps:
                        now = await step(ctx, now, None)
                    address = int(rng.integers(CONFIG.weight_depth))
                    own = tile if tile < CONFIG.xnor_pixels else 0
                    given = {"word": words[own], "inside": inside[own]} if tile < CONFIG.xnor_pixels else None
                    flags = (int(first and tile == 0), int(last and tile + 1 == tiles), marks)
                    now = await step(ctx, now, (flags, address, given))
                    corrects = serial and tile < passing
                    ends = (tile + 1 == tiles, marks if last else None)
                    expected.append((tile == 0, first, last, tile, corrects, not serial, *ends, address))
                kept = np.where((np.arange(CONFIG.rows) < last_bytes) | (not last), inside | serial, 0)
                ones = (np.bitwise_count(words.astype(np.uint8)) * kept).sum(axis=1)
                bits = 8 * kept.sum(axis=1, dtype=int)
                begins = ((-bits // 2).tolist(), (ones.astype(int) - bits).tolist())
                activations.append((now - 1 + feed.latency_of(WORD_LATENCY), words.tolist(), kept.tolist(), *begins))
        return now

    staged = [None] * CONFIG.xnor_pixels
    addresses = {}

    async def step(ctx, now, given):
        flags, address, load = given or ((1, 1, 7), 0, None)
        ctx.set(feed.i_step.valid, given is not None)
        bench.put(ctx, feed.i_step, first=flags[0], last=flags[1])
        ctx.set(feed.i_step.marks.as_value(), flags[2])
        ctx.set(feed.i_address, address)
        noise = {"word": rng.integers(0, 256, CONFIG.rows), "inside": rng.integers(0, 2, CONFIG.rows)}
        ctx.set(feed.i_activations, (load or noise)["word"].tolist())
        ctx.set(feed.i_inside, int((load or noise)["inside"] @ (1 << np.arange(CONFIG.rows))))
        addresses[now] = ctx.get(feed.o_address)
        take = ctx.get(feed.o_load.take)
        for pixel in range(CONFIG.xnor_pixels):
            if take >> pixel & 1:
                bits = ctx.get(feed.o_load.inside)
                inside = [bits >> byte & 1 for byte in range(CONFIG.rows)]
                begins = (ctx.get(feed.o_load.plain), ctx.get(feed.o_load.corrected))
                staged[pixel] = (list(ctx.get(feed.o_load.word)), inside, *begins)
        turn = feed.o_turn
        if ctx.get(turn.valid):
            flags = [bool(ctx.get(getattr(turn, name))) for name in ("swap", "first", "last", "end")]
            marks = ctx.get(turn.marks.as_value())
            address = addresses[now + 2 - WORD_LATENCY]
            ends = (flags[3], marks if flags[2] else None)
            kinds = (bool(ctx.get(turn.corrects)), bool(ctx.get(turn.binary)))
            turns.append((*flags[:3], ctx.get(turn.tile), *kinds, *ends, address))
            if flags[0]:
                held.append((now, *([part[place] for part in staged] for place in range(4))))
        await ctx.tick()
        return now + 1

    async def testbench(ctx):
        now = 0
        for _ in range(2):
            now = await layer(ctx, now)
            for _ in range(XNOR_TILES + WORD_LATENCY + 2):
                now = await step(ctx, now, None)

    bench.run(feed, testbench)
    assert turns == expected
    assert held == activations

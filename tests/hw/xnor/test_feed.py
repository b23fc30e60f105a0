"""What feeds the XNOR array: turns in the walker's order, with their weights' addresses and their activations, in time."""

from dataclasses import replace

import numpy as np
import pytest
from celosia.hw.config import XNOR_TILES, preset
from celosia.hw.xnor.feed import XnorFeed

CONFIG = replace(preset("mini"), rows=8, cols=8, requant_lanes=8, xnor_pixels=2)
WORD_LATENCY = 6


@pytest.mark.parametrize("gaps", [0.0, 0.4])
@pytest.mark.parametrize(("tiles", "chunks", "last_bytes"), [(2, 1, 3), (3, 2, 8), (XNOR_TILES, 3, 1)])
def test_turns(bench, tiles, chunks, last_bytes, gaps):
    """Two layers, one behind the other."""
    rng, feed = bench.rng, XnorFeed(CONFIG, word_latency=WORD_LATENCY)
    turns, held = [], []  # (cycle, turn, address) as they come; what the array holds at each first turn
    expected, activations = [], []

    async def layer(ctx, now):
        ctx.set(feed.descriptor, {"chunks": tiles, "kernel_columns": chunks, "last_bytes": last_bytes})
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
                    expected.append((tile == 0, first, last, tile, tile + 1 == tiles, marks if last else None, address))
                kept = np.where((np.arange(CONFIG.rows) < last_bytes) | (not last), inside, 0)
                activations.append((now - 1 + feed.latency_of(WORD_LATENCY), words.tolist(), kept.tolist()))
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
                staged[pixel] = (list(ctx.get(feed.o_load.word)), [bits >> byte & 1 for byte in range(CONFIG.rows)])
        turn = feed.o_turn
        if ctx.get(turn.valid):
            flags = [bool(ctx.get(getattr(turn, name))) for name in ("swap", "first", "last", "end")]
            marks = ctx.get(turn.marks.as_value())
            address = addresses[now + 2 - WORD_LATENCY]
            turns.append((flags[0], flags[1], flags[2], ctx.get(turn.tile), flags[3], marks if flags[2] else None, address))
            if flags[0]:
                held.append((now, [word for word, _ in staged], [inside for _, inside in staged]))
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

"""The XNOR array against the golden model: random steps, gaps, bytes that do not count, thresholds, at the stated latency."""

from dataclasses import replace

import numpy as np
import pytest
from celosia.hw.config import XNOR_TILES
from celosia.hw.mac.cell import pack
from celosia.hw.presets import preset
from celosia.hw.xnor.array import LEAST_TILES, XnorArray
from celosia.sim import golden

EIGHT = replace(preset("mini"), rows=8, cols=8, requant_lanes=8, xnor_pixels=2)


def banks_word(first, second):
    """The bank's word whose two bytes are these; the packing's sign reaches into the second."""
    low = first - 256 * (first >> 7)
    return pack(low, second + (first >> 7))


def test_words_hold_two_bytes():
    for first in range(256):
        for second in (0, 1, 127, 128, 254, 255):
            word = banks_word(first, second)
            assert (word & 0xFF, word >> 10 & 0xFF) == (first, second)


@pytest.mark.parametrize(
    ("config", "tiles", "gaps"),
    [
        (EIGHT, LEAST_TILES, False),
        (EIGHT, 5, True),
        (replace(EIGHT, row_groups=3, xnor_pixels=4), 3, True),
        (replace(EIGHT, row_groups=3, xnor_pixels=4, adder_levels=2), 3, True),
        (replace(EIGHT, adder_levels=2), LEAST_TILES, False),
        (replace(EIGHT, xnor_pixels=1), XNOR_TILES, False),
    ],
)
def test_blocks(bench, config, tiles, gaps):
    """Blocks of 1 to 4 steps; every tile with weights of its own, every pixel with activations and padding of its own."""
    rng, rows, pairs, pixels = bench.rng, config.rows, config.pairs, config.xnor_pixels
    dut = XnorArray(config)
    assert XnorArray.latency_of(config) == pairs + (8 if config.adder_levels == 1 else 6)
    thresholds = rng.integers(-60, 60, (tiles, rows))
    turns, loads, expected, expected_sums = {}, {}, {}, {}
    cycle = tiles + max(tiles, pixels) + 2
    for _ in range(6):
        steps, binary = int(rng.integers(1, 5)), int(rng.integers(2))
        sums = np.repeat(binary * thresholds[:, np.newaxis], pixels, axis=1)
        for step in range(steps):
            activations = rng.integers(0, 256, (pixels, rows), dtype=np.uint8)
            inside = rng.random((pixels, rows)) < rng.choice([0.5, 1.0])
            weights = rng.integers(0, 256, (tiles, rows, rows), dtype=np.uint8)
            if rng.random() < 0.3:  # as many mismatches as can be
                inside[0], weights[:] = True, activations[0] ^ 0xFF
            if gaps:
                cycle += int(rng.integers(0, 4))
            for pixel in range(pixels):
                loads[cycle - pixels + 1 + pixel] = (1 << pixel, activations[pixel], inside[pixel])
            ones = (np.bitwise_count(activations) * inside).sum(axis=1, dtype=int)
            for tile in range(tiles):
                marks, corrects = int(rng.integers(8)), int(rng.integers(2))
                flags = (step == 0, step + 1 == steps, tile, tile + 1 == tiles, marks, corrects, binary)
                turns[cycle + tile] = (*flags, weights[tile])
                sums[tile] += corrects * (ones - 4 * inside.sum(axis=1))[:, np.newaxis]
                sums[tile] += golden.mismatches(activations[:, np.newaxis], weights[tile], inside[:, np.newaxis])
                sums[tile] -= 4 * inside.sum(axis=1)[:, np.newaxis]
                if step + 1 == steps:
                    if binary:
                        signs = (sums[tile] < 0).tolist()
                        expected[cycle + tile + dut.latency_of(config)] = (tile + 1 == tiles, marks, signs)
                    whole = (tile, tile + 1 == tiles, marks, sums[tile].tolist())
                    expected_sums[cycle + tile + dut.sums_latency_of(config)] = whole
            cycle += max(tiles, pixels)
    found, found_sums = {}, {}

    async def testbench(ctx):
        for now in range(cycle + dut.latency_of(config)):
            if now < tiles:
                ctx.set(dut.threshold, {"enable": (1 << rows) - 1, "tile": now, "values": thresholds[now].tolist()})
            else:
                ctx.set(dut.threshold.enable, 0)
            take, word, inside = loads.get(now, (0, rng.integers(0, 256, rows), rng.integers(0, 2, rows)))
            load = {"take": take, "word": word.tolist(), "inside": int(inside @ (1 << np.arange(rows)))}
            bits, ones = 8 * int(inside.sum()), int((np.bitwise_count(word.astype(np.uint8)) * inside).sum())
            ctx.set(dut.i_load, {**load, "plain": -bits // 2, "corrected": ones - bits})
            noise = (*rng.integers(0, 2, 2), 0, 1, int(rng.integers(8)), *rng.integers(0, 2, 2), None)
            first, last, tile, end, marks, corrects, binary, _ = turns.get(now, noise)
            ctx.set(dut.i_turn.valid, now in turns)
            bench.put(ctx, dut.i_turn, swap=int(tile == 0), first=int(first), last=int(last), tile=tile, end=int(end))
            bench.put(ctx, dut.i_turn, corrects=int(corrects), binary=int(binary))
            ctx.set(dut.i_turn.marks.as_value(), marks)
            for column in range(pairs):
                weights = turns.get(now - column - 2, [None])[-1]
                if weights is None:
                    weights = rng.integers(0, 256, (rows, rows))
                for row in range(rows):
                    word = banks_word(int(weights[row, 2 * column]), int(weights[row, 2 * column + 1]))
                    ctx.set(dut.i_words[row][column], word)
            if ctx.get(dut.o.valid):
                bits = [[ctx.get(dut.o.bits[pixel]) >> row & 1 for row in range(rows)] for pixel in range(pixels)]
                signs = [[bool(bit) for bit in pixel] for pixel in bits]
                found[now] = (bool(ctx.get(dut.o.end)), ctx.get(dut.o.marks.as_value()), signs)
            assert len({ctx.get(way.as_value()) for way in dut.o_ways}) == 1
            way = dut.o_ways[0]
            if ctx.get(way.valid) and ctx.get(way.last):
                sums = [[ctx.get(value) for value in dut.o_sums[pixel]] for pixel in range(pixels)]
                found_sums[now] = (ctx.get(way.tile), ctx.get(way.end), ctx.get(dut.o_marks.as_value()), sums)
            await ctx.tick()

    bench.run(dut, testbench)
    assert found == expected
    assert found_sums == expected_sums
    assert len({bit for results in expected.values() for row in results[-1] for bit in row}) == 2

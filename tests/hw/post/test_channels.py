"""Channel parameters: what was loaded comes out tile by tile, and in time for the first and the fastest results."""

from dataclasses import replace

import pytest
from celosia.hw.config import ACCUMULATOR_BITS, XNOR_TILES
from celosia.hw.mac.array import SystolicArray
from celosia.hw.memory.walker import WindowWalker
from celosia.hw.post.channels import ChannelParameters
from celosia.hw.post.partial import PartialSums
from celosia.hw.post.vector import VectorUnit
from celosia.hw.presets import preset

ENTRIES = 6

TO_LANES = 1 + WindowWalker.LATENCY + PartialSums.LATENCY + 1
"""Cycles from the launch of a layer to the first beat at the requantizers, the engine's latency aside."""


def config_of(rows, lanes):
    return replace(preset("mini"), rows=rows, cols=rows, requant_lanes=lanes, tile_depth=ENTRIES)


def accepted(rows, lanes):
    try:
        return bool(config_of(rows, lanes))
    except ValueError:
        return False


SHAPES = [(rows, lanes) for rows in (4, 8, 16) for lanes in (1, 2, 4, 8, 16) if accepted(rows, lanes)]
"""Every shape that `FabricConfig` lets pass must be fast enough."""


def random_channels(rng, count):
    """Words as they are loaded, and as they come out; noise above the width of each field must not matter."""
    words, channels = [], []
    for _ in range(count):
        shift, bias = int(rng.integers(-31, 8)), int(rng.integers(-(2 ** (ACCUMULATOR_BITS - 1)), 2 ** (ACCUMULATOR_BITS - 1)))
        multiplier = int(rng.integers(2**31))
        words += [shift & 0xFFFFFFFF, bias & 0xFFFFFFFF, multiplier]
        channels.append((bias, multiplier, shift))
    return words, channels


def as_channels(values):
    return [(value.bias, value.multiplier, value.shift) for value in values]


async def load(bench, ctx, unit, config, entry, words, stalls):
    ctx.set(unit.load_at, 1)
    ctx.set(unit.load_entry, entry)
    await ctx.tick()
    ctx.set(unit.load_at, 0)
    await bench.send(ctx, unit.i, words, bench.pauses(stalls))
    await bench.ticks(ctx, unit.load_latency_of(config))


@pytest.mark.parametrize(("rows", "lanes"), SHAPES)
def test_tiles_come_in_time(bench, rows, lanes):
    """A layer whose results follow as fast as any can: the vector unit's first beat, the array's first tiles of one step."""
    config = config_of(rows, lanes)
    unit = ChannelParameters(config)
    words, channels = random_channels(bench.rng, ENTRIES * rows)
    expected = [channels[tile * rows : (tile + 1) * rows] for tile in range(ENTRIES)]
    first_beat = TO_LANES + VectorUnit.LATENCY
    first_tile_end = TO_LANES + SystolicArray.latency_of(config) + config.beats - 1

    async def testbench(ctx):
        await load(bench, ctx, unit, config, 0, words, "none")
        for entry in (0, ENTRIES - 2, 1, 0):
            ctx.set(unit.entry, entry)
            ctx.set(unit.start, 1)
            await ctx.tick()
            ctx.set(unit.start, 0)
            await bench.ticks(ctx, first_beat - 1)
            assert as_channels(ctx.get(unit.o)) == expected[entry], "late for the first beat of the vector unit"
            await bench.ticks(ctx, first_tile_end - first_beat)
            for tile in range(entry, ENTRIES - 1):
                assert as_channels(ctx.get(unit.o)) == expected[tile]
                ctx.set(unit.advance, 1)
                await ctx.tick()
                ctx.set(unit.advance, 0)
                await bench.ticks(ctx, unit.ADVANCE_LATENCY - 2)
                assert as_channels(ctx.get(unit.o)) == expected[tile], "too early"
                await ctx.tick()
                assert as_channels(ctx.get(unit.o)) == expected[tile + 1], f"late for tile {tile + 1 - entry}"
                await bench.ticks(ctx, config.tile_cycles - unit.ADVANCE_LATENCY)

    bench.run(unit, testbench)


@pytest.mark.parametrize(("rows", "lanes"), [(4, 1), (4, 2), (4, 4), (8, 4)])
def test_entries_load_with_stalls(bench, stalls, rows, lanes):
    """Entries load in any order, in pieces and over old ones; a load that is cut off leaves no trace in the next one."""
    config = config_of(rows, lanes)
    unit = ChannelParameters(config)
    expected = {}

    async def testbench(ctx):
        for first, count, cut in ((2, 2, 0), (0, 1, 0), (3, 3, 4), (3, 3, 0), (1, 1, 0)):
            words, channels = random_channels(bench.rng, count * rows)
            await load(bench, ctx, unit, config, first, words[: cut or None], stalls)
            expected.update({first + tile: channels[tile * rows : (tile + 1) * rows] for tile in range(count)})
        for entry in bench.rng.permutation(ENTRIES):
            ctx.set(unit.entry, int(entry))
            ctx.set(unit.start, 1)
            await ctx.tick()
            ctx.set(unit.start, 0)
            await bench.ticks(ctx, 2 * rows + 8)
            assert as_channels(ctx.get(unit.o)) == expected[int(entry)]

    bench.run(unit, testbench)


def test_a_layer_may_start_while_the_next_tile_is_fetched(bench):
    """Whatever is on its way for the last layer, `start` begins anew."""
    config = config_of(4, 1)
    unit = ChannelParameters(config)
    words, channels = random_channels(bench.rng, ENTRIES * 4)

    async def testbench(ctx):
        await load(bench, ctx, unit, config, 0, words, "none")
        for since in range(1, 30):
            for entry, wait in ((4, since), (1, TO_LANES + VectorUnit.LATENCY)):
                ctx.set(unit.entry, entry)
                ctx.set(unit.start, 1)
                await ctx.tick()
                ctx.set(unit.start, 0)
                await bench.ticks(ctx, wait)
            assert as_channels(ctx.get(unit.o)) == channels[4:8]

    bench.run(unit, testbench)


@pytest.mark.parametrize(("rows", "lanes"), [(8, 8), (16, 8)])
def test_a_scan_gives_biases(bench, rows, lanes):
    """Those of all entries from one on, at the stated latency, and tiles again behind it."""
    config = replace(config_of(rows, lanes), xnor_pixels=1)
    unit = ChannelParameters(config)
    words, channels = random_channels(bench.rng, ENTRIES * rows)

    async def testbench(ctx):
        await load(bench, ctx, unit, config, 0, words, "none")
        for entry in (2, 0):
            bench.put(ctx, unit, start=1, scan=1, entry=entry)
            await ctx.tick()
            bench.put(ctx, unit, start=0, scan=0)
            found = []
            for cycle in range((ENTRIES - entry) * config.beats + unit.SCAN_LATENCY - 1):
                assert ctx.get(unit.scanned) == (cycle >= unit.SCAN_LATENCY - 1)
                if ctx.get(unit.scanned):
                    found += list(ctx.get(unit.o_biases))
                await ctx.tick()
            assert found == [bias for bias, _, _ in channels[entry * rows :]]
        # It ends by itself, so that none of it meets the next layer.
        await bench.ticks(ctx, XNOR_TILES * config.beats)
        assert not ctx.get(unit.scanned)
        bench.put(ctx, unit, start=1, entry=1)
        await ctx.tick()
        ctx.set(unit.start, 0)
        await bench.ticks(ctx, config.tile_cycles + 4)
        assert not ctx.get(unit.scanned)
        assert as_channels(ctx.get(unit.o)) == channels[rows : 2 * rows]

    bench.run(unit, testbench)


@pytest.mark.parametrize("cycle", [2, 3, 5])
def test_entries_in_turn(bench, cycle):
    """The first ones again and again, as close together as may be; then a layer that goes on to the end."""
    config = replace(config_of(8, 8), xnor_pixels=4)
    unit = ChannelParameters(config)
    words, channels = random_channels(bench.rng, ENTRIES * 8)
    expected = [channels[tile * 8 : (tile + 1) * 8] for tile in range(ENTRIES)]

    async def testbench(ctx):
        await load(bench, ctx, unit, config, 0, words, "none")
        for entry, count in ((1, cycle), (0, 0), (0, cycle)):
            bench.put(ctx, unit, start=1, entry=entry, cycle=count)
            await ctx.tick()
            ctx.set(unit.start, 0)
            await bench.ticks(ctx, TO_LANES)
            for tile in range(2 * cycle + 1 if count else ENTRIES - entry):
                assert as_channels(ctx.get(unit.o)) == expected[entry + (tile % count if count else tile)], tile
                ctx.set(unit.advance, 1)
                await ctx.tick()
                ctx.set(unit.advance, 0)
                await bench.ticks(ctx, config.tile_cycles - 1)

    bench.run(unit, testbench)

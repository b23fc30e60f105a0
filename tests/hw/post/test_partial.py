"""Partial sums: a reduction in pieces gives the sums of the whole."""

from dataclasses import replace

import numpy as np
import pytest
from celosia.hw.engine import Marks
from celosia.hw.post.partial import PartialSums
from celosia.hw.presets import preset

CONFIG = replace(preset("mini"), name="partial", partial_depth=16)
DOUBLE = replace(CONFIG, widest_bits=16)


HALF = 2 ** (CONFIG.accumulator_bits - 1)


def wrap(value, bits=CONFIG.total_bits):
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def run_pieces(bench, pieces, gap, config=CONFIG, scaled=()):
    """Runs (add, keep, sums) one after another, those in `scaled` with `scale`; returns what came out of each and whether
    `kept` was seen."""
    unit = PartialSums(config)
    outputs = []

    async def testbench(ctx):
        for index, (add, keep, sums) in enumerate(pieces):
            ctx.set(unit.add, add)
            ctx.set(unit.scale, index in scaled)
            ctx.set(unit.keep, keep)
            ctx.set(unit.start, 1)
            await ctx.tick()
            ctx.set(unit.start, 0)
            due, seen, kept, given = {}, {}, [], []
            cycle = 0
            while len(given) < len(sums) or cycle <= max(due) + 3:
                take = len(given) < len(sums) and bench.rng.random() >= gap
                ctx.set(unit.i.valid, take)
                if take:
                    marks = int(bench.rng.integers(4)) + 4 * (len(given) == len(sums) - 1)
                    ctx.set(unit.i.marks, Marks.from_bits(marks))
                    ctx.set(unit.i.sums, sums[len(given)].tolist())
                    due[cycle + unit.LATENCY] = marks
                    given.append(cycle)
                if ctx.get(unit.o.valid):
                    seen[cycle] = (ctx.get(unit.o.marks.as_value()), list(ctx.get(unit.o.sums)))
                if ctx.get(unit.kept):
                    kept.append(cycle)
                await ctx.tick()
                cycle += 1
            assert kept == ([max(due)] if keep else [])
            assert {at: marks for at, (marks, _) in seen.items()} == ({} if keep else due)
            outputs.append([values for _, values in seen.values()])

    bench.run(unit, testbench)
    return outputs


@pytest.mark.parametrize("gap", [0.0, 0.6])
@pytest.mark.parametrize("depth", [1, 7, 16])
def test_pieces_add_up(bench, gap, depth):
    """Three layers of one to four pieces, one after another; the last piece of each hands the totals on."""
    layers = [[bench.rng.integers(-HALF, HALF, (depth, CONFIG.cols)) for _ in range(count)] for count in (3, 1, 2, 4)]
    pieces = [(index > 0, index + 1 < len(layer), sums) for layer in layers for index, sums in enumerate(layer)]
    outputs = run_pieces(bench, pieces, gap)
    finished = [values for (_, keep, _), values in zip(pieces, outputs, strict=True) if not keep]
    for layer, values in zip(layers, finished, strict=True):
        np.testing.assert_array_equal(values, wrap(sum(layer)))


@pytest.mark.parametrize("gap", [0.0, 0.6])
def test_upper_bytes_first(bench, gap):
    """Layers whose sums of upper bytes, in one or two pieces, count 256 times those of lower bytes."""
    layers = [[bench.rng.integers(-HALF, HALF, (16, DOUBLE.cols)) for _ in range(count)] for count in (2, 3, 4, 2)]
    pieces = [(index > 0, index + 1 < len(layer), sums) for layer in layers for index, sums in enumerate(layer)]
    scaled, expected, place = set(), [], 0
    for layer in layers:
        last_upper = (len(layer) - 1) // 2  # the piece whose totals are kept times 2**8
        scaled.add(place + last_upper)
        upper, lower = sum(layer[: last_upper + 1]), sum(layer[last_upper + 1 :])
        expected.append(wrap(256 * upper + lower, DOUBLE.total_bits))
        place += len(layer)
    outputs = run_pieces(bench, pieces, gap, DOUBLE, scaled)
    finished = [values for (_, keep, _), values in zip(pieces, outputs, strict=True) if not keep]
    for values, wanted in zip(finished, expected, strict=True):
        np.testing.assert_array_equal(values, wanted)

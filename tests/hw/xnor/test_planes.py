"""Sums of planes against the products of the numbers whose planes they are."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from celosia.hw.isa import Operation
from celosia.hw.presets import preset
from celosia.hw.xnor.planes import WEIGHT_PLANES, PlaneSums, offset

CONFIG = replace(preset("mini"), rows=8, cols=8, requant_lanes=8, xnor_pixels=4)
DEPTH = 40


def bits_of(numbers, planes):
    """-1 and +1 of each bit, the lowest plane first."""
    return [np.where(numbers >> plane & 1, 1, -1) for plane in range(planes)]


def plane_sums(activations, weights, planes, weight_planes):
    """What the array makes of a pixel: [weights' plane][activations' plane][output]."""
    x = bits_of(activations, planes)
    w = bits_of(weights + (1 << (weight_planes - 1)), weight_planes)
    sums = np.array([[-(weight @ bits) // 2 for bits in x] for weight in w])
    sums[0] += np.array([bits.sum() // 2 for bits in x])[:, np.newaxis]
    return sums


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(
    ("planes", "weight_planes", "tiles", "pixels", "turns"),
    [
        (2, 2, 1, 1, 2),
        (2, 2, 2, 1, 4),
        (2, 2, 4, 2, 8),
        (2, 4, 1, 2, 4),
        (2, 4, 2, 2, 8),
        (4, 2, 1, 1, 4),
        (4, 2, 3, 1, 6),
        (4, 4, 1, 1, 4),
        (2, 3, 1, 2, 4),
        (4, WEIGHT_PLANES, 1, 1, WEIGHT_PLANES),
    ],
)
def test_blocks(bench, planes, weight_planes, tiles, pixels, turns, gaps):
    """Rows of blocks, close together or apart, whose last ones have fewer pixels, at the stated latency; two layers."""
    rng, dut = bench.rng, PlaneSums(CONFIG)
    each = dut.cycles_of(planes, weight_planes)
    cycles = dut.cycles_of(planes, weight_planes, tiles=tiles, pixels=pixels)
    descriptor = {
        "operation": Operation.SERIAL,
        "operand": {"planes": {"read_planes": planes, "weight_planes": weight_planes, "tiles": tiles}},
        "pixels": pixels,
        "last_pixels": max(pixels - 1, 1),
    }
    last = 1 << (weight_planes - 1)
    starts, blocks, expected = [], {}, {}
    now = 4
    for _ in range(2):
        starts.append(now)
        now += 3
        for block in range(5):
            row_end = block in (2, 4)
            marks = row_end | int(rng.integers(4)) << 1
            weights = rng.integers(-last, last, (tiles, CONFIG.rows, DEPTH))
            weights[:, 0], weights[:, 1] = -last, last - 1
            count = descriptor["last_pixels"] if row_end else pixels
            values = rng.integers(0, 1 << planes, (pixels, DEPTH))
            values[0] = rng.choice([0, (1 << planes) - 1]) if block % 2 else values[0]
            sums = np.zeros((turns, CONFIG.xnor_pixels, CONFIG.rows), int)
            sums[:] = rng.integers(-99, 99, sums.shape)
            for tile, (pixel, activations) in product(range(tiles), enumerate(values)):
                place = slice(pixel * planes, (pixel + 1) * planes)
                own = plane_sums(activations, weights[tile], planes, weight_planes)
                sums[tile : weight_planes * tiles : tiles, place] = own
            for turn in range(turns):
                blocks[now + turn] = (sums[turn].tolist(), turn, turn + 1 == turns, marks)
            at = now + turns - 1 + dut.LATENCY
            for tile, pixel in np.ndindex(tiles, count):
                at += each + (tile > 0 and pixel == 0)
                lacking = np.array([offset(planes, int(total)) for total in weights[tile].sum(axis=1)])
                products = weights[tile] @ values[pixel] - lacking
                ends = marks if (tile, pixel) == (tiles - 1, count - 1) else 0
                expected[at] = (ends | (pixel + 1 == count and tiles > 1) << 1, products.tolist())
            now += max(turns, cycles) + (int(rng.integers(0, 9)) if gaps else 0)
        now += cycles + turns
    found = {}

    async def testbench(ctx):
        ctx.set(dut.descriptor, descriptor)
        for cycle in range(now + 20):
            ctx.set(dut.start, cycle in starts)
            sums, tile, end, marks = blocks.get(cycle, (rng.integers(-99, 99, (4, 8)).tolist(), 1, 1, 7))
            valid = cycle in blocks
            ctx.set(dut.i_marks.as_value(), marks)
            # Between the last turns, others pass by.
            for row in range(CONFIG.rows):
                turn = {"valid": int(valid or cycle % 3 == 0), "last": int(valid), "tile": tile, "end": int(end)}
                bench.put(ctx, dut.i_ways[row], **turn)
                for place in range(CONFIG.xnor_pixels):
                    ctx.set(dut.i_sums[place][row], sums[place][row])
            if ctx.get(dut.o.valid):
                found[cycle] = (ctx.get(dut.o.marks.as_value()), [ctx.get(value) for value in dut.o.sums])
            await ctx.tick()

    bench.run(dut, testbench)
    assert found == expected


def test_binary_layers_give_nothing(bench):
    """The array's sums of a layer that is not SERIAL."""
    dut = PlaneSums(CONFIG)
    given = []

    async def testbench(ctx):
        ctx.set(dut.descriptor, {"operation": Operation.XNOR, "pixels": 2, "last_pixels": 2})
        for cycle in range(60):
            for turn in dut.i_ways:
                bench.put(ctx, turn, valid=1, last=1, end=cycle % 2)
            given.append(ctx.get(dut.o.valid))
            await ctx.tick()

    bench.run(dut, testbench)
    assert not any(given)

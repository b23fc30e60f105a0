"""The compact fabric's requantizer against the golden model: every byte, where it goes, and when it comes."""

from dataclasses import replace

import numpy as np
import pytest
from celosia.hw.compact.requantize import SerialRequantizer
from celosia.hw.config import LARGEST_SUM
from celosia.hw.presets import preset
from celosia.sim.golden.requantize import requantize, requantize_once

CONFIG = replace(preset("up5k"), tile_depth=8)
COLS = CONFIG.cols


def run(bench, descriptor, table, results, gap):
    """Bytes by address, in the order in which they come; `results` are (sums, marks, last tile), `table` rows are channels."""
    unit = SerialRequantizer(CONFIG)
    assert gap >= unit.cycles_of(CONFIG)
    given, done = [], []

    async def testbench(ctx):
        ctx.set(unit.descriptor, descriptor)
        bench.put(ctx, unit, load_at=1, load_entry=descriptor["tile_base"])
        await ctx.tick()
        ctx.set(unit.load_at, 0)
        await bench.send(ctx, unit.channels, [int(word) & 0xFFFFFFFF for row in table for word in row], bench.pauses("random"))
        ctx.set(unit.start, 1)
        await ctx.tick()
        ctx.set(unit.start, 0)
        for cycle in range(gap * len(results) + 8):
            index, rest = divmod(cycle, gap)
            valid = rest == 0 and index < len(results)
            sums, marks, last_tile = results[index] if valid else (bench.rng.integers(-1000, 1000, COLS), 0, 0)
            bench.put(ctx, unit, i_valid=int(valid), i_sums=[int(total) for total in sums], i_last_tile=last_tile)
            ctx.set(unit.i_marks.as_value(), marks)
            if ctx.get(unit.write):
                given.append((ctx.get(unit.address), ctx.get(unit.byte)))
            if ctx.get(unit.done):
                done.append(cycle)
            await ctx.tick()

    bench.run(unit, testbench)
    last = gap * (len(results) - 1) + unit.cycles_of(CONFIG) - 3
    assert done == [last + unit.DONE_LATENCY - 1], "done at another time than the class says"
    return given


@pytest.mark.parametrize("mode", ["plain", "once", "average"])
@pytest.mark.parametrize("gap", [16, 23])
def test_bytes_and_addresses(bench, mode, gap):
    rng = bench.rng
    rows, columns, tiles, last_lanes = 3, 4, 3, 2
    channels = (tiles - 1) * COLS + last_lanes
    zero_point, low, high = (0, -90, 100) if mode == "average" else (-7, -128, 120)
    if mode == "average":
        count = 9
        entry = [-3, count // 2, -(-(1 << 34) // count)]
        table = np.array([entry] * COLS)
        sums = rng.integers(-128 * count, 127 * count + 1, (tiles, rows, columns, COLS))
    else:
        multipliers = rng.integers(1 << 30, 1 << 31, tiles * COLS)
        table = np.stack(
            [rng.choice([-20, -12, -9, -1, 0, 1, 7], tiles * COLS), rng.integers(-9999, 9999, tiles * COLS), multipliers], 1
        )
        scale = 2.0 ** (7 - table[:, 0])
        sums = np.clip(rng.uniform(-1.2, 1.2, (rows, columns, tiles * COLS)) * scale, -LARGEST_SUM // 2, LARGEST_SUM // 2)
        sums = sums.astype(np.int64).reshape(rows, columns, tiles, COLS).transpose(2, 0, 1, 3) - table[:, 1].reshape(
            tiles, 1, 1, COLS
        )
    results = []
    for tile in range(tiles):
        for row in range(rows):
            for column in range(columns):
                row_end = column == columns - 1
                tile_end = row_end and row == rows - 1
                marks = row_end | tile_end << 1 | (tile_end and tile == tiles - 1) << 2
                results.append((sums[tile, row, column], marks, int(tile == tiles - 1)))
    descriptor = {
        "tile_base": 2,
        "write_address": 1001,
        "write_column_stride": channels,
        "write_row_stride": 100,
        "last_lanes": last_lanes,
        "zero_point": zero_point,
        "low": low,
        "high": high,
        "average": mode == "average",
        "repeat": mode == "average",
        "round_once": mode == "once",
    }
    given = run(bench, descriptor, table, results, gap)

    expected = []
    for tile in range(tiles):
        for row in range(rows):
            for column in range(columns):
                for lane in range(last_lanes if tile == tiles - 1 else COLS):
                    channel = 0 if mode == "average" else tile * COLS + lane
                    total = int(sums[tile, row, column, lane])
                    shift, bias, multiplier = (int(value) for value in table[channel])
                    if mode == "average":
                        magnitude = (abs(total) + count // 2) // count
                        value = int(np.clip(magnitude if total >= 0 else -magnitude, low, high))
                    else:
                        golden = requantize_once if mode == "once" else requantize
                        value = int(
                            golden(np.array([total + bias]), np.array([multiplier]), np.array([shift]), zero_point, low, high)[
                                0
                            ]
                        )
                    expected.append((1001 + row * 100 + column * channels + tile * COLS + lane, value))
    assert given == expected
    assert len({value for _, value in expected}) > 20


def test_roundings_at_ties_and_extremes(bench):
    """Halves of either sign, the largest sums, every shift."""
    shifts = [shift for shift in range(-31, 8) for _ in range(8)]
    table = np.array([[0, 0, 0]] * COLS)
    for begin in range(0, len(shifts), 4 * COLS):
        part = shifts[begin : begin + 4 * COLS]
        part += [0] * (-len(part) % COLS)
        multiplier = int(bench.rng.choice([1 << 30, (1 << 31) - 1, 3 << 29]))
        tiles = len(part) // COLS
        table = np.array([[shift, int(bench.rng.integers(-3, 4)), multiplier] for shift in part])
        sums = []
        for index, (shift, bias, _) in enumerate(table.tolist()):
            unit = max(1, 2 ** min(-shift, 24))
            total = [unit * 3, -unit, unit // 2 * 3, -unit // 2 * 3, LARGEST_SUM, -LARGEST_SUM, unit * 5 + 1, -unit * 5 - 1][
                index % 8
            ]
            # Further than this a shift to the left leaves 32 bits: the compiler refuses such layers.
            limit = min(LARGEST_SUM, ((1 << 31) - 1) >> max(shift, 0))
            sums.append(int(np.clip(total, -limit, limit)) - bias)
        results = [
            (sums[tile * COLS : (tile + 1) * COLS], 3 | (tile == tiles - 1) << 2, int(tile == tiles - 1))
            for tile in range(tiles)
        ]
        fields = {"last_lanes": COLS, "low": -128, "high": 127, "write_column_stride": COLS, "tile_base": 0}
        for once, golden in ((0, requantize), (1, requantize_once)):
            given = run(bench, fields | {"round_once": once}, table, results, 16)
            expected = golden(np.array(sums) + table[:, 1], table[:, 2], table[:, 0], 0, -128, 127)
            assert [value for _, value in given] == expected.tolist()

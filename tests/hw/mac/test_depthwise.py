"""The depthwise unit against a plain 3x3 window, and its pace against what takes its results."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module
from celosia.hw.isa import Operation
from celosia.hw.mac.depthwise import DepthwiseUnit
from celosia.hw.mac.depthwise_lane import KERNEL
from celosia.hw.memory.walker import WindowWalker
from celosia.hw.presets import preset

MINI = replace(preset("mini"), depthwise_tiles=8, line_depth=16)
CONFIGS = {
    "beats 1": replace(MINI, requant_lanes=4),
    "beats 2": MINI,
    "beats 4": replace(MINI, requant_lanes=1),
    "8 columns": replace(MINI, rows=8, cols=8, requant_lanes=4),
}


def least_map(config):
    """Words of the smallest map that the compiler gives the unit."""
    return max(DepthwiseUnit.FETCH_CYCLES, config.tile_cycles)


def draw(rng, config, **fixed):
    """A layer: its descriptor's fields, map (tiles, height, width, cols) and weights (tiles, 3, 3, cols)."""
    height, width = int(rng.integers(1, 7)), int(rng.integers(KERNEL, 9))
    if height * width < least_map(config):
        height += 3
    stride = int(rng.integers(1, 4))
    tiles = int(rng.integers(1, 4))
    fields = {
        "operation": Operation.DEPTHWISE,
        "tiles": tiles,
        "output_rows": height,
        "output_columns": width,
        "pad_value": int(rng.integers(-128, 128)),
        "wide": int(rng.integers(2)),
        "weight_base": int(rng.integers(config.depthwise_tiles - tiles + 1)),
        "window_stride": stride,
        "window_row": int(rng.integers(min(2, height))),
        "window_column": int(rng.integers(2)),
        **fixed,
    }
    for axis, extent in (("row", fields["output_rows"]), ("column", fields["output_columns"])):
        fits = (extent - 1 - fields[f"window_{axis}"]) // fields["window_stride"] + 1
        fields.setdefault(f"window_{axis}s", int(rng.integers(1, fits + 1)) if rng.random() < 0.3 else fits)
    shape = (fields["tiles"], fields["output_rows"], fields["output_columns"], config.cols)
    return fields, rng.integers(-128, 128, shape), rng.integers(-128, 128, (fields["tiles"], KERNEL, KERNEL, config.cols))


def expected_results(fields, image, weights):
    """[(row_end, tile_end, layer_end, sums)] by the window's definition."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=fields["pad_value"])
    results = []
    rows, columns, stride = fields["window_rows"], fields["window_columns"], fields["window_stride"]
    for tile in range(len(image)):
        for row in range(rows):
            for column in range(columns):
                y, x = fields["window_row"] + row * stride, fields["window_column"] + column * stride
                window = padded[tile, y : y + KERNEL, x : x + KERNEL]
                row_end = column + 1 == columns
                tile_end = row_end and row + 1 == rows
                sums = (window * weights[tile]).sum(axis=(0, 1)).tolist()
                results.append((row_end, tile_end, tile_end and tile + 1 == len(image), sums))
    return results


class Rig:
    """A unit behind the real walker, which paces it; the words that the walker asks for come from the map."""

    def __init__(self, bench, config):
        self.bench, self.config = bench, config
        self.unit, self.walker = DepthwiseUnit(config), WindowWalker(config)
        self.dut = m = Module()
        m.submodules.unit, m.submodules.walker = self.unit, self.walker
        m.d.comb += [
            self.unit.i_step.eq(self.walker.o_ahead),
            self.unit.descriptor.eq(self.walker.descriptor),
            self.unit.start.eq(self.walker.start),
        ]

    async def load(self, ctx, entry, weights, stalls):
        self.bench.put(ctx, self.unit, load_at=1, load_entry=entry)
        await ctx.tick()
        ctx.set(self.unit.load_at, 0)
        octets = weights.astype(np.int8).tobytes()
        words = [int.from_bytes(octets[at : at + 4], "little") for at in range(0, len(octets), 4)]
        await self.bench.send(ctx, self.unit.i, words, self.bench.pauses(stalls))
        await self.bench.ticks(ctx, self.unit.load_latency_of(self.config))

    async def layer(self, ctx, fields, image, stalls, *, rest=None):
        """[(cycle since the start, row_end, tile_end, layer_end, sums)] of a layer, and the cycles of its steps.

        Ends `rest` cycles behind the last step, or when the unit is surely at rest.
        """
        unit, walker = self.unit, self.walker
        walk = {"chunks": 1, "kernel_rows": 1, "kernel_columns": 1, "row_limit": 1, "column_limit": 1}
        ctx.set(walker.descriptor, {**walk, **fields})
        ctx.set(walker.start, 1)
        await ctx.tick()
        ctx.set(walker.start, 0)
        words = iter(image.reshape(-1, self.config.cols).tolist())
        pauses = self.bench.pauses(stalls)
        results, steps = [], []
        cycle = 1
        quiet = 0
        comes = [False] * unit.STEP_LEAD
        while quiet < (20 * self.config.beats + 20 * KERNEL if rest is None else rest):
            ctx.set(walker.weight_ready, not next(pauses))
            if comes.pop(0):
                ctx.set(unit.i_activations, next(words))
                steps.append(cycle)
            else:
                ctx.set(unit.i_activations, self.bench.rng.integers(-128, 128, self.config.cols).tolist())
            comes.append(ctx.get(unit.i_step.valid))
            if ctx.get(unit.o.valid):
                marks = ctx.get(unit.o.marks)
                results.append((cycle, marks.row_end, marks.tile_end, marks.layer_end, list(ctx.get(unit.o.sums))))
            quiet = 0 if ctx.get(walker.active) else quiet + 1
            cycle += 1
            await ctx.tick()
        return results, steps


def check(config, fields, image, weights, results):
    assert [result[1:] for result in results] == expected_results(fields, image, weights), fields
    # What follows takes a result every `beats` or `2 * beats` cycles. At the end of a tile it has the next one's channel
    # parameters, if it got `tile_cycles` since the last end; behind the last tile there is none.
    gaps = np.diff([result[0] for result in results])
    least = config.result_pace(wide=fields["wide"])
    assert min(gaps, default=least) >= least, f"results {min(gaps)} cycles apart: {fields}"
    gaps = np.diff([result[0] for result in results if result[2]])[:-1]
    assert min(gaps, default=config.tile_cycles) >= config.tile_cycles, f"tiles {min(gaps)} cycles apart: {fields}"


@pytest.mark.parametrize("name", CONFIGS)
def test_layers(bench, stalls, name):
    """Random maps, strides and windows, one layer after another."""
    config = CONFIGS[name]
    rig = Rig(bench, config)
    cases = []

    async def testbench(ctx):
        for _ in range(25):
            fields, image, weights = draw(bench.rng, config)
            await rig.load(ctx, fields["weight_base"], weights, stalls)
            results, _ = await rig.layer(ctx, fields, image, stalls)
            cases.append((fields, image, weights, results))

    bench.run(rig.dut, testbench)
    for case in cases:
        check(config, *case)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_tiles_of_small_maps_follow_closely(bench, name, stride):
    """Tiles of the smallest maps, whose last and first centres are a step apart where a stride ends at the edge."""
    config = CONFIGS[name]
    rig = Rig(bench, config)
    cases = []

    async def testbench(ctx):
        for height, width in ((1, 6), (2, 3), (1, 8), (2, 4), (3, 3), (1, 9), (5, 5)):
            if height * width < least_map(config):
                continue
            fields, image, weights = draw(
                bench.rng,
                config,
                tiles=4,
                output_rows=height,
                output_columns=width,
                window_stride=stride,
                window_row=0,
                window_column=0,
                window_rows=(height - 1) // stride + 1,
                window_columns=(width - 1) // stride + 1,
                weight_base=0,
            )
            await rig.load(ctx, 0, weights, "none")
            for _ in range(2):
                results, _ = await rig.layer(ctx, fields, image, "none")
                cases.append((fields, image, weights, results))

    bench.run(rig.dut, testbench)
    for case in cases:
        check(config, *case)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_start_ends_what_pushes_the_last_centres_out(bench, name):
    """Where a layer has its last result early, the next may start in any cycle behind its last step."""
    config = CONFIGS[name]
    rig = Rig(bench, config)
    shape = {
        "tiles": 1,
        "output_rows": 4,
        "output_columns": 5,
        "weight_base": 0,
        "window_row": 0,
        "window_column": 0,
        "wide": 0,
    }
    cases = []

    async def testbench(ctx):
        for rest in range(WindowWalker.LATENCY + 2, WindowWalker.LATENCY + 8 * config.result_pace(wide=False)):
            early, image, weights = draw(bench.rng, config, **shape, window_rows=1, window_columns=1)
            await rig.load(ctx, 0, weights, "none")
            results, _ = await rig.layer(ctx, early, image, "none", rest=rest)
            cases.append((early, image, weights, results))
            fields, image, _ = draw(bench.rng, config, **shape)
            results, _ = await rig.layer(ctx, fields, image, "none")
            cases.append((fields, image, weights, results))

    bench.run(rig.dut, testbench)
    for case in cases:
        check(config, *case)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("wide", [0, 1])
def test_latency_and_rate(bench, name, wide):
    """A word every `beats` cycles, or twice that, and a result `LATENCY` cycles after the word that completes its window."""
    config = CONFIGS[name]
    rig = Rig(bench, config)
    fields, image, weights = draw(
        bench.rng,
        config,
        tiles=2,
        output_rows=6,
        output_columns=8,
        window_stride=1,
        window_row=0,
        window_column=0,
        window_rows=6,
        window_columns=8,
        wide=wide,
    )
    seen = []

    async def testbench(ctx):
        await rig.load(ctx, fields["weight_base"], weights, "none")
        seen.extend(await rig.layer(ctx, fields, image, "none"))

    bench.run(rig.dut, testbench)
    results, steps = seen
    assert set(np.diff(steps)) == {config.result_pace(wide=wide)}
    # The word that completes a window is `columns + 1` behind its centre's.
    behind = fields["output_columns"] + 1
    completed = [result[0] - DepthwiseUnit.LATENCY for result in results[: len(steps) - behind]]
    assert completed == steps[behind:]
    # The last centres need no words, and come at the same pace.
    pushed = [result[0] - DepthwiseUnit.LATENCY for result in results[len(steps) - behind :]]
    assert pushed == [steps[-1] + (place + 1) * config.result_pace(wide=wide) for place in range(behind)]

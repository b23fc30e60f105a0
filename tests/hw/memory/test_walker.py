"""The window walker against six nested loops in Python: addresses, valid bytes, marks, pace, starvation."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from celosia.hw.isa import Operation
from celosia.hw.memory.activations import ActivationMemory
from celosia.hw.memory.walker import WindowWalker
from celosia.hw.memory.weights import WeightBuffer
from celosia.hw.presets import preset

MINI = preset("mini")
FAST = replace(MINI, name="fast", requant_lanes=4)
SLOW = replace(MINI, name="slow", requant_lanes=1)
COUNTS = ("tiles", "output_rows", "output_columns", "kernel_rows", "kernel_columns", "chunks")


def clip(value, low, high):
    return min(max(value, low), high)


def model(config, d):
    """Every step of the descriptor `d`, in order: what is read, and where the step stands in the loops."""
    steps = []
    planes = d.get("operand", {}).get("planes", {"read_planes": 1, "read_stride": 0})
    for tile, out_row, out_column, k_row, k_column, chunk in product(*(range(d[name]) for name in COUNTS)):
        column = (
            d["column_start"]
            + (tile * config.cols if d["diagonal"] else 0)
            + out_column * d["output_column_stride"]
            + k_column * d["kernel_column_stride"]
            + chunk // planes["read_planes"] * d.get("chunk_stride", config.rows)
        )
        row = d["row_start"] + out_row * d["output_row_step"] + k_row * d["kernel_row_step"]
        address = d["row_address"] + out_row * d["output_row_stride"] + k_row * d["kernel_row_stride"] + column
        address += chunk % planes["read_planes"] * planes["read_stride"]
        first = clip(-column, 0, config.rows)
        end = clip(d["column_limit"] - column, 0, config.rows) if 0 <= row < d["row_limit"] else 0
        result_end = (k_row, k_column, chunk) == tuple(d[name] - 1 for name in COUNTS[3:])
        row_end = result_end and out_column == d["output_columns"] - 1
        tile_end = row_end and out_row == d["output_rows"] - 1
        layer_end = tile_end and tile == d["tiles"] - 1
        steps.append(
            {
                "address": address % (1 << config.activation_address_bits),
                "valid": [first <= lane < end for lane in range(config.rows)],
                "first": not (k_row or k_column or chunk),
                "last": result_end,
                "marks": (row_end, tile_end, layer_end),
                "release": (out_row, out_column) == (d["output_rows"] - 1, d["output_columns"] - 1),
            }
        )
    return steps


def random_descriptor(rng, config, **fixed):
    """Loops of any kind, windows that hang over every edge."""
    d = {
        "operation": Operation.MAC,
        "diagonal": int(rng.integers(2)),
        "repeat": 0,
        "wide": int(rng.integers(2)),
        "pad_value": int(rng.integers(-128, 128)),
        "row_address": int(rng.integers(-500, config.activation_bytes - 1)),
        "column_start": int(rng.integers(-20, 5)),
        "column_limit": int(rng.integers(1, 60)),
        "row_start": int(rng.integers(-3, 3)),
        "row_limit": int(rng.integers(1, 8)),
        "output_row_step": int(rng.integers(1, 5)),
        "kernel_row_step": int(rng.integers(1, 4)),
        "output_row_stride": int(rng.integers(0, 300)),
        "kernel_row_stride": int(rng.integers(-300, 300)),
        "output_column_stride": int(rng.integers(0, 20)),
        "kernel_column_stride": int(rng.integers(0, 20)),
    }
    d |= {name: int(rng.choice([1, 1, 2, 3, 4])) for name in COUNTS}
    return d | fixed


class Walk:
    """What one walk showed, cycle by cycle."""

    def __init__(self):
        self.reads, self.steps, self.words = [], [], []
        self.taken, self.release, self.starved, self.stalled = [], [], [], []


def run(bench, config, descriptors, ready=lambda: True):
    """Walks the descriptors one after another."""
    walker = WindowWalker(config)
    walks = []

    async def testbench(ctx):
        cycle = 0
        word = 0
        named = {}
        for d in descriptors:
            walk = Walk()
            ctx.set(walker.descriptor, d)
            ctx.set(walker.start, 1)
            assert not ctx.get(walker.active)
            await ctx.tick()
            cycle += 1
            ctx.set(walker.start, 0)
            left = walker.LATENCY + 1
            reading = {}
            while left:
                is_ready = ready()
                word = (word + 1) % config.weight_depth
                ctx.set(walker.weight_ready, is_ready)
                ctx.set(walker.weight_address, word)
                named[cycle] = word
                taken, starved, stalled = (ctx.get(getattr(walker, name)) for name in ("taken", "starved", "stalled"))
                assert taken + starved + stalled == ctx.get(walker.active)
                assert not (taken and not is_ready)
                assert not (starved and is_ready)
                assert ctx.get(walker.weights.step) == taken
                if taken:
                    walk.taken.append(cycle)
                    walk.release.append((ctx.get(walker.weights.result_end), ctx.get(walker.weights.release)))
                    reading[cycle + walker.LATENCY - ActivationMemory.READ_LATENCY] = True
                walk.starved.append(starved)
                walk.stalled.append(stalled)
                if reading.pop(cycle, False):
                    first, end = ctx.get(walker.read.first), ctx.get(walker.read.end)
                    assert ctx.get(walker.read.pad) == d["pad_value"]
                    walk.reads.append((ctx.get(walker.read.address), [first <= lane < end for lane in range(config.rows)]))
                step = ctx.get(walker.o_step)
                if step.valid:
                    walk.steps.append(
                        (cycle, step.first, step.last, (step.marks.row_end, step.marks.tile_end, step.marks.layer_end))
                    )
                    assert ctx.get(walker.o_address) == named[cycle - walker.LATENCY + WeightBuffer.ADDRESS_LATENCY]
                left = walker.LATENCY + 1 if ctx.get(walker.active) else left - 1
                await ctx.tick()
                cycle += 1
            walks.append(walk)

    bench.run(walker, testbench)
    return walks


def check(config, d, walk):
    expected = model(config, d)
    assert len(walk.taken) == len(walk.reads) == len(expected)
    for read, step in zip(walk.reads, expected, strict=True):
        assert read[1] == step["valid"], step
        assert read[0] == step["address"] or not any(step["valid"])
    assert [step[1:] for step in walk.steps] == [(step["first"], step["last"], step["marks"]) for step in expected]
    assert [step[0] for step in walk.steps] == [cycle + WindowWalker.LATENCY for cycle in walk.taken]
    assert walk.release == [(step["last"], step["release"]) for step in expected]
    return expected


def pace(config, d, expected):
    """The cycle of each step since the first, where weights never lack."""
    cycles, cycle = [], -1
    result = tile = -(10**9)
    depthwise = d["operation"] == Operation.DEPTHWISE
    # A tile's first result may follow the last tile's last one closely, where its window begins in the corner.
    least = config.result_pace(wide=d["wide"])
    apart = d.get("window_row", 0) != 0 or d.get("window_column", 0) + 1 >= least
    free = depthwise and d["window_stride"] >= least and d["window_stride"] != 1 and apart
    for step in expected:
        cycle += 1
        if step["last"]:
            if not free:
                cycle = max(cycle, result + least)
            result = cycle
        if step["marks"][1]:
            if not d["repeat"]:
                cycle = max(cycle, tile + config.tile_cycles)
            result = tile = cycle
        cycles.append(cycle)
    return cycles


def test_latency_covers_the_memory():
    assert WindowWalker.LATENCY == 5 + ActivationMemory.READ_LATENCY


@pytest.mark.parametrize("config", [FAST, MINI, SLOW, preset("ecp5-25")], ids=lambda config: config.name)
def test_walks_as_six_loops(bench, config):
    """Random loops, back to back; and the pace is the least that the requantizer allows."""
    descriptors = [random_descriptor(bench.rng, config) for _ in range(14)]
    for d, walk in zip(descriptors, run(bench, config, descriptors), strict=True):
        expected = check(config, d, walk)
        assert [cycle - walk.taken[0] for cycle in walk.taken] == pace(config, d, expected)
        assert sum(walk.starved) == 0


@pytest.mark.parametrize("config", [FAST, SLOW], ids=lambda config: config.name)
def test_starves_and_goes_on(bench, stalls, config):
    """Missing weights delay steps and change none of them."""
    pauses = bench.pauses(stalls)
    descriptors = [random_descriptor(bench.rng, config) for _ in range(8)]
    walks = run(bench, config, descriptors, ready=lambda: not next(pauses))
    for d, walk in zip(descriptors, walks, strict=True):
        expected = check(config, d, walk)
        results = [cycle for cycle, step in zip(walk.taken, expected, strict=True) if step["last"]]
        tiles = [cycle for cycle, step in zip(walk.taken, expected, strict=True) if step["marks"][1]]
        assert (np.diff(results) >= config.result_pace(wide=d["wide"])).all()
        assert (np.diff(tiles) >= config.tile_cycles).all()
        assert (sum(walk.starved) > 0) == (stalls != "none") or len(walk.taken) < 60


def test_one_step_a_result(bench):
    """The fastest layers: one step a result, one result a tile, one of everything; with `repeat` tiles need no pause."""
    ones = dict.fromkeys(COUNTS, 1) | {"wide": 0}
    for config in (FAST, SLOW):
        cases = [
            random_descriptor(bench.rng, config, **ones),
            random_descriptor(bench.rng, config, **(ones | {"tiles": 9})),
            random_descriptor(bench.rng, config, **(ones | {"tiles": 9}), repeat=1),
            random_descriptor(bench.rng, config, **(ones | {"output_columns": 9})),
            random_descriptor(bench.rng, config, **(ones | {"output_columns": 9, "wide": 1})),
        ]
        walks = run(bench, config, cases)
        for d, walk in zip(cases, walks, strict=True):
            expected = check(config, d, walk)
            assert [cycle - walk.taken[0] for cycle in walk.taken] == pace(config, d, expected)
        gaps = [set(np.diff(walk.taken).tolist()) for walk in walks]
        assert gaps == [set(), {config.tile_cycles}, {config.beats}, {config.beats}, {2 * config.beats}]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("window_row", [0, 1])
def test_depthwise_takes_a_word_a_step(bench, stride, window_row):
    """Where the window skips centres, results come less often than words: the walker need not wait."""
    for config in (FAST, MINI, SLOW):
        d = random_descriptor(
            bench.rng,
            config,
            operation=Operation.DEPTHWISE,
            diagonal=1,
            chunks=1,
            kernel_rows=1,
            kernel_columns=1,
            output_rows=4,
            output_columns=5,
            tiles=2,
            window_stride=stride,
            window_row=window_row,
            window_column=0,
        )
        (walk,) = run(bench, config, [d])
        expected = check(config, d, walk)
        assert [cycle - walk.taken[0] for cycle in walk.taken] == pace(config, d, expected)


def test_counts_of_sixteen_bits(bench):
    """A count above 255 in each loop that can be so long."""
    for name in ("chunks", "output_columns", "tiles"):
        ones = dict.fromkeys(COUNTS, 1) | {name: 700}
        d = random_descriptor(bench.rng, FAST, **ones, row_start=0, column_start=0, column_limit=9000, row_address=0)
        (walk,) = run(bench, FAST, [d])
        check(FAST, d, walk)


@pytest.mark.parametrize("planes", [2, 4])
@pytest.mark.parametrize("pace", [0, 11])
def test_planes(bench, planes, pace):
    """Beside an XNOR engine: pixel after pixel its planes, which lie beyond the map, and blocks as far apart as is said."""
    config = replace(MINI, name="planes", rows=8, cols=8, requant_lanes=8, xnor_pixels=4)
    operand = {"planes": {"read_planes": planes, "read_stride": int(bench.rng.integers(1, 9000))}}
    fixed = {"operation": Operation.SERIAL, "diagonal": 0, "wide": 0, "chunks": 4, "chunk_stride": 3, "pace": pace}
    descriptors = [random_descriptor(bench.rng, config, operand=operand, **fixed) for _ in range(8)]
    for d, walk in zip(descriptors, run(bench, config, descriptors), strict=True):
        check(config, d, walk)
        ends = [cycle for cycle, (end, _) in zip(walk.taken, walk.release, strict=True) if end]
        steps = d["chunks"] * d["kernel_columns"] * d["kernel_rows"]
        tile = d["output_rows"] * d["output_columns"]
        for place, (sooner, later) in enumerate(pairwise(ends), 1):
            assert later - sooner == max(steps, pace) or (place % tile == 0 and later - sooner <= config.tile_cycles)

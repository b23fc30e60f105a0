"""The compact fabric's window walker against six nested loops in Python: bytes, marks, pace, starvation."""

from itertools import product

import pytest
from celosia.hw.compact.walker import ByteWalker
from celosia.hw.presets import preset

CONFIG = preset("up5k")
COUNTS = ("tiles", "output_rows", "output_columns", "kernel_rows", "kernel_columns", "chunks")


def model(config, d):
    """Every byte of the descriptor `d`, in order, a list a step: its address, whether it is inside, and the step's place."""
    steps = []
    for tile, out_row, out_column, k_row, k_column, chunk in product(*(range(d[name]) for name in COUNTS)):
        column = (
            d["column_start"]
            + (tile * config.cols if d["diagonal"] else 0)
            + out_column * d["output_column_stride"]
            + k_column * d["kernel_column_stride"]
            + chunk * config.rows
        )
        row = d["row_start"] + out_row * d["output_row_step"] + k_row * d["kernel_row_step"]
        address = d["row_address"] + out_row * d["output_row_stride"] + k_row * d["kernel_row_stride"] + column
        row_inside = 0 <= row < d["row_limit"]
        result_end = (k_row, k_column, chunk) == tuple(d[name] - 1 for name in COUNTS[3:])
        row_end = result_end and out_column == d["output_columns"] - 1
        tile_end = row_end and out_row == d["output_rows"] - 1
        steps.append(
            {
                "bytes": [
                    ((address + lane) % config.activation_bytes, row_inside and 0 <= column + lane < d["column_limit"])
                    for lane in range(config.rows)
                ],
                "last": result_end,
                "marks": (row_end, tile_end, tile_end and tile == d["tiles"] - 1),
                "last_tile": tile == d["tiles"] - 1,
                "release": (out_row, out_column) == (d["output_rows"] - 1, d["output_columns"] - 1),
            }
        )
    return steps


def random_descriptor(rng, config, **fixed):
    """Loops of any kind, windows that hang over every edge."""
    d = {
        "diagonal": int(rng.integers(2)),
        "repeat": int(rng.integers(2)),
        "stream_weights": int(rng.integers(2)),
        "weight_base": int(rng.integers(config.weight_depth)),
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


def pace(config, expected, least, *, room=0, ready=None):
    """The cycle of each byte: as early as weights and the requantizer, for whom there is `room`, allow."""
    cycles, now = [], 0
    for step in expected:
        while ready and not ready(now):
            now += 1
        taken = list(range(now, now + config.rows))
        if step["last"]:
            taken[-1] = max(taken[-1], room)
            room = taken[-1] + least
        cycles += taken
        now = taken[-1] + (2 if step["last"] else 1)
    return cycles


def run(bench, config, descriptors, least, pauses=None):
    """Walks the descriptors one after another; for each the bytes with their cycles, and the counts of stalls."""
    walker = ByteWalker(config, pace=least)
    walks = []

    async def testbench(ctx):
        for d in descriptors:
            taken, signals = [], []
            ctx.set(walker.descriptor, d)
            ctx.set(walker.start, 1)
            assert not ctx.get(walker.active)
            assert (ctx.get(walker.weights.start), ctx.get(walker.weights.base)) == (1, d["weight_base"])
            await ctx.tick()
            ctx.set(walker.start, 0)
            for _ in range(walker.START_LATENCY - 1):
                assert not ctx.get(walker.active)
                await ctx.tick()
            assert ctx.get(walker.active)
            cycle, held = 0, []
            while ctx.get(walker.active):
                ready = not next(pauses) if pauses else True
                held.append(ready)
                ctx.set(walker.weight_ready, ready)
                busy, starved, stalled = (ctx.get(getattr(walker, name)) for name in ("busy", "starved", "stalled"))
                assert busy + starved + stalled == 1
                signals.append((busy, starved, stalled))
                step, read = ctx.get(walker.o_step), walker.read
                assert step.valid == busy
                assert busy or not ctx.get(read.needed), "the memory is others' while the walker waits"
                if busy:
                    marks = (step.marks.row_end, step.marks.tile_end, step.marks.layer_end)
                    ends = (ctx.get(walker.weights.step), ctx.get(walker.weights.result_end), ctx.get(walker.weights.release))
                    place = (ctx.get(walker.row), step.last, marks, step.last_tile)
                    content = (ctx.get(read.address), ctx.get(read.inside), ctx.get(read.needed))
                    assert ctx.get(read.pad) == d["pad_value"]
                    assert (ctx.get(walker.weights.repeat), ctx.get(walker.weights.ring)) == (d["repeat"], d["stream_weights"])
                    taken.append((cycle, content, place, ends))
                cycle += 1
                await ctx.tick()
            walks.append((taken, signals, held))

    bench.run(walker, testbench)
    return walks


def check(config, d, taken):
    expected = model(config, d)
    assert len(taken) == config.rows * len(expected)
    for index, (_, (address, inside, needed), (row, last, marks, last_tile), (step, result_end, release)) in enumerate(taken):
        place = expected[index // config.rows]
        lane = index % config.rows
        assert row == lane
        wanted, wanted_inside = place["bytes"][lane]
        assert inside == wanted_inside, place
        assert address == wanted
        # The memory gives the byte at an odd address with the one before it.
        assert needed or (lane and address % 2)
        at_end = lane == config.rows - 1
        assert step == at_end
        assert last == (place["last"] and at_end)
        if at_end:  # what is not defined before
            assert (result_end, release) == (place["last"], place["release"])
            assert last_tile == place["last_tile"]
            assert not last or marks == place["marks"]
    return expected


@pytest.mark.parametrize("least", [16, 4, 37])
def test_walks_as_six_loops(bench, least):
    """Random loops, back to back; and the pace is the least that the requantizer allows."""
    descriptors = [random_descriptor(bench.rng, CONFIG) for _ in range(14)]
    room = 0
    for d, (taken, signals, _) in zip(descriptors, run(bench, CONFIG, descriptors, least), strict=True):
        expected = check(CONFIG, d, taken)
        assert [cycle for cycle, *_ in taken] == pace(CONFIG, expected, least, room=room)
        assert not any(starved for _, starved, _ in signals)
        room = least - 1 - ByteWalker.START_LATENCY  # the requantizer may still be busy with the last layer


@pytest.mark.parametrize("least", [16, 4])
def test_starves_and_goes_on(bench, stalls, least):
    """Missing weights delay steps at their first byte alone, and change none of them."""
    descriptors = [random_descriptor(bench.rng, CONFIG, kernel_columns=2) for _ in range(8)]
    walks = run(bench, CONFIG, descriptors, least, bench.pauses(stalls))
    room = 0
    for d, (taken, signals, held) in zip(descriptors, walks, strict=True):
        expected = check(CONFIG, d, taken)
        assert [cycle for cycle, *_ in taken] == pace(CONFIG, expected, least, room=room, ready=held.__getitem__)
        room = least - 1 - ByteWalker.START_LATENCY
        assert all(not held[cycle] for cycle, (_, starved, _) in enumerate(signals) if starved)


def test_the_extremes_of_the_address(bench):
    """Windows that begin in front of the first byte and end behind the last one wrap as the memory does, and are outside."""
    end = CONFIG.activation_bytes
    common = {"column_start": 0, "column_limit": 8, "row_start": -1, "row_limit": 3, "diagonal": 0, "output_rows": 4}
    common |= {"output_row_step": 1, "output_row_stride": 8, "kernel_rows": 1, "output_column_stride": 4}
    descriptors = [
        random_descriptor(bench.rng, CONFIG, **common, row_address=-8),
        random_descriptor(bench.rng, CONFIG, **common, row_address=end - 32),
    ]
    for d, (taken, *_) in zip(descriptors, run(bench, CONFIG, descriptors, 16), strict=True):
        check(CONFIG, d, taken)


def test_reset_in_mid_walk(bench):
    """Whatever loop it was in, a reset leaves it idle, and the next layer begins at its beginning."""
    walker = ByteWalker(CONFIG, pace=16)
    dut, reset = bench.resettable(walker)
    d = random_descriptor(bench.rng, CONFIG, chunks=3, output_columns=3, output_rows=3)
    first = model(CONFIG, d)[0]["bytes"][0]

    async def testbench(ctx):
        ctx.set(walker.weight_ready, 1)
        for ticks in (0, 1, 2, 3, 9, 50):
            for again in range(2):
                ctx.set(walker.descriptor, d)
                ctx.set(walker.start, 1)
                await ctx.tick()
                ctx.set(walker.start, 0)
                if again:
                    await bench.ticks(ctx, walker.START_LATENCY - 1)
                    assert ctx.get(walker.busy)
                    assert (ctx.get(walker.row), ctx.get(walker.read.address), ctx.get(walker.read.inside)) == (0, *first)
                await bench.ticks(ctx, ticks)
                ctx.set(reset, 1)
                await ctx.tick()
                ctx.set(reset, 0)
                assert not ctx.get(walker.active)

    bench.run(dut, testbench)

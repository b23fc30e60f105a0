"""Maximum and element-wise sum against the golden models' arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
from celosia.hw.config import ACCUMULATOR_BITS
from celosia.hw.engine import Marks
from celosia.hw.isa import ADD_SHIFT_BITS, FIRST_LOG2, MAX_OFFSET
from celosia.hw.post.vector import Operand, VectorPair, VectorUnit
from celosia.hw.presets import preset
from celosia.sim.golden import multiply_by_quantized_multiplier
from twins import first_difference

CONFIG = replace(preset("mini"), name="vector")


def simulate(bench, results, bubbles, *, add, right=None, either=False):
    """`o` for each of `results`, arrays (steps, cols) int8, with its cycle checked against the latency."""
    rng = bench.rng
    noise = Operand.from_bits(int(rng.integers(2**43)))  # what MAX must not care for
    unit = VectorUnit(replace(CONFIG, rows=8, cols=8, requant_lanes=8, xnor_pixels=1) if either else CONFIG)
    cols = results[0].shape[1]
    steps = []
    for result in results:
        for index, values in enumerate(result):
            while rng.random() < bubbles:
                steps.append((0, int(rng.integers(2)), int(rng.integers(2)), 0, rng.integers(-128, 128, cols)))
            steps.append((1, int(index == 0), int(index == len(result) - 1), int(rng.integers(8)), values))
    due = {cycle + unit.LATENCY: step[3] for cycle, step in enumerate(steps) if step[0] and step[2]}
    seen = {}
    sums = []

    async def testbench(ctx):
        ctx.set(unit.add, add)
        ctx.set(unit.right, right or noise)
        if either:
            ctx.set(unit.either, 1)
        await bench.ticks(ctx, 2)
        for cycle in range(len(steps) + unit.LATENCY):
            if cycle < len(steps):
                valid, first, last, marks, values = steps[cycle]
                ctx.set(unit.i_step, {"valid": valid, "first": first, "last": last, "marks": Marks.from_bits(marks)})
                ctx.set(unit.i_activations, values.tolist())
            else:
                ctx.set(unit.i_step.valid, 0)
            if ctx.get(unit.o.valid):
                seen[cycle] = ctx.get(unit.o.marks.as_value())
                sums.append(list(ctx.get(unit.o.sums)))
            await ctx.tick()

    bench.run(unit, testbench)
    assert seen == due
    return np.array(sums)


def check_add(bench, operand, left, right, bubbles=0.0):
    sums = simulate(bench, np.stack([left, right], axis=1), bubbles, add=1, right=operand)
    centred = (right.astype(np.int32) - operand["zero_point"]) << 20
    scaled = multiply_by_quantized_multiplier(centred, operand["multiplier"], -operand["shift"]).astype(np.int64)
    half = 2 ** (ACCUMULATOR_BITS - 1)
    expected = ((left << FIRST_LOG2) + scaled + half) % (2 * half) - half
    wrong = np.argwhere(sums != expected)
    assert wrong.size == 0, f"{operand}: {left[*wrong[0]]} + {right[*wrong[0]]} is {sums[*wrong[0]]}, not {expected[*wrong[0]]}"


@pytest.mark.parametrize("bubbles", [0.0, 0.5])
def test_maximum(bench, bubbles):
    rng = bench.rng
    low, high = [(-128, 128), (-128, -100), (-3, 3)][int(rng.integers(3))]
    results = [rng.integers(low, high, (int(rng.integers(1, 12)), CONFIG.cols)) for _ in range(200)]
    results += [np.full((3, CONFIG.cols), -128), np.array([[127, -128, 0, -1], [-128, 127, -1, 0]])]
    sums = simulate(bench, results, bubbles, add=0)
    np.testing.assert_array_equal(sums, [result.max(axis=0) + MAX_OFFSET for result in results])


def every_value(rng):
    """Two operands (64 x cols) that hold every int8 once, each in an order of its own."""
    return [rng.permutation(np.arange(-128, 128)).reshape(-1, CONFIG.cols) for _ in range(2)]


@pytest.mark.parametrize("bubbles", [0.0, 0.5])
def test_add(bench, bubbles):
    rng = bench.rng
    for _ in range(6):
        operand = {
            "multiplier": int(rng.integers(2**30, 2**31)),
            "zero_point": int(rng.integers(-128, 128)),
            "shift": int(rng.integers(0, 12)),
        }
        check_add(bench, operand, *every_value(rng), bubbles)


@pytest.mark.parametrize("shift", range(2**ADD_SHIFT_BITS))
def test_add_at_every_shift(bench, shift):
    """The largest and the smallest operands, at every shift that an operand can name."""
    for multiplier, zero_point in ((2**30, 127), (2**31 - 1, -128), (0x55555555, 0)):
        operand = {"multiplier": multiplier, "zero_point": zero_point, "shift": shift}
        check_add(bench, operand, *every_value(bench.rng))


def test_an_operand_of_one_half_is_what_the_first_one_gets():
    """What makes the short way exact, for every value and zero point."""
    centred = np.arange(-255, 256, dtype=np.int32)
    np.testing.assert_array_equal(multiply_by_quantized_multiplier(centred << 20, 2**30, 0), centred << FIRST_LOG2)


def test_twins():
    for levels in (1, 2):
        assert first_difference(lambda levels=levels: VectorPair(levels=levels), cycles=5000) is None


@pytest.mark.parametrize("bubbles", [0.0, 0.5])
def test_the_or_of_bits(bench, bubbles):
    """Beside an XNOR engine; bytes with few ones, and results of one step."""
    results = [
        (bench.rng.integers(-128, 128, (steps, 8)) & bench.rng.integers(-128, 128, (steps, 8))).astype(np.int8)
        for steps in (1, 4, 9, 1, 2, 16)
    ]
    sums = simulate(bench, results, bubbles, add=0, either=True)
    assert (sums == [np.bitwise_or.reduce(result, axis=0).astype(np.int64) + MAX_OFFSET for result in results]).all()

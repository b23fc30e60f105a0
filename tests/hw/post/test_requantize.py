"""The requantizer lane against the golden rounding, a channel of its own for every sum."""

from itertools import product

import numpy as np
import pytest
from celosia.hw.config import ACCUMULATOR_BITS, LARGEST_SUM
from celosia.hw.isa import MAX_LEFT_SHIFT
from celosia.hw.post.requantize import NARROW_BITS, RequantizeLane
from celosia.sim.golden import requantize, requantize_once
from twins import first_difference

MAX = LARGEST_SUM
MIN = -MAX
NARROW = 1 << (NARROW_BITS - 1)
SUMS = (
    MIN,
    MIN + 1,
    -(2**27),
    -(2**24) - 1,
    -NARROW,
    1 - NARROW,
    -3,
    -2,
    -1,
    0,
    1,
    2,
    3,
    NARROW - 1,
    NARROW,
    2**24 - 1,
    2**27,
    MAX - 1,
    MAX,
)
MULTIPLIERS = (0, 2**30, 2**30 + 1, 3 * 2**29, 0x55555555, 2**31 - 2, 2**31 - 1)
SHIFTS = range(-31, MAX_LEFT_SHIFT + 1)
RANGES = ((0, -128, 127), (-128, -128, 127), (127, -128, 127), (5, 5, 100), (-7, -20, -20))


KINDS = (2, 1, 0)  # hardware multipliers


@pytest.fixture(params=KINDS, ids="{} multipliers".format, autouse=True)
def kind(request, bench):
    """Every kind of lane passes every test."""
    bench.multipliers = request.param


def test_fewer_registers_are_the_same_lane(bench):
    """With a register behind every second adder."""
    assert first_difference(lambda: RequantizeLane(multipliers=bench.multipliers, levels=2), cycles=5000) is None


def wrap(value):
    half = 2 ** (ACCUMULATOR_BITS - 1)
    return (np.asarray(value, np.int64) + half) % 2**ACCUMULATOR_BITS - half


def simulate(bench, cases, *, wide, sizes=None, **output_range):
    """The lane's answers to (sum, bias, multiplier, shift), one a pass; each must come at the class's latency."""
    lane = RequantizeLane(multipliers=bench.multipliers, **(sizes or {}))
    average = output_range.get("average", 0)
    passes = 1 + wide
    results = []

    async def testbench(ctx):
        ctx.set(lane.i_range, {**output_range, "wide": wide})
        for cycle in range(passes * len(cases) + lane.LATENCY):
            case, lower = divmod(cycle, passes)
            if case < len(cases):
                total, bias, multiplier, shift = (int(value) for value in cases[case])
                ctx.set(lane.i_sum, total)
                ctx.set(lane.i_negative, average and total < 0)
                ctx.set(lane.i_upper, wide and not lower)
                ctx.set(lane.i_channel, {"bias": bias, "multiplier": multiplier, "shift": shift})
            if cycle >= lane.LATENCY and (cycle - lane.LATENCY) % passes == passes - 1:
                results.append(ctx.get(lane.o))
            await ctx.tick()

    bench.run(lane, testbench)
    return np.array(results, np.int16 if sizes else np.int8)


def check(bench, cases, golden, *, round_once, zero_point=0, low=-128, high=127):
    """Every case in two passes, and in one pass where its sum is narrow."""
    cases = np.array(cases, np.int64)
    total, bias, multiplier, shift = cases.T
    biased = wrap(total + bias)
    narrow = abs(biased) < NARROW
    assert narrow.any()
    expected = golden(biased, multiplier, shift, zero_point, low, high)
    for wide, chosen in ((1, np.full(len(cases), True)), (0, narrow)):
        results = simulate(bench, cases[chosen], wide=wide, zero_point=zero_point, low=low, high=high, round_once=round_once)
        wrong = np.flatnonzero(results != expected[chosen])
        assert wrong.size == 0, (
            f"(sum, bias, multiplier, shift) {cases[chosen][wrong[0]]}, wide {wide}: {results[wrong[0]]}, not "
            f"{expected[chosen][wrong[0]]}"
        )
    return expected


def visible(rng, count, shifts=SHIFTS):
    """Cases whose results spread over int8: the sum is chosen after the factor, often next to a half."""
    shift = rng.choice(shifts, count)
    multiplier = rng.integers(2**30, 2**31, count)
    factor = multiplier * 2.0 ** (shift - 31.0)
    steps = rng.integers(-300, 300, count) / 2 + rng.choice([0, 0, 1e-9, -1e-9, 0.1], count)
    biased = np.clip(np.rint(steps / factor) + rng.integers(-1, 2, count), MIN, MAX).astype(np.int64)
    bias = rng.choice([0, 1, -1, 12345, -(2**20)], count)
    fits = np.abs(biased * 2.0 ** np.maximum(shift, 0)) < 2**31 - 1
    return np.stack([wrap(biased - bias), bias, multiplier, shift], axis=1)[fits]


def ties(rng, count):
    """Negative and positive halves before the right shift: sums that the doubled high half leaves as they are."""
    shift = rng.integers(-20, 0, count)
    biased = (2 * rng.integers(-130, 130, count) + 1) << (-shift - 1)
    # x * 2**30 needs an even x to lose nothing; one half of it comes back.
    return np.stack([2 * biased, 0 * biased, 0 * biased + 2**30, shift], axis=1)


@pytest.mark.parametrize("golden", [requantize, requantize_once])
def test_extremes(bench, golden):
    """Every combination, except where a left shift leaves 32 bits: there the golden model with two roundings wraps."""
    once = golden is requantize_once
    cases = [
        (total, 0, multiplier, shift)
        for total, multiplier, shift in product(SUMS, MULTIPLIERS, SHIFTS)
        if once or -(2**31) <= total << max(shift, 0) < 2**31
    ]
    check(bench, cases, golden, round_once=once)


@pytest.mark.parametrize("golden", [requantize, requantize_once])
@pytest.mark.parametrize(("zero_point", "low", "high"), RANGES)
def test_results_of_layers(bench, golden, zero_point, low, high):
    cases = np.concatenate([visible(bench.rng, 1500), ties(bench.rng, 200)])
    once = golden is requantize_once
    expected = check(bench, cases, golden, round_once=once, zero_point=zero_point, low=low, high=high)
    assert len(np.unique(expected)) > 0.5 * (high - low)


def test_two_roundings_and_one_differ_where_they_should(bench):
    cases = ties(bench.rng, 300)
    two = check(bench, cases, requantize, round_once=0)
    one = check(bench, cases, requantize_once, round_once=1)
    assert (two != one).any(), "no case tells the roundings apart"


def test_sum_and_bias_wrap(bench):
    """Only their sum has to fit."""
    pairs = [(total, bias) for total, bias in product(SUMS, (MIN, MAX, -1, 1)) if wrap(total + bias) >= MIN]
    assert any(abs(total + bias) > MAX for total, bias in pairs)
    cases = [(total, bias, 2**30, shift) for total, bias in pairs for shift in (-25, -20, 0)]
    check(bench, cases, requantize, round_once=0)


@pytest.mark.parametrize(("low", "high"), [(-128, 127), (-10, 90)])
def test_average_divides_halves_away_from_zero(bench, low, high):
    """TensorFlow Lite's average: (|t| + count // 2) // count with t's sign; the lane multiplies by a reciprocal."""
    rng = bench.rng
    counts = [1, 2, 3, 4, 5, 6, 7, 9, 16, 25, 48, 49, 64, 100, 121, 255, 256, 257, 1000, 4096, 65535]
    cases, expected = [], []
    for count in counts:
        right = (count - 1).bit_length() - 1
        multiplier = -(-(1 << (31 + right)) // count)
        halves = [count * whole + count // 2 + nudge for whole in (-128, -3, -1, 0, 1, 126) for nudge in (-1, 0, 1)]
        limits = [-128 * count, 127 * count]
        for total in [*halves, *(-half for half in halves), *limits, *rng.integers(*limits, 40).tolist()]:
            cases.append((total, count // 2, multiplier, -right))
            magnitude = (abs(total) + count // 2) // count
            expected.append(min(max(magnitude if total >= 0 else -magnitude, low), high))
    results = simulate(bench, cases, wide=1, low=low, high=high, average=1)
    assert results.tolist() == expected
    narrow = [index for index, (total, bias, _, _) in enumerate(cases) if abs(total) + bias < NARROW]
    results = simulate(bench, [cases[index] for index in narrow], wide=0, low=low, high=high, average=1)
    assert results.tolist() == [expected[index] for index in narrow]


DOUBLE = {"bits": 16, "total_bits": 39, "bias_bits": 35}


def rounded(x, multiplier, shift, *, once):
    """Python's integers have room for 39 times 31 bits."""
    left, right = max(shift, 0), max(-shift, 0)
    if once:
        return (x * multiplier + (1 << (30 - shift))) >> (31 - shift)
    high = ((x << left) * multiplier + (1 << 30)) >> 31
    half = (1 << right) >> 1
    return (high + half - (high < 0 and half > 0)) >> right


@pytest.mark.parametrize("once", [0, 1])
@pytest.mark.parametrize(("low", "high"), [(-(2**15), 2**15 - 1), (0, 2**15 - 1), (-300, 20000)])
def test_results_of_sixteen_bits(bench, once, low, high):
    """Sums that spread over all 39 bits, biases over 35; results next to halves, and far outside."""
    rng, cases, expected = bench.rng, [], []
    for index in range(1500):
        shift, multiplier = int(rng.integers(-31, MAX_LEFT_SHIFT + 1)), int(rng.integers(2**30, 2**31))
        if index % 3 == 0:
            x = int(rng.integers(-(2**38), 2**38)) >> int(rng.integers(0, 38))
        else:
            x = round(int(rng.integers(-70000, 70000)) / 2 / (multiplier * 2.0 ** (shift - 31))) + int(rng.integers(-1, 2))
        x = min(max(x, -(2**38)), 2**38 - 1)
        bias = int(rng.integers(-(2**34), 2**34)) >> int(rng.integers(0, 34))
        total = (x - bias + 2**38) % 2**39 - 2**38
        cases.append((total, bias, multiplier, shift))
        expected.append(min(max(rounded(x, multiplier, shift, once=once), low), high))
    results = simulate(bench, cases, wide=1, sizes=DOUBLE, low=low, high=high, round_once=once)
    assert results.tolist() == expected
    assert len(set(expected)) > 400


@pytest.mark.parametrize("sizes", [{}, DOUBLE], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("multipliers", KINDS)
def test_the_ecp5_gets_the_same_lane(multipliers, sizes):
    """Its carry chains and multipliers beside the portable form, with inputs of all kinds."""
    assert first_difference(lambda: RequantizeLane(multipliers=multipliers, **sizes), cycles=5000) is None

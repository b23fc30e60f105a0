"""Pooling and element-wise sums on the vector unit, against the golden maximum and the golden scaling."""

from itertools import product

import cocotb
import numpy as np
from celosia.hw.config import ACCUMULATOR_BITS
from celosia.hw.isa import ADD_SHIFT_BITS, FIRST_LOG2, MAX_OFFSET
from celosia.hw.post.vector import VectorUnit
from celosia.sim.golden import add, binary_max_pool2d, max_pool2d, requantize
from stalls import STALLS

from .blocks import MINI, XNORS
from .rig import TIMEOUT, Rig, corner, effort, packed

HALF = 1 << (ACCUMULATOR_BITS - 1)


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(stalls=STALLS)
async def maximum(top, stalls):
    """Windows of one value and of many."""
    async with Rig(top, "vector", "vector") as rig:
        rng = rig.rng
        rig.set(add=0, right=int.from_bytes(rng.bytes(5), "little"))  # which must not matter
        for part in range(2):
            windows = []
            for index in range(effort(40)):
                window = rng.integers(-128, 128, (1 + index % 5, MINI.cols))
                if index % 8 == 7:
                    window[...] = (-128, 127)[index // 8 % 2]
                windows.append(window)
                size = "one" if len(window) == 1 else "several"
                rig.cover(operation="max", stalls=stalls, window=size)
                rig.cover(operation="max", value=corner(window.max(), -128, 127))
            golden = [
                max_pool2d(window[np.newaxis, :, np.newaxis].astype(np.int8), kernel=(len(window), 1), stride=(1, 1))
                for window in windows
            ]
            await run(rig, windows, [result.reshape(-1).astype(int) + MAX_OFFSET for result in golden], stalls)
            if not part:
                await rig.reset()
                rig.cover(reset="mid-stream", operation="max")


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(stalls=STALLS)
async def either(top, stalls):
    """Binary pooling beside an XNOR engine: the OR of eight channels a byte; in between, maxima of the same unit."""
    config = XNORS["2"][1]
    async with Rig(top, "vector", "vector_of_bits") as rig:
        rng = rig.rng
        rig.set(add=0)
        for part in range(4):
            binary = part % 2 == 0
            rig.set(either=int(binary))
            windows = []
            for index in range(effort(20)):
                window = rng.integers(0, 256, (1 + index % 5, config.cols))
                if index % 8 < 3:  # bits that are rarely, never or always there
                    window = (window & rng.integers(0, 256, window.shape) & 0x77, window * 0, window | 255)[index % 8]
                windows.append(window.astype(np.uint8))
                size = "one" if len(window) == 1 else "several"
                if binary:
                    rig.cover(operation="or", stalls=stalls, window=size)
                    for byte in np.bitwise_or.reduce(window):
                        rig.cover(operation="or", bits=corner(byte, 0, 255))
            pool = binary_max_pool2d if binary else max_pool2d
            golden = [
                pool(
                    (window if binary else window.view(np.int8))[np.newaxis, :, np.newaxis],
                    kernel=(len(window), 1),
                    stride=(1, 1),
                )
                for window in windows
            ]
            wanted = [result.view(np.int8).reshape(-1).astype(int) + MAX_OFFSET for result in golden]
            await run(rig, [window.view(np.int8) for window in windows], wanted, stalls)
            if part == 1:
                await rig.reset()
                rig.cover(reset="mid-stream", operation="or")


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(stalls=STALLS)
async def sums(top, stalls):
    """Every shift; of the golden sum, the unit makes all but the requantizing, which the golden model does here."""
    async with Rig(top, "vector", "vector") as rig:
        rng = rig.rng
        for index in range(effort(1 << ADD_SHIFT_BITS)):
            shift = index % (1 << ADD_SHIFT_BITS)
            # The second operand's factor is one half at most: that of the larger scale, which alone needs no shift.
            multiplier = (1 << 30, (1 << 31) - 1, int(rng.integers(1 << 30, 1 << 31)))[index % 3 if shift else 0]
            points = [int(point) for point in ((-128, 127, rng.integers(-128, 128))[index % 3], rng.integers(-128, 128))][::-1]
            right = {"multiplier": multiplier, "zero_point": points[1], "shift": shift}
            rig.set(add=1, right=right)
            await rig.ticks(2)
            pairs = rng.integers(-128, 128, (18, 2, MINI.cols))
            corners = np.array(list(product((-128, 0, 127, 55), repeat=2)))
            pairs[: len(corners)] = rng.permutation(corners)[:, :, np.newaxis]
            pairs[-1] = np.array(points)[:, np.newaxis]
            for pair in pairs:
                for x, y in pair.T:
                    rig.cover(operation="add", left=corner(x, -128, 127), right=corner(y, -128, 127))
            rig.cover(operation="add", stalls=stalls, shift=shift)
            rig.cover(operation="add", multiplier=corner(multiplier, 1 << 30, (1 << 31) - 1))
            got = await run(rig, list(pairs), None, stalls)
            check_sums(rng, pairs, np.array(got), points, multiplier, shift)
            if index == 7:
                await rig.reset()
                rig.cover(reset="mid-stream", operation="add")


def check_sums(rng, pairs, got, points, multiplier, shift):
    """Requantized in several ways, the unit's sums give the golden results: the golden model halves the first operand."""
    biased = (got - (points[0] << FIRST_LOG2) + HALF) % (2 * HALF) - HALF
    for _ in range(4):
        output = {"multiplier": int(rng.integers(1 << 30, 1 << 31)), "shift": int(rng.integers(-21, -17))}
        zero_point = int(rng.integers(-128, 128))
        wanted = add(
            pairs[:, 0].astype(np.int8),
            pairs[:, 1].astype(np.int8),
            zero_points=tuple(points),
            multipliers=(1 << 30, multiplier),
            shifts=(0, -shift),
            output_multiplier=output["multiplier"],
            output_shift=output["shift"],
            output_zero_point=zero_point,
        )
        result = requantize(biased.astype(np.int32), **output, zero_point=zero_point)
        np.testing.assert_array_equal(result, wanted)


async def run(rig, results, wanted, stalls):
    """Runs results of several steps each; they come at the latency that the class names, and are compared with `wanted`."""
    rng, lanes = rig.rng, results[0].shape[1]
    pauses = rig.pauses(stalls)
    steps = [
        (values.tolist(), index == 0, index + 1 == len(result), int(rng.integers(8)))
        for result in results
        for index, values in enumerate(result)
    ]
    due, got = {}, []
    while steps or due:
        if steps and not next(pauses):
            values, first, last, marks = steps.pop(0)
            rig.set(i_step=1 | first << 1 | last << 2 | marks << 3, i_activations=packed(values, 8))
            if last:
                due[rig.cycle + VectorUnit.LATENCY] = marks
        else:
            rig.set(i_step=int(rng.integers(32)) << 1, i_activations=packed(rng.integers(-128, 128, lanes), 8))
        now = rig.cycle
        await rig.settled()
        assert rig.bits("o__valid") == (now in due), "a result too many, or one is missing"
        if now in due:
            assert rig.bits("o__marks") == due.pop(now)
            totals = [int(total) for total in rig.get("o__sums")]
            if wanted is not None:
                assert totals == wanted[len(got)].tolist(), f"result {len(got)} of {results[len(got)].tolist()}"
            got.append(totals)
        await rig.ticks()
    assert len(got) == len(results)
    return got

"""The requantizer lane against the golden rounding: a sum in every cycle or with pauses, in one pass or two."""

import cocotb
import numpy as np
from celosia.hw.config import ACCUMULATOR_BITS, LARGEST_SUM
from celosia.hw.isa import MAX_LEFT_SHIFT
from celosia.hw.post.requantize import NARROW_BITS, RequantizeLane
from celosia.sim.golden import requantize, requantize_once
from stalls import STALLS

from .rig import TIMEOUT, Rig, Scoreboard, corner, effort

LEAST_SHIFT = -31
NARROW = 1 << (NARROW_BITS - 1)
ROUNDINGS = ("twice", "once", "average")
BLOCKS = {"two": "lane_2", "one": "lane_1", "none": "lane_0"}  # by their hardware multipliers


def wrap(value):
    half = 1 << (ACCUMULATOR_BITS - 1)
    return (value + half) % (2 * half) - half


def draw(rng, rounding, limit):
    """(biased sum, bias, multiplier, shift) of one channel, the sum's magnitude up to `limit`; whether it is a tie."""
    extreme = rng.random() < 0.25
    if rounding == "average":
        count = int(rng.choice([1, 2, 3, 7, 16, 49, 64, 1000, 4096]))
        right = (count - 1).bit_length() - 1
        most = min(127 * count, limit - 1 - count)
        total = int(rng.choice([-most, most, 0])) if extreme else int(rng.integers(-most, most + 1))
        return (total, count // 2, -(-(1 << (31 + right)) // count), -right), ""
    shift = int(rng.choice([LEAST_SHIFT, MAX_LEFT_SHIFT, 0])) if extreme else int(rng.integers(LEAST_SHIFT, MAX_LEFT_SHIFT + 1))
    multiplier = int(rng.choice([0, 1 << 30, (1 << 31) - 1])) if rng.random() < 0.2 else int(rng.integers(1 << 30, 1 << 31))
    bias = int(rng.choice([0, 1, -1, 12345, -(1 << 18)]))
    if rng.random() < 0.1:  # halves before the right shift
        shift, multiplier = -int(rng.integers(1, 11)), 1 << 30
        total = 2 * ((2 * int(rng.integers(-128, 128)) + 1) << (-shift - 1))
        return (total, bias, multiplier, shift), "negative" if total < 0 else "positive"
    if rng.random() < 0.2:
        total = int(rng.choice([-(limit - 1), limit - 1, 0, 1, -1]))
    else:  # so that the result is a byte, mostly
        factor = max(multiplier, 1) * 2.0 ** (shift - 31)
        total = int(np.clip(rng.integers(-300, 300) / factor / 2 + rng.integers(-1, 2), 1 - limit, limit - 1))
    if rounding == "twice" and not -(1 << 31) <= total << max(shift, 0) < 1 << 31:
        total >>= MAX_LEFT_SHIFT + 1  # the reference wraps there
    return (total, bias, multiplier, shift), ""


def golden(rounding, case, limits):
    total, _bias, multiplier, shift = case
    if rounding == "average":
        count = round(2.0 ** (31 - shift) / multiplier)
        value = (abs(total) + count // 2) // count * (1 if total >= 0 else -1)
        return min(max(value, limits["low"]), limits["high"])
    (result,) = (requantize_once if rounding == "once" else requantize)(np.array([total]), multiplier, shift, **limits)
    return int(result)


def kind_of_shift(shift):
    return {LEAST_SHIFT: "least", MAX_LEFT_SHIFT: "most", 0: "zero"}.get(shift, "left" if shift > 0 else "right")


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(lane=list(BLOCKS), rounding=ROUNDINGS, passes=["one", "two"], stalls=STALLS)
async def golden_rounding(top, lane, rounding, passes, stalls):
    """Every result at the latency that the class names, with another layer's range after a reset in mid-stream."""
    async with Rig(top, "requantize", BLOCKS[lane]) as rig:
        for index in range(2):
            await one_range(rig, lane, rounding, passes, stalls)
            if not index:
                await rig.reset()
                rig.cover(reset="mid-stream", lane=lane)


async def one_range(rig, lane, rounding, passes, stalls):
    rng = rig.rng
    low, high = sorted(rng.integers(-128, 128, 2).tolist()) if rng.random() < 0.5 else (-128, 127)
    limits = {"zero_point": 0 if rounding == "average" else int(rng.integers(-128, 128)), "low": low, "high": high}
    wide = passes == "two"
    limit = LARGEST_SUM + 1 if wide else NARROW
    rig.set(i_range={**limits, "average": rounding == "average", "round_once": rounding == "once", "wide": wide})
    await rig.ticks()
    pauses = rig.pauses(stalls)
    board = Scoreboard()
    due = {}
    left = effort(40)
    while left or due:
        if left and not next(pauses):
            left -= 1
            case, tie = draw(rng, rounding, limit)
            total, bias, multiplier, shift = case
            given = total if rounding == "average" else wrap(total - bias)
            negative = int(rounding == "average" and total < 0)
            rig.set(i_sum=given, i_negative=negative, i_channel={"bias": bias, "multiplier": multiplier, "shift": shift})
            if wide:
                rig.set(i_upper=1)
                await watch(rig, due, board)
            rig.set(i_upper=0)
            result = golden(rounding, case, limits)
            board.expect(result)
            due[rig.cycle + RequantizeLane.LATENCY] = True
            rig.cover(
                lane=lane,
                rounding=rounding,
                passes=passes,
                stalls=stalls,
                shift=kind_of_shift(shift),
                multiplier={0: "zero", 1 << 30: "least", (1 << 31) - 1: "most"}.get(multiplier, "inner"),
                sum=corner(total, 1 - limit, limit - 1),
                tie=tie,
                result={low: "low", high: "high"}.get(result, "inner"),
            )
        else:
            rig.set(i_sum=int(rng.integers(1 << 28)), i_upper=int(rng.integers(2)))
        await watch(rig, due, board)
    board.finish()


async def watch(rig, due, board):
    """One cycle."""
    if due.pop(rig.cycle, False):
        board(*await rig.sample("o"))
    else:
        await rig.ticks()

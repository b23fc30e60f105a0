"""The MAC cell and the systolic array against the golden fully-connected sums: something else in every cycle."""

from itertools import product

import cocotb
import numpy as np
from celosia.hw.mac.array import SystolicArray
from celosia.hw.mac.cell import LOW_BITS, PairCell, pack
from celosia.sim.golden import fully_connected_sums
from stalls import STALLS

from .blocks import ARRAYS, CELL_DEPTH
from .rig import TIMEOUT, Rig, effort, packed

CORNERS = ("least", "most", "zero", "inner")
LAG, LATENCY, FOLD_LAG = PairCell.ACTIVATION_LAG, PairCell.LATENCY, PairCell.FOLD_LAG


def golden_sums(x, weights):
    """Sums of weights (outputs, K) times one vector x."""
    outputs = len(weights)
    (sums,) = fully_connected_sums(np.array([x], np.int8), np.asarray(weights), np.zeros(outputs, np.int32), input_zero_point=0)
    return sums.tolist()


def number(rng, kind, low, high):
    return {"least": low, "most": high, "zero": 0}.get(kind, int(rng.integers(low + 1, high)))


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(unit=["cell", "carry_cell"], stalls=STALLS)
async def cell(top, unit, stalls):
    """Every corner of activation and both weights; noise in between; a reset half way."""
    async with Rig(top, "mac", unit) as rig:
        await all_corners(rig, unit, stalls)


async def all_corners(rig, unit, stalls):
    corners = list(product(CORNERS, repeat=3)) * effort(1)
    for part in np.array_split(rig.rng.permutation(len(corners)), 2):
        await cells(rig, unit, [corners[index] for index in part], stalls)
        await rig.reset()
        rig.cover(reset="mid-stream", unit=unit)


async def cells(rig, unit, corners, stalls):
    """One run: the bank is written in step with what reads it."""
    rng = rig.rng
    weights = [None] * CELL_DEPTH
    begin = rig.cycle
    steps, above = {}, {}  # by cycle
    pauses = rig.pauses(stalls)
    waiting = list(corners)
    end = None
    while end is None or rig.cycle < end:
        now = rig.cycle
        above[now] = [int(rng.integers(low, high)) for low, high in ((-49152, 49152), (0, 3072), (-48, 48))]
        rig.set(write__enable=0, i_address=int(rng.integers(CELL_DEPTH)))
        if waiting and not next(pauses):
            kinds = waiting.pop()
            a = number(rng, kinds[0], -128, 127)
            pair = [number(rng, kind, -127, 127) for kind in kinds[1:]]
            place = (37 * len(waiting)) % CELL_DEPTH
            # A word can be read in the cycle after it was written: the address comes then.
            rig.set(write__enable=1, write__address=place, write__data=pack(*pair))
            weights[place] = pair
            steps[now + 1] = (a, place, pair)
            rig.cover(unit=unit, activation=kinds[0], first=kinds[1], second=kinds[2], stalls=stalls)
        elif not waiting and end is None:
            end = now + LATENCY + FOLD_LAG + 2
        if now in steps:
            rig.set(i_address=steps[now][1])
        rig.set(i_activation=steps[now - LAG][0] if now - LAG in steps else int(rng.integers(-128, 128)))
        sums = {"high": 0, "low": 0, "fold": 0}
        for index, (name, late) in enumerate({"high": 0, "low": 0, "fold": FOLD_LAG}.items()):
            sums[name] = above.get(now - late, [0] * 3)[index]
        rig.set(i_sums=sums)
        (o_sums,) = await rig.sample("o_sums")
        got = above.setdefault(("o", now), (o_sums.high, o_sums.low, o_sums.fold))
        step = now - LATENCY - FOLD_LAG
        if step in steps:
            a, _, pair = steps[step]
            before, came = above[step + LATENCY - 1], above["o", now - FOLD_LAG]
            high, low, fold = came[0] - before[0], came[1] - before[1], got[2] - before[2]
            products = [low + (fold << LOW_BITS), high - fold]
            wanted = golden_sums([a], np.array([[weight] for weight in pair], np.int8))
            assert products == wanted, f"{a} times {pair} is {products}, not {wanted}, cycle {now - begin}"
    assert not waiting


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(size=list(ARRAYS), stalls=STALLS)
async def array(top, size, stalls):
    """Results of one step and of many, from words that are loaded with pauses; other words change meanwhile."""
    name, config = ARRAYS[size]
    async with Rig(top, "mac", name) as rig:
        for _ in range(2):
            await results(rig, size, config, stalls)
            await rig.reset()
            rig.cover(reset="mid-stream", unit=size)


async def results(rig, size, config, stalls):
    rng = rig.rng
    used = config.weight_depth - 1  # the last word takes noise
    whole = config.doubles
    if whole:
        rig.set(whole=1, load__whole=1)
    kind, least, most = (np.int16, -(2**15), 2**15 - 1) if whole else (np.int8, -127, 127)
    shape = (config.weight_depth, config.rows, config.pairs if whole else config.cols)
    weights = rng.integers(least, most + 1, shape, kind)
    weights[0], weights[1] = least, most
    pauses = rig.pauses(stalls)
    for load in loads(weights, range(used)):
        while next(pauses):
            rig.set(load__enable=0)
            await rig.ticks()
        rig.set(**load)
        await rig.ticks()
    rig.set(load__enable=0)
    await rig.ticks(2)

    noise = iter(())
    due = {}
    latency = SystolicArray.latency_of(config)
    left = effort(24)
    rest = []
    vector, words = [], []
    while left or rest or due:
        if not rest and left:
            left -= 1
            length = int(rng.choice([1, 1, 2, 5]))
            sums = str(rng.choice(["least", "most", "inner", "inner"]))
            rest = [int(rng.integers(used)) if sums == "inner" else int(sums == "most") for _ in range(length)]
            vector, words = [], list(rest)
            loading = "yes" if rng.random() < 0.5 else "no"
            rig.cover(size=size, stalls=stalls, length="one" if length == 1 else "several", loading=loading, sums=sums)
        if loading == "yes":
            load = next(noise, None)
            if load is None:
                noise = iter(loads(rng.integers(least, most + 1, (1, *shape[1:]), kind), [0], at=used))
                load = next(noise)
            rig.set(**load)
        else:
            rig.set(load__enable=0)
        marks = int(rng.integers(8))
        first, last = int(rng.integers(2)), int(rng.integers(2))
        activations = rng.integers(-128, 128, config.rows).tolist()
        if rest and not next(pauses):
            first, last = int(len(rest) == len(words)), int(len(rest) == 1)
            if sums != "inner":
                activations = [-128] * config.rows if sums == "least" else [127] * config.rows
                if sums == "least" and rest[0] == 0:
                    activations = [127] * config.rows  # times the least weight: the least sum
            vector += activations
            rig.set(i_step=step(1, first, last, marks), i_address=rest[0])
            rest.pop(0)
            if last:
                matrix = np.concatenate([weights[word] for word in words]).T
                due[rig.cycle + latency] = (marks, golden_sums(vector, matrix))
        else:
            rig.set(i_step=step(0, first, last, marks), i_address=int(rng.integers(config.weight_depth)))
        rig.set(i_activations=packed(activations, 8))
        now = rig.cycle
        valid, o_marks, bits = await rig.sample("o__valid", "o__marks", "o__sums")
        assert valid == (now in due), f"a result {'that nobody expects' if valid else 'is missing'}"
        if valid:
            totals = [int(total) for total in bits]
            assert (o_marks.as_value().value, totals[::2] if whole else totals) == due.pop(now)


def step(valid, first, last, marks):
    """`Step` as a number."""
    return valid | first << 1 | last << 2 | marks << 3


def loads(weights, words, at=None):
    """The `load` port's values for these words, in a board's order; all of them go to the address `at`, if there is one."""
    for word in words:
        address = int(word) if at is None else at
        for row, taken in enumerate(np.ascontiguousarray(weights[word]).view(np.int8).reshape(weights.shape[1], -1, 4)):
            for quad, four in enumerate(taken.tolist()):
                data = packed(four, 8)
                yield {"load__enable": 1, "load__address": address, "load__row": row, "load__quad": quad, "load__data": data}

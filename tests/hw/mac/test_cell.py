"""Two products a multiplier: the formula for every operand, the cell for the extremes and for noise."""

from itertools import product

import numpy as np
from celosia.hw.mac.cell import FOLD_BITS, LOW_BITS, PACKED_BITS, PairCell, PairSums, pack

EDGES = (-127, -126, -64, -33, -32, -1, 0, 1, 31, 32, 63, 126, 127)


def signed(value, bits):
    """The low `bits` of a number or an array, read as two's complement."""
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


def parts_of(a, word):
    """(high, low, fold) of one activation and an array of packed words, as the cell computes them."""
    p = a * word
    second = ((word >> LOW_BITS) + (word >> (LOW_BITS - 1) & 1)) & 31
    residue = (a & 31) * second & 31
    high = p >> LOW_BITS
    return high, p & ((1 << LOW_BITS) - 1), signed(high - residue, FOLD_BITS)


def test_formula_is_exact_for_all_operands():
    weights = np.arange(-127, 128, dtype=np.int32)
    first, second = (grid.ravel() for grid in np.meshgrid(weights, weights))
    word = (second << LOW_BITS) + first
    assert word.min() >= -(1 << (PACKED_BITS - 1))
    assert word.max() < 1 << (PACKED_BITS - 1)
    for a in range(-128, 128):
        high, low, fold = parts_of(a, word)
        np.testing.assert_array_equal((fold << LOW_BITS) + low, a * first)
        np.testing.assert_array_equal(high - fold, a * second)


def test_packed_words_are_unsigned():
    for first, second in product(EDGES, repeat=2):
        word = pack(first, second)
        assert 0 <= word < 1 << PACKED_BITS
        assert signed(word, PACKED_BITS) == (second << LOW_BITS) + first


def test_sums_hold_a_column_of_extremes():
    """The sums of `rows` products leave the column whole, and unpack to both channels' sums."""
    for rows in (4, 16, 64):
        layout = PairSums(rows)
        for a, first, second in product((-128, -127, 0, 127), EDGES, EDGES):
            high, low, fold = (int(part) * rows for part in parts_of(a, np.int64(signed(pack(first, second), PACKED_BITS))))
            sums = layout.const({"high": high, "low": low, "fold": fold})
            assert (sums.high, sums.low, sums.fold) == (high, low, fold)
            assert (low + (fold << LOW_BITS), high - fold) == (rows * a * first, rows * a * second)


def test_cell_multiplies_and_adds(bench):
    """All extremes, then noise: a new step every cycle, each at the latency that the class names."""
    rng = bench.rng
    words = [*product(EDGES, repeat=2), *rng.integers(-127, 128, (43, 2)).tolist()]
    cell = PairCell(rows=4, depth=256)
    extremes = list(product((-128, -127, -1, 0, 1, 127), range(len(words))))
    steps = [extremes[i] for i in rng.permutation(len(extremes))]
    steps += [(int(rng.integers(-128, 128)), int(rng.integers(len(words)))) for _ in range(1500)]
    above = [
        {"high": int(h), "low": int(low), "fold": int(f)}
        for h, low, f in rng.integers((-49152, 0, -48), (49152, 3072, 48), (len(steps), 3))
    ]
    lag, latency = PairCell.ACTIVATION_LAG, PairCell.LATENCY
    lags = {"high": 0, "low": 0, "fold": PairCell.FOLD_LAG}
    seen, handed = [{} for _ in steps], []

    async def testbench(ctx):
        for address, (first, second) in enumerate(words):
            bench.put(ctx, cell.write, enable=1, address=address, data=pack(first, second))
            await ctx.tick()
        ctx.set(cell.write.enable, 0)
        for cycle in range(len(steps) + latency + cell.FOLD_LAG):
            if cycle < len(steps):
                ctx.set(cell.i_address, steps[cycle][1])
            if 0 <= cycle - lag < len(steps):
                ctx.set(cell.i_activation, steps[cycle - lag][0])
            for name, late in lags.items():
                if 0 <= cycle - (latency - 1 + late) < len(steps):
                    ctx.set(getattr(cell.i_sums, name), above[cycle - (latency - 1 + late)][name])
            # Noise into a word that no step reads must not matter.
            bench.put(ctx, cell.write, enable=1, address=255, data=int(rng.integers(1 << PACKED_BITS)))
            for name, late in lags.items():
                if 0 <= cycle - (latency + late) < len(steps):
                    seen[cycle - (latency + late)][name] = ctx.get(getattr(cell.o_sums, name))
            if cycle >= lag + 1:
                handed.append((ctx.get(cell.o_activation), ctx.get(cell.o_address)))
            await ctx.tick()

    bench.run(cell, testbench)
    for (a, index), before, sums in zip(steps, above, seen, strict=True):
        gained = {name: sums[name] - before[name] for name in ("high", "low", "fold")}
        first, second = words[index]
        assert gained["low"] + (gained["fold"] << LOW_BITS) == a * first, (a, first, second)
        assert gained["high"] - gained["fold"] == a * second, (a, first, second)
    # What goes to the right is a cycle late: the activation of a step, the address of the step `lag` after it.
    assert [activation for activation, _ in handed[: len(steps)]] == [a for a, _ in steps]
    assert [address for _, address in handed[: len(steps) - lag]] == [address for _, address in steps[lag:]]

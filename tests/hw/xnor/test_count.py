"""Counting trees against the golden model: every small case, random large ones, and the ECP5's chains against their twin."""

import numpy as np
import pytest
from amaranth.hdl import signed, unsigned
from celosia.hw.xnor.count import MismatchCounter
from celosia.sim import golden
from twins import first_difference


def _outputs(bench, dut, weights, activations, inside, sums, levels=1):
    """What a counter gives for each row of its inputs, by row and pixel."""
    results = []
    rows = len(weights)

    def row(cycle):
        return min(max(cycle, 0), rows - 1)

    async def testbench(ctx):
        for cycle in range(rows + dut.latency):
            ctx.set(dut.i_weights.as_value(), int.from_bytes(weights[row(cycle)].tobytes(), "little"))
            ctx.set(dut.i_activations.as_value(), int.from_bytes(activations[row(cycle)].tobytes(), "little"))
            bits = inside[row(cycle - dut.inside_lag(levels=levels))].reshape(-1)
            ctx.set(dut.i_inside.as_value(), int("".join(map(str, bits[::-1])), 2))
            ctx.set(dut.i_sums, [int(number) for number in sums[row(cycle - dut.latency + dut.SUM_LATENCY)]])
            results.append([ctx.get(number) for number in dut.o])
            await ctx.tick()

    bench.run(dut, testbench)
    return np.array(results[dut.latency :])


def test_every_byte_against_every_byte(bench):
    """All 65,536 pairs of a byte of weights and one of activations."""
    pixels = 32
    weights = np.repeat(np.arange(256, dtype=np.uint8), 256 // pixels)[:, np.newaxis]
    activations = np.tile(np.arange(256, dtype=np.uint8), 256).reshape(-1, pixels, 1)
    dut = MismatchCounter(count=1, pixels=pixels, base=signed(5), total=signed(6))
    sums = bench.rng.integers(-16, 16, (len(weights), pixels))
    found = _outputs(bench, dut, weights, activations, np.ones((len(weights), pixels, 1), np.int64), sums)
    assert (found == sums + golden.mismatches(activations, weights[:, np.newaxis])).all()


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize(
    ("count", "pixels", "bits"), [(1, 2, 5), (2, 1, 8), (2, 4, 8), (3, 1, 9), (4, 2, 7), (5, 1, 8), (16, 1, 12), (32, 1, 14)]
)
def test_words(bench, count, pixels, bits, levels):
    """Random words, some that differ everywhere and some nowhere, with random bytes that do not count."""
    dut = MismatchCounter(count=count, pixels=pixels, base=signed(bits), total=signed(bits), levels=levels)
    rows = 100
    weights = bench.rng.integers(0, 256, (rows, count), dtype=np.uint8)
    activations = bench.rng.integers(0, 256, (rows, pixels, count), dtype=np.uint8)
    inside = bench.rng.integers(0, 2, (rows, pixels, count))
    inside[:30] = 1
    activations[:10] = weights[:10, np.newaxis] ^ 0xFF
    activations[10:20] = weights[10:20, np.newaxis]
    sums = bench.rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (rows, pixels))
    found = _outputs(bench, dut, weights, activations, inside, sums, levels)
    expected = sums + golden.mismatches(activations, weights[:, np.newaxis], inside != 0)
    wrapped = (expected + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
    assert (found == wrapped).all()


@pytest.mark.parametrize(("count", "pixels"), [(1, 1), (2, 2), (3, 1)])
def test_chains_equal_their_twin(count, pixels):
    """Random inputs; seven bits, so that the sums wrap."""

    def make():
        return MismatchCounter(count=count, pixels=pixels, base=signed(6), total=unsigned(7))

    assert first_difference(make, cycles=5000) is None


@pytest.mark.parametrize(("name", "sizes"), [("count", {"count": 0, "pixels": 1}), ("pixels", {"count": 1, "pixels": 0})])
def test_sizes_are_checked(name, sizes):
    with pytest.raises(ValueError, match=f"a mismatch counter's {name} must be 1 or more, not 0"):
        MismatchCounter(**sizes, base=8, total=8)

"""Counting trees against the golden model: every small case, random large ones, and the ECP5's chains against their twin."""

import numpy as np
import pytest
from amaranth.hdl import signed, unsigned
from celosia.hw.xnor.count import MismatchCounter
from celosia.sim import golden
from twins import first_difference


def _outputs(bench, dut, activations, weights, inside, sums):
    """What a counter gives for each row of its inputs, by row and output."""
    results = []

    async def testbench(ctx):
        cycles = len(activations) + dut.latency
        for cycle in range(cycles):
            word, late = min(cycle, len(activations) - 1), min(max(cycle - dut.latency + 1, 0), len(activations) - 1)
            bench.put(ctx, dut.i_activations)
            ctx.set(dut.i_activations.as_value(), int.from_bytes(activations[word].tobytes(), "little"))
            ctx.set(dut.i_weights.as_value(), int.from_bytes(weights[word].tobytes(), "little"))
            ctx.set(dut.i_inside, int(inside[word] @ (1 << np.arange(inside.shape[1]))))
            ctx.set(dut.i_sums, [int(number) for number in sums[late]])
            results.append([ctx.get(number) for number in dut.o])
            await ctx.tick()

    bench.run(dut, testbench)
    return np.array(results[dut.latency :])


def test_every_byte_against_every_byte(bench):
    """All 65,536 pairs of a byte of activations and one of weights; some words do not count."""
    outputs = 32
    activations = np.repeat(np.arange(256, dtype=np.uint8), 256 // outputs)[:, np.newaxis]
    weights = np.tile(np.arange(256, dtype=np.uint8), 256).reshape(-1, outputs, 1)
    inside = np.ones((len(activations), 1), np.int64)
    dut = MismatchCounter(count=1, outputs=outputs, shape=signed(6))
    sums = bench.rng.integers(-32, 24, (len(activations), outputs))
    found = _outputs(bench, dut, activations, weights, inside, sums)
    assert (found == sums + golden.mismatches(activations[:, np.newaxis], weights)).all()


@pytest.mark.parametrize(
    ("count", "outputs", "bits"), [(1, 2, 5), (2, 1, 8), (2, 2, 8), (3, 1, 9), (4, 2, 7), (5, 1, 8), (16, 1, 12), (32, 1, 14)]
)
def test_words(bench, count, outputs, bits):
    """Random words, some that differ everywhere and some nowhere, with random bytes that do not count."""
    dut = MismatchCounter(count=count, outputs=outputs, shape=signed(bits))
    rows = 100
    activations = bench.rng.integers(0, 256, (rows, count), dtype=np.uint8)
    weights = bench.rng.integers(0, 256, (rows, outputs, count), dtype=np.uint8)
    inside = bench.rng.integers(0, 2, (rows, count))
    inside[:30] = 1
    weights[:10] = activations[:10, np.newaxis] ^ 0xFF
    weights[10:20] = activations[10:20, np.newaxis]
    sums = bench.rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (rows, outputs))
    found = _outputs(bench, dut, activations, weights, inside, sums)
    expected = sums + golden.mismatches(activations[:, np.newaxis], weights, inside[:, np.newaxis] != 0)
    wrapped = (expected + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
    assert (found == wrapped).all()


@pytest.mark.parametrize(("count", "outputs"), [(1, 1), (2, 2), (3, 1)])
def test_chains_equal_their_twin(count, outputs):
    """Random inputs; seven bits, so that the sums wrap."""

    def make():
        return MismatchCounter(count=count, outputs=outputs, shape=unsigned(7))

    assert first_difference(make, cycles=20_000) is None


@pytest.mark.parametrize(("name", "sizes"), [("count", {"count": 0, "outputs": 1}), ("outputs", {"count": 1, "outputs": 0})])
def test_sizes_are_checked(name, sizes):
    with pytest.raises(ValueError, match=f"a mismatch counter's {name} must be 1 or more, not 0"):
        MismatchCounter(**sizes, shape=8)

"""The array against a matrix product: every cycle something else, results at the latency that the class names."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Signal
from celosia.hw.engine import Marks
from celosia.hw.mac.array import SystolicArray
from celosia.hw.mac.cell import PairCell
from celosia.hw.presets import preset
from twins import first_difference

MINI = replace(preset("mini"), weight_depth=8)
EIGHT = replace(preset("ecp5-25"), weight_depth=8)
GROUPS = replace(EIGHT, row_groups=3, carry_rows=0)


def loads(weights, words):
    """The `load` port's values for these words of weights (depth, rows, cols), in a board's order."""
    return [
        {
            "enable": 1,
            "address": int(word),
            "row": row,
            "quad": quad,
            "data": weights[word, row, 4 * quad : 4 * quad + 4].tolist(),
        }
        for word in words
        for row in range(weights.shape[1])
        for quad in range(weights.shape[2] // 4)
    ]


def noise_step(rng):
    return {"valid": 0, "first": int(rng.integers(2)), "last": int(rng.integers(2)), "marks": int(rng.integers(8))}


def random_steps(rng, count, bubbles):
    """Steps of `count` results of 1 to 6 steps, with bubbles of noise between them."""
    steps = []
    for _ in range(count):
        length = int(rng.integers(1, 7))
        for index in range(length):
            while rng.random() < bubbles:
                steps.append(noise_step(rng))
            steps.append(
                {"valid": 1, "first": int(index == 0), "last": int(index == length - 1), "marks": int(rng.integers(8))}
            )
    return steps


def simulate(bench, config, weights, steps, addresses, activations, loading=(), whole=False):
    """What `o` gives: {cycle of the step with `last`: (marks, sums)}, after the banks took `weights`; with `whole`, those of 16
    bits, as their bytes."""
    array = SystolicArray(config)
    assert array.latency == SystolicArray.latency_of(config)
    assert array.latency == SystolicArray.INPUT_LATENCY + config.rows + config.row_groups + PairCell.LATENCY + config.pairs
    loading = iter(loading)
    results = {}

    async def testbench(ctx):
        if whole:
            ctx.set(array.whole, 1)
            ctx.set(array.load.whole, 1)
        for load in loads(weights, range(len(weights))):
            bench.put(ctx, array.load, **load)
            await ctx.tick()
        ctx.set(array.load.enable, 0)
        await bench.ticks(ctx, 2)
        for cycle in range(len(steps) + array.latency):
            if cycle < len(steps):
                ctx.set(array.i_step, {**steps[cycle], "marks": Marks.from_bits(steps[cycle]["marks"])})
                ctx.set(array.i_address, int(addresses[cycle]))
                ctx.set(array.i_activations, activations[cycle].tolist())
            else:
                ctx.set(array.i_step.valid, 0)
            bench.put(ctx, array.load, **next(loading, {"enable": 0}))
            if ctx.get(array.o.valid):
                results[cycle - array.latency] = (ctx.get(array.o.marks.as_value()), list(ctx.get(array.o.sums)))
            await ctx.tick()

    bench.run(array, testbench)
    return results


def expected(weights, steps, addresses, activations):
    """The same by a matrix product for every step."""
    results = {}
    total = None
    for cycle, step in enumerate(steps):
        if step["valid"]:
            products = activations[cycle].astype(np.int64) @ weights[addresses[cycle]].astype(np.int64)
            total = products if step["first"] else total + products
            if step["last"]:
                results[cycle] = (step["marks"], total.tolist())
    return results


@pytest.mark.parametrize("config", [MINI, EIGHT, GROUPS], ids=["4x4", "8x8", "3 groups"])
@pytest.mark.parametrize("bubbles", [0.0, 0.4])
def test_array_is_a_matrix_product(bench, config, bubbles):
    rng = bench.rng
    weights = rng.integers(-127, 128, (8, config.rows, config.cols)).astype(np.int8)
    weights[0], weights[1] = -127, 127
    steps = random_steps(rng, 100, bubbles)
    addresses = rng.integers(0, 8, len(steps))
    activations = rng.integers(-128, 128, (len(steps), config.rows)).astype(np.int8)
    activations[rng.random(len(steps)) < 0.2] = -128
    results = simulate(bench, config, weights, steps, addresses, activations)
    assert results == expected(weights, steps, addresses, activations)


@pytest.mark.parametrize("config", [MINI, GROUPS], ids=["4x4", "3 groups"])
def test_weights_of_sixteen_bits(bench, config):
    """A weight for each pair of columns: the sums of the first ones."""
    rng, config = bench.rng, replace(config, widest_bits=16)
    weights = rng.integers(-(2**15), 2**15, (8, config.rows, config.pairs)).astype(np.int16)
    weights[0], weights[1] = -(2**15), 2**15 - 1
    steps = random_steps(rng, 60, 0.2)
    addresses = rng.integers(0, 8, len(steps))
    activations = rng.integers(-128, 128, (len(steps), config.rows)).astype(np.int8)
    activations[rng.random(len(steps)) < 0.2] = -128
    results = simulate(bench, config, weights.view(np.int8), steps, addresses, activations, whole=True)
    firsts = {cycle: (marks, sums[::2]) for cycle, (marks, sums) in results.items()}
    assert firsts == expected(weights, steps, addresses, activations)


def test_weights_load_while_the_array_works(bench):
    """A word may be overwritten as soon as no step in flight reads it; the other words do not notice."""
    rng = bench.rng
    weights = rng.integers(-127, 128, (8, 4, 4)).astype(np.int8)
    steps = random_steps(rng, 100, 0.1)
    addresses = rng.integers(0, 6, len(steps))
    activations = rng.integers(-128, 128, (len(steps), 4)).astype(np.int8)
    noise = rng.integers(-127, 128, (8, 4, 4)).astype(np.int8)
    loading = [load for _ in range(100) for load in loads(noise, (6, 7))]
    results = simulate(bench, MINI, weights, steps, addresses, activations, loading)
    assert results == expected(weights, steps, addresses, activations)


@pytest.mark.parametrize("carry_rows", [0, 2])
def test_the_array_on_the_ecp5_is_the_same(carry_rows):
    """With the primitives of the ECP5 instead of their twins: weights are loaded, then steps taken, by turns."""
    config = replace(MINI, weight_depth=128, carry_rows=carry_rows)

    def drive(m, noise, array):
        clock = Signal(9)
        m.d.sync += clock.eq(clock + 1)
        loading = clock[-1]
        marks = Signal(Marks)
        m.d.comb += [
            array.load.enable.eq(loading),
            array.load.address.eq(noise[:3]),
            array.load.row.eq(clock),
            array.load.data.as_value().eq(noise[10:42]),
            marks.as_value().eq(noise[42:45]),
            array.i_step.marks.eq(marks),
            array.i_step.valid.eq(~loading & noise[45:47].any()),
            array.i_step.first.eq(noise[47:49] == 0),
            array.i_step.last.eq(noise[49]),
            array.i_address.eq(noise[50:53]),
            array.i_activations.as_value().eq(noise[60:92]),
        ]

    assert first_difference(lambda: SystolicArray(config), cycles=5000, drive=drive) is None

"""Activation memory: any byte address, any count, and the latencies that the class names."""

from dataclasses import replace

import numpy as np
import pytest
from celosia.hw.memory.activations import ActivationMemory
from celosia.hw.presets import preset

SIZES = [
    replace(preset("mini"), rows=rows, cols=rows, requant_lanes=rows // 2, activation_bytes=rows * 16, name=f"rows {rows}")
    for rows in (4, 8, 16)
]


@pytest.fixture(params=SIZES, ids=lambda config: config.name)
def config(request):
    return request.param


def random_write(rng, config, chance):
    if rng.random() >= chance:
        # A write that is none must not write, whatever else it says.
        return 0, int(rng.integers(config.activation_bytes)), config.rows, [85] * config.rows
    count = int(rng.choice([0, 1, config.rows, *range(config.rows + 1)]))
    values = rng.integers(-128, 128, config.rows).tolist()
    return 1, int(rng.integers(config.activation_bytes)), count, values


@pytest.mark.parametrize("chance", [1.0, 0.3])
def test_reads_and_writes_at_any_byte(bench, config, chance):
    """A write and a read every cycle, both anywhere; a read sees exactly the writes given `WRITE_LATENCY` cycles before."""
    rng = bench.rng
    memory = ActivationMemory(config)
    content = np.zeros(config.activation_bytes, np.int64)
    pending, expected = [], {}
    bystanders = 0

    async def testbench(ctx):
        nonlocal bystanders
        for cycle in range(900):
            while pending and pending[0][0] + memory.WRITE_LATENCY <= cycle:
                _, where, values = pending.pop(0)
                content[where] = values
            # Half of the reads lie beside the latest writes.
            address = int(rng.integers(config.activation_bytes))
            if pending and rng.random() < 0.5:
                address = (
                    int(pending[0][1][0] + rng.integers(-2, 3)) % config.activation_bytes if len(pending[0][1]) else address
                )
            first, end = (int(value) for value in rng.integers(0, config.rows + 1, 2))
            if rng.random() < 0.5:
                first, end = 0, config.rows
            pad = int(rng.integers(-128, 128))
            where = (address + np.arange(config.rows)) % config.activation_bytes
            lanes = np.arange(config.rows)
            inside = (first <= lanes) & (lanes < end)
            values = np.where(inside, content[where], pad)
            # What is on its way may be there or not: those bytes are not asked for.
            unsure = {int(byte) for _, written, _ in pending for byte in written}
            sure = np.array([not is_in or int(byte) not in unsure for is_in, byte in zip(inside, where, strict=True)])
            expected[cycle + memory.READ_LATENCY] = values, sure, inside
            bystanders += int((~sure).sum())
            bench.put(ctx, memory.read, address=address, first=first, end=end, pad=pad)

            enable, address, count, data = random_write(rng, config, chance)
            bench.put(ctx, memory.write, enable=enable, address=address, count=count, data=data)
            if enable:
                pending.append((cycle, (address + np.arange(count)) % config.activation_bytes, data[:count]))
            if cycle in expected:
                values, sure, inside = expected.pop(cycle)
                assert ctx.get(memory.o_inside) == int(inside @ (1 << lanes))
                got = np.array(list(ctx.get(memory.o_data)))
                np.testing.assert_array_equal(got[sure], values[sure])
            await ctx.tick()

    bench.run(memory, testbench)
    assert bystanders > 0

"""Results to planes of their bits: a write a plane, or the write as it is."""

from dataclasses import replace

import pytest
from celosia.hw.post.planes import PlaneWriter
from celosia.hw.presets import preset

CONFIG = replace(preset("mini"), rows=8, cols=8, requant_lanes=8, xnor_pixels=4)
BYTES = CONFIG.activation_bytes


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("planes", [0, 2, 4])
def test_writes(bench, planes, gaps):
    """As close as may be, or apart; addresses wrap as the memory's do."""
    rng, dut = bench.rng, PlaneWriter(CONFIG)
    stride = int(rng.integers(BYTES))
    given, expected = {}, {}
    now = 2
    for _ in range(20):
        address, count, data = int(rng.integers(BYTES)), int(rng.integers(1, 9)), rng.integers(-128, 128, 8)
        given[now] = (address, count, data.tolist())
        if not planes:
            expected[now] = (address, count, data.tolist())
        for plane in range(planes):
            packed = sum(int(value >> plane & 1) << lane for lane, value in enumerate(data))
            expected[now + plane] = ((address + plane * stride) % BYTES, count, packed)
        now += max(planes, 1) + (int(rng.integers(4)) if gaps else 0)
    found = {}

    async def testbench(ctx):
        ctx.set(dut.planes, planes)
        ctx.set(dut.stride, stride)
        for cycle in range(now + 6):
            noise = (int(rng.integers(BYTES)), 3, rng.integers(-128, 128, 8).tolist())
            address, count, data = given.get(cycle, noise)
            bench.put(ctx, dut.i, enable=cycle in given, address=address, count=count, data=data)
            if ctx.get(dut.o.enable):
                values = [ctx.get(value) for value in dut.o.data]
                packed = values[0] & 0xFF
                found[cycle] = (ctx.get(dut.o.address), ctx.get(dut.o.count), packed if planes else values)
            await ctx.tick()

    bench.run(dut, testbench)
    assert found == expected

"""Blocks as their chips get them, in the vendors' cells: the benches of the blocks themselves run on their netlists."""

import cocotb
from celosia.hw.compact.columns import Columns
from stalls import STALLS

from .bench_mac import all_corners, golden_sums
from .blocks import COMPACT
from .rig import TIMEOUT, Rig, effort, packed


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(stalls=STALLS)
async def cell_on_ecp5(top, stalls):
    """MULT18X18D, DP16KD, carry chains, LUT4 and flip-flops."""
    async with Rig(top, "netlist", "cell_on_ecp5") as rig:
        await all_corners(rig, "ecp5", stalls)


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(stalls=STALLS)
async def columns_on_ice40(top, stalls):
    """SB_MAC16, a column each: sums of few and of many products."""
    async with Rig(top, "netlist", "columns_on_ice40") as rig:
        for part in range(2):
            await sums(rig, stalls)
            if not part:
                for _ in range(3):  # of a sum that never ends
                    await one(rig, {}, add=1, last=0, noise=True)
                await rig.reset()
                rig.cover(reset="mid-stream", unit="ice40")


async def sums(rig, stalls):
    rng, cols = rig.rng, COMPACT.cols
    pauses = rig.pauses(stalls)
    due = {}
    for index in range(effort(16)):
        values = ("inner", "least", "most")[index % 3]
        length = int(rng.integers(1, 9))
        x, weights = rng.integers(-128, 128, length), rng.integers(-127, 128, (cols, length))
        if values != "inner":
            x[...], weights[...] = (127, -127) if values == "least" else (-128, -127)
        for place in range(length):
            while next(pauses):
                await one(rig, due, add=0, last=0, noise=True)
            rig.set(i_activation=int(x[place]), i_weights=packed(weights[:, place], 8))
            if place + 1 == length:
                due[rig.cycle + Columns.LATENCY] = golden_sums(x, weights)
            await one(rig, due, add=1, last=int(place + 1 == length))
        await one(rig, due, add=0, last=0, noise=True)  # the next result begins two cycles after the last
        rig.cover(unit="ice40", stalls=stalls, values=values)
    while due:
        await one(rig, due, add=0, last=0)


async def one(rig, due, *, add, last, noise=False):
    """A cycle."""
    rig.set(add=add, last=last)
    if noise:
        rig.set(i_activation=int(rig.rng.integers(-128, 128)), i_weights=int(rig.rng.integers(1 << 32)))
    now = rig.cycle
    await rig.settled()
    assert rig.bits("o_valid") == (now in due)
    if now in due:
        assert [int(total) for total in rig.get("o_sums")] == due.pop(now)
    await rig.ticks()

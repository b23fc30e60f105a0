"""From signs to bytes: packed or as numbers, whole blocks and the last ones of a row, tiles of which a part counts."""

from dataclasses import replace

import numpy as np
import pytest
from celosia.hw.config import XNOR_TILES
from celosia.hw.presets import preset
from celosia.hw.xnor.writer import XnorWriter
from celosia.sim import golden

CONFIG = replace(preset("mini"), rows=8, cols=8, requant_lanes=8, xnor_pixels=4)


@pytest.mark.parametrize("binary", [1, 0])
@pytest.mark.parametrize(
    ("columns", "rows", "outputs", "tiles"),
    [(4, 2, 16, 2), (9, 3, 24, 4), (3, 2, 40, 5), (1, 3, 8, 2), (5, 1, CONFIG.rows * XNOR_TILES, XNOR_TILES)],
)
def test_maps(bench, binary, columns, rows, outputs, tiles):
    """A map of random signs, at a random place of a memory that is otherwise untouched; `done` when all is written."""
    rng, writer = bench.rng, XnorWriter(CONFIG)
    signs = rng.choice(np.array([-1, 1], np.int8), (rows, columns, outputs))
    pixel_bytes = outputs // 8 if binary else outputs
    base = int(rng.integers(100))
    content = golden.pack_bits(signs).view(np.int8) if binary else signs
    expected = {base + index: int(value) for index, value in enumerate(content.reshape(-1))}
    blocks = -(-columns // CONFIG.xnor_pixels)
    pixels = min(columns, CONFIG.xnor_pixels)
    descriptor = {
        "write_address": base,
        "write_column_stride": pixel_bytes,
        "write_row_stride": columns * pixel_bytes,
        "last_lanes": outputs,
        "pixels": pixels,
        "last_pixels": columns - (blocks - 1) * CONFIG.xnor_pixels,
        "binary": binary,
    }
    memory, done, last_write = {}, [], 0

    async def tick(ctx, now):
        nonlocal last_write
        if ctx.get(writer.write.enable):
            address, count = ctx.get(writer.write.address), ctx.get(writer.write.count)
            values = list(ctx.get(writer.write.data))
            for byte in range(count):
                assert address + byte not in memory
                memory[address + byte] = values[byte]
            last_write = now
        if ctx.get(writer.done):
            done.append(now)
        await ctx.tick()
        return now + 1

    async def testbench(ctx):
        ctx.set(writer.descriptor, descriptor)
        ctx.set(writer.start, 1)
        now = await tick(ctx, 0)
        ctx.set(writer.start, 0)
        for row in range(rows):
            for block in range(blocks):
                for tile in range(tiles):
                    bits = []
                    for pixel in range(CONFIG.xnor_pixels):
                        column = block * CONFIG.xnor_pixels + pixel
                        own = np.zeros(CONFIG.rows, np.int64)
                        if column < columns:
                            part = signs[row, column, tile * CONFIG.rows : (tile + 1) * CONFIG.rows]
                            own[: len(part)] = part > 0
                        bits.append(int(own @ (1 << np.arange(CONFIG.rows))))
                    last = block + 1 == blocks
                    marks = {"row_end": last, "tile_end": last and row + 1 == rows, "layer_end": last and row + 1 == rows}
                    ctx.set(writer.i, {"valid": 1, "end": tile + 1 == tiles, "marks": marks, "bits": bits})
                    now = await tick(ctx, now)
                ctx.set(writer.i.valid, 0)
                for _ in range(tiles * pixels - tiles):
                    now = await tick(ctx, now)
        for _ in range(tiles * pixels + writer.WAIT + writer.DONE_LATENCY + 4):
            now = await tick(ctx, now)

    bench.run(writer, testbench)
    assert memory == expected
    assert len(done) == 1
    assert done[0] >= last_write + writer.DONE_LATENCY - 1

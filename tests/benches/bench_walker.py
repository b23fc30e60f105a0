"""The window walker against the golden im2col: what it reads of a memory full of noise are the windows of the image."""

import cocotb
import numpy as np
from celosia.hw.isa import Descriptor, Operation
from celosia.hw.memory.activations import ActivationMemory
from celosia.hw.memory.walker import WindowWalker
from celosia.hw.memory.weights import WeightBuffer
from celosia.sim.golden.windows import output_size, patches, surround
from stalls import STALLS

from .blocks import WALKERS
from .rig import TIMEOUT, Rig, Scoreboard, effort

WALKS = ("run", "dilated", "diagonal", "flat")
BASE = 1000  # where images begin: a window may begin before its image


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(beats=list(WALKERS), walk=WALKS, stalls=STALLS)
async def windows(top, beats, walk, stalls):
    """Layers of all kinds, the weights late or not; a reset in the middle of the first one."""
    name, config = WALKERS[beats]
    async with Rig(top, "walker", name) as rig:
        memory = rig.rng.integers(-128, 128, config.activation_bytes).astype(np.int8)
        for index in range(4 * effort(1)):
            stride, padded = 1 + index % 2, bool(index // 2 % 2) and walk != "flat"
            layer, steps = draw(rig.rng, config, memory, walk, stride, padded)
            if not index:
                await run(rig, config, memory, layer, steps, stalls, stop=len(steps) // 2)
                await rig.reset()
                rig.cover(reset="mid-stream")
            await run(rig, config, memory, layer, steps, stalls)
            rig.cover(
                beats=beats,
                walk=walk,
                stalls=stalls,
                stride="one" if stride == 1 else "more",
                padding="some" if padded else "none",
                wide=layer["wide"],
                tiles="one" if layer["tiles"] == 1 else "several",
            )


def draw(rng, config, memory, walk, stride, padded):
    """A layer: its descriptor's fields, and of every step (bytes that it must read, first, last, marks, release)."""
    rows = config.rows
    flat = walk == "flat"
    height, width = (1, 1) if flat else (int(rng.integers(4, 7)), int(rng.integers(4, 7)))
    channels = int(rng.integers(1, 60)) if flat else int(rng.integers(1, 10))
    kernel = (1, 1) if flat else tuple(rng.integers(1, 4, 2).tolist())
    dilation = (1, int(rng.integers(2, 4))) if walk == "dilated" else (1, 1)
    padding = tuple(tuple(rng.integers(0, 3, 2).tolist()) if padded else (0, 0) for _ in range(2))
    # A window must fit: the images are no larger than their memory needs them.
    kernel = tuple(
        min(k, (extent + sum(around) - 1) // d + 1)
        for k, extent, around, d in zip(kernel, (height, width), padding, dilation, strict=True)
    )
    pad = int(rng.integers(-128, 128))
    image = memory[BASE : BASE + height * width * channels].reshape(1, height, width, channels)
    framed = surround(image, padding, np.int8, 0, pad)
    (view,) = patches(framed, kernel, (stride, stride), dilation)
    outputs = [
        output_size(extent, k, stride, d, around)
        for extent, k, d, around in zip((height, width), kernel, dilation, padding, strict=True)
    ]
    assert view.shape[:2] == tuple(outputs)

    diagonal = walk == "diagonal"
    tiles = -(-channels // config.cols) if diagonal else int(rng.integers(1, 4))
    pixel, row = channels, width * channels
    run = kernel[1] * channels if walk in ("run", "flat") else channels
    chunks = 1 if diagonal else -(-run // rows)
    columns = 1 if walk in ("run", "flat") else kernel[1]
    (top, _), (left, _) = padding
    fields = {
        "operation": Operation.MAC,
        "diagonal": int(diagonal),
        "wide": int(rng.integers(2)),
        "pad_value": pad,
        "row_address": BASE - top * row,
        "column_start": -left * pixel,
        "column_limit": row,
        "row_start": -top,
        "row_limit": height,
        "output_row_step": stride,
        "kernel_row_step": dilation[0],
        "kernel_rows": kernel[0],
        "kernel_columns": columns,
        "chunks": chunks,
        "output_columns": outputs[1],
        "output_rows": outputs[0],
        "tiles": tiles,
        "output_row_stride": stride * row,
        "kernel_row_stride": dilation[0] * row,
        "output_column_stride": stride * pixel,
        "kernel_column_stride": dilation[1] * pixel,
    }
    steps = []
    for tile in range(tiles):
        for y, x in np.ndindex(*outputs):
            row_end = x + 1 == outputs[1]
            tile_end = row_end and y + 1 == outputs[0]
            window = view[y, x].reshape(kernel[0] * columns, -1)
            pieces = []
            for line in window:
                line = line[tile * config.cols : (tile + 1) * config.cols] if diagonal else line
                pieces += [line[at : at + rows].tolist() for at in range(0, len(line), rows)]
            for index, piece in enumerate(pieces):
                last = index + 1 == len(pieces)
                marks = (last and row_end) | (last and tile_end) << 1 | (last and tile_end and tile + 1 == tiles) << 2
                steps.append((piece, int(index == 0), int(last), int(marks), int(tile_end)))
    return fields, steps


async def run(rig, config, memory, layer, steps, stalls, stop=None):
    """Walks a layer, or its first `stop` steps."""
    rig.set(descriptor=Descriptor.const(layer), start=1)
    await rig.ticks()
    rig.set(start=0)
    board, asked = Scoreboard("step"), Scoreboard("request")
    board.expect(*(step[:4] for step in steps))
    asked.expect(*((last, release) for _, _, last, _, release in steps))
    pauses = rig.pauses(stalls)
    reads, named = {}, {}
    results, tiles = [], []
    idle = 0
    while idle < WindowWalker.LATENCY + 2:
        now = rig.cycle
        ready, word = int(not next(pauses)), int(rig.rng.integers(config.weight_depth))
        rig.set(weight_ready=ready, weight_address=word)
        named[now] = word
        await rig.settled()
        taken, starved, stalled, active = (rig.bits(name) for name in ("taken", "starved", "stalled", "active"))
        assert taken + starved + stalled == active
        assert not (taken and not ready), "a step without its weights"
        assert not (starved and ready)
        assert rig.bits("weights__step") == taken
        if taken:
            end, release = rig.bits("weights__result_end"), rig.bits("weights__release")
            asked((end, release))
            if end:
                results.append(now)
                if release:
                    tiles.append(now)
        reads[now] = [rig.get(f"read__{name}") for name in ("address", "first", "end", "pad")]
        step = rig.bits("o_step")
        if step & 1:
            piece = board.next()[0]
            got = read(memory, config, *reads[now - ActivationMemory.READ_LATENCY])[: len(piece)]
            board((got, step >> 1 & 1, step >> 2 & 1, step >> 3))
            assert rig.bits("o_address") == named[now - WindowWalker.LATENCY + WeightBuffer.ADDRESS_LATENCY]
            if board.seen == stop:
                await rig.ticks()
                return
        idle = 0 if active or board.seen < len(steps) else idle + 1
        assert now - max(results, default=now) < 3000, "it hangs"
        await rig.ticks()
    board.finish()
    asked.finish()
    assert (np.diff(results) >= config.result_pace(wide=bool(layer["wide"]))).all(), "results too close for the requantizer"
    assert (np.diff(tiles) >= config.tile_cycles).all(), "tiles too close for the channel parameters"


def read(memory, config, address, first, end, pad):
    """What the activation memory answers."""
    places = (address + np.arange(config.rows)) % config.activation_bytes
    return [int(memory[place]) if first <= lane < end else pad for lane, place in enumerate(places)]

"""The depthwise unit against the golden depthwise convolution: maps of several tiles, strides, padding, pauses."""

import cocotb
import numpy as np
from celosia.hw.isa import Descriptor, Operation
from celosia.hw.mac.depthwise import DepthwiseUnit
from celosia.hw.mac.depthwise_lane import KERNEL
from celosia.sim.golden import depthwise_conv2d_sums
from stalls import STALLS

from .blocks import DEPTHWISE
from .rig import TIMEOUT, Rig, Scoreboard, effort, packed


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(beats=list(DEPTHWISE), stalls=STALLS)
async def layers(top, beats, stalls):
    """Layers one after another, each with its weights loaded before it; between two of them a reset in mid-stream."""
    name, config = DEPTHWISE[beats]
    async with Rig(top, "depthwise", name) as rig:
        plan = [(stride, values) for stride in (1, 2, 3) for values in ("inner", "least", "most")] * effort(1)
        for index, (stride, values) in enumerate(plan):
            fields = draw(rig.rng, config, stride, tiles=1 + index % 3, wide=index % 2)
            shape = (fields["output_rows"], fields["output_columns"], fields["tiles"] * config.cols)
            image, weights = rig.rng.integers(-128, 128, shape), rig.rng.integers(-128, 128, (KERNEL, KERNEL, shape[2]))
            if values != "inner":  # products of one sign
                image[...], weights[...], fields["pad_value"] = -128, {"least": 127, "most": -128}[values], -128
            await load(rig, config, fields, weights, stalls)
            if index == len(plan) // 2:
                await layer(rig, config, fields, image, weights, stalls, stop=int(rig.rng.integers(1, 20)))
                await rig.reset()
                rig.cover(reset="mid-stream")
            await layer(rig, config, fields, image, weights, stalls)
            edges = fields["window_row"] == 0 or fields["window_column"] == 0
            rig.cover(
                beats=beats,
                stalls=stalls,
                stride=stride,
                values=values,
                wide=fields["wide"],
                tiles="one" if fields["tiles"] == 1 else "several",
                begins="edge" if edges else "inside",
            )


def draw(rng, config, stride, *, tiles, wide):
    """A descriptor's fields. The compiler gives the unit no smaller maps than these."""
    height, width = int(rng.integers(1, 6)), int(rng.integers(KERNEL, 8))
    if height * width < max(DepthwiseUnit.FETCH_CYCLES, config.tile_cycles):
        height += 3
    row, column = (int(rng.integers(min(2, extent))) for extent in (height, width))
    return {
        "operation": Operation.DEPTHWISE,
        "tiles": tiles,
        "output_rows": height,
        "output_columns": width,
        "pad_value": int(rng.integers(-128, 128)),
        "wide": wide,
        "weight_base": int(rng.integers(config.depthwise_tiles - tiles + 1)),
        "window_stride": stride,
        "window_row": row,
        "window_column": column,
        "window_rows": (height - 1 - row) // stride + 1,
        "window_columns": (width - 1 - column) // stride + 1,
    }


def golden(fields, image, weights):
    """Sums of (rows, columns, channels): the golden ones leave the zero point out, which the unit does not."""
    point, stride = fields["pad_value"], fields["window_stride"]
    padding = tuple((1 - fields[f"window_{axis}"], 1) for axis in ("row", "column"))
    channels = image.shape[2]
    (sums,) = depthwise_conv2d_sums(
        image[np.newaxis].astype(np.int8),
        weights.astype(np.int8),
        np.zeros(channels, np.int32),
        input_zero_point=point,
        stride=(stride, stride),
        padding=padding,
    )
    sums = sums + point * weights.sum(axis=(0, 1))
    return sums[: fields["window_rows"], : fields["window_columns"]]


async def load(rig, config, fields, weights, stalls):
    rig.set(load_at=1, load_entry=fields["weight_base"])
    await rig.ticks()
    rig.set(load_at=0)
    tiles = weights.reshape(KERNEL * KERNEL, fields["tiles"], config.cols).transpose(1, 0, 2)
    words = tiles.astype(np.int8).reshape(-1).view("<u4").tolist()
    await rig.send("i", words, stalls)
    await rig.ticks(DepthwiseUnit.load_latency_of(config))


async def layer(rig, config, fields, image, weights, stalls, stop=None):
    """Runs a layer, or its first `stop` steps."""
    rng, tiles = rig.rng, fields["tiles"]
    board = Scoreboard()
    sums = golden(fields, image, weights)
    rows, columns, _ = sums.shape
    for tile, row, column in np.ndindex(tiles, rows, columns):
        row_end = column + 1 == columns
        tile_end = row_end and row + 1 == rows
        marks = row_end | tile_end << 1 | (tile_end and tile + 1 == tiles) << 2
        board.expect((marks, sums[row, column, tile * config.cols : (tile + 1) * config.cols].tolist()))

    rig.set(descriptor=Descriptor.const(fields), start=1)
    await rig.ticks()
    rig.set(start=0)
    await rig.ticks(DepthwiseUnit.START_CYCLES - 1)
    words = image.reshape(-1, tiles, config.cols).transpose(1, 0, 2).reshape(-1, config.cols).tolist()
    # Centres come as fast as words, but where a stride skips enough of them.
    pace = config.result_pace(wide=bool(fields["wide"]))
    apart = fields["window_row"] or fields["window_column"] + 1 >= pace
    pace = 1 if fields["window_stride"] >= max(pace, 2) and apart else pace
    pauses = rig.pauses(stalls)
    at, allowed = 0, 0
    last = rig.cycle
    coming = [packed(rng.integers(-128, 128, config.rows), 8) for _ in range(DepthwiseUnit.STEP_LEAD)]
    while board.seen < rows * columns * tiles:
        if at < len(words) and rig.cycle >= allowed and not next(pauses):
            layer_end = at == len(words) - 1
            rig.set(i_step=1 | layer_end << 5, i_activations=coming.pop(0))
            coming.append(packed(words[at], 8))
            at, allowed = at + 1, rig.cycle + pace
            last = rig.cycle
        else:
            rig.set(i_step=int(rng.integers(32)) << 1, i_activations=coming.pop(0))
            coming.append(packed(rng.integers(-128, 128, config.rows), 8))
        await rig.settled()
        if rig.bits("o__valid"):
            board((rig.bits("o__marks"), [int(total) for total in rig.get("o__sums")]))
        await rig.ticks()
        if stop is not None and at >= min(stop, len(words)):
            rig.set(i_step=0)
            return
        assert rig.cycle < last + 1000, "results are missing"
    rig.set(i_step=0)
    await rig.ticks(int(rng.integers(1, 4)))
    board.finish()

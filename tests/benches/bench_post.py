"""The post-processor: sums to bytes in the activation memory, against the golden rounding and the golden average pooling."""

import cocotb
import numpy as np
from celosia.hw.config import BYTE_BITS
from celosia.hw.isa import Descriptor
from celosia.hw.mac.array import SystolicArray
from celosia.hw.memory.walker import WindowWalker
from celosia.hw.post.channels import ChannelParameters
from celosia.sim.golden import average_pool2d, pack_bits, pack_planes, requantize, requantize_once
from stalls import STALLS

from .blocks import POSTS, XNORS
from .rig import TIMEOUT, Rig, effort, packed

PLANES = 2  # of bits, of a result
KINDS = ("plain", "once", "average")


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(beats=list(POSTS), kind=KINDS, stalls=STALLS)
async def layers(top, beats, kind, stalls):
    """Every byte once, in its place, and `done` when all have been written; a reset in the middle of a layer."""
    name, config = POSTS[beats]
    async with Rig(top, "post", name) as rig:
        for index in range(4 * effort(1)):
            fields, channels, sums = draw(rig.rng, config, kind, wide=index % 2, repeat=index % 4 == 3 or kind == "average")
            await load(rig, config, fields, channels, stalls)
            if index == 1:
                await layer(rig, config, fields, sums, stalls, stop=sums[..., 0].size // 2)
                await rig.reset()
                rig.cover(reset="mid-stream")
            memory = await layer(rig, config, fields, sums, stalls)
            wanted = golden(config, kind, fields, channels, sums)
            assert memory == wanted, f"{fields}"
            cover(rig, config, beats, kind, stalls, fields, memory)


def cover(rig, config, beats, kind, stalls, fields, memory):
    rig.cover(beats=beats, kind=kind, stalls=stalls)
    rig.cover(kind=kind, wide=fields["wide"])
    rig.cover(beats=beats, repeat=fields["repeat"], tiles="one" if fields["tiles"] == 1 else "several")
    rig.cover(beats=beats, last_tile="full" if fields["last_lanes"] == config.cols else "part")
    for value in memory.values():
        rig.cover(byte={fields["low"]: "low", fields["high"]: "high"}.get(value, "inner"), kind=kind)


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(stalls=STALLS)
async def bits(top, stalls):
    """Beside an XNOR engine: signs, eight a byte, and planes of bits; in between, bytes from the same unit."""
    config = XNORS["2"][1]
    async with Rig(top, "post", "post_of_bits") as rig:
        for index in range(6 * effort(1)):
            written = ("bytes", "bits", "planes")[index % 3]
            fields, channels, sums = draw(rig.rng, config, "plain", wide=index % 2, repeat=0)
            if written == "bits":
                fields, channels, sums = signs(rig.rng, config, fields, channels, sums)
            elif written == "planes":
                fields = in_planes(config, fields)
            await load(rig, config, fields, channels, stalls)
            if index == 2:
                await layer(rig, config, fields, sums, stalls, stop=sums[..., 0].size // 2)
                await rig.reset()
            memory = await layer(rig, config, fields, sums, stalls)
            assert memory == golden(config, "plain", fields, channels, sums), f"{fields}"
            rig.cover(written=written, stalls=stalls, wide=fields["wide"])
            if written == "bits":
                for byte in memory.values():
                    rig.cover(bits={0: "zeros", -1: "ones"}.get(byte, "mixed"))


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(beats=list(POSTS), stalls=STALLS)
async def partial_sums(top, beats, stalls):
    """A tile in three pieces: nothing is written before the last one, whose results are those of the whole."""
    name, config = POSTS[beats]
    async with Rig(top, "post", name) as rig:
        for _ in range(effort(2)):
            fields, channels, sums = draw(rig.rng, config, "plain", wide=1, repeat=0)
            fields, channels, sums = {**fields, "tiles": 1}, channels[: config.cols], sums[:1]
            pieces = [rig.rng.integers(-99_999, 99_999, sums.shape) for _ in range(2)]
            pieces.append(sums - sum(pieces))
            await load(rig, config, fields, channels, stalls)
            for index, piece in enumerate(pieces):
                flags = {"partial_in": int(index > 0), "partial_out": int(index < 2)}
                memory = await layer(rig, config, {**fields, **flags}, piece, stalls)
                rig.cover(beats=beats, piece=("first", "middle", "last")[index], stalls=stalls)
                assert index == 2 or not memory
            assert memory == golden(config, "plain", fields, channels, sums)


def draw(rng, config, kind, *, wide, repeat):
    """A layer: its descriptor's fields, its channels (shift, bias, multiplier) and its sums."""
    tiles, rows, columns = (int(rng.integers(1, 4)) for _ in range(3))
    last_lanes = config.cols if rng.random() < 0.5 else int(rng.integers(1, config.cols))
    outputs = (tiles - 1) * config.cols + last_lanes
    stride = outputs + int(rng.integers(0, 3))
    low, high = sorted(rng.integers(-100, 100, 2).tolist()) if rng.random() < 0.5 else (-128, 127)
    fields = {
        "tiles": tiles,
        "output_rows": rows,
        "output_columns": columns,
        "last_lanes": last_lanes,
        "repeat": int(repeat),
        "average": int(kind == "average"),
        "round_once": int(kind == "once"),
        "wide": wide,
        "tile_base": int(rng.integers(0, 4)),
        "write_address": int(rng.integers(0, config.activation_bytes)),
        "write_column_stride": stride,
        "write_row_stride": columns * stride + int(rng.integers(0, 3)),
        "zero_point": 0 if kind == "average" else int(rng.integers(-128, 128)),
        "low": low,
        "high": high,
    }
    count = config.cols * (1 if repeat else tiles)
    shape = (tiles, rows, columns, config.cols)
    if kind == "average":
        window = int(rng.integers(2, 50))
        right = (window - 1).bit_length() - 1
        channels = np.tile([-right, window // 2, -(-(1 << (31 + right)) // window)], (count, 1))
        return fields, channels, rng.integers(-128 * window, 127 * window + 1, shape)
    shifts = rng.integers(-14, -10, count) if wide else rng.integers(-9, -5, count)
    channels = np.stack([shifts, rng.integers(-1000, 1000, count), rng.integers(1 << 30, 1 << 31, count)], axis=1)
    limit = 30_000_000 if wide else 300_000
    sums = rng.integers(-limit, limit, shape)
    small = rng.random(shape) < 0.5  # so that not all are saturated
    return fields, channels, np.where(small, sums // 16, sums)


def signs(rng, config, fields, channels, sums):
    """The same layer with signs for results, clip(2 * sum + 1, -1, 1) of sums that are often around 0 or all of one sign."""
    channels[:, 0], channels[:, 2] = 2, 1 << 30
    biases = channels[:, 1].reshape(len(sums), 1, 1, config.cols)
    near = rng.integers(-2, 2, sums.shape)
    kind = rng.integers(0, 4, sums.shape[:3])[..., np.newaxis]
    sums = np.select([kind == 0, kind == 1, kind == 2], [abs(near) - biases, -1 - abs(near) - biases, near - biases], sums)
    return {**in_bits(config, fields), "zero_point": 1, "low": -1, "high": 1}, channels, sums


def in_bits(config, fields):
    """The same layer with eight results a byte."""
    strides = {name: BYTE_BITS * fields[name] for name in ("write_address", "write_column_stride", "write_row_stride")}
    return {**fields, **strides, "last_lanes": config.cols, "binary": 1}


def in_planes(config, fields):
    """The same layer with numbers of two bits for results, in two planes."""
    planes = {"write_planes": PLANES, "write_stride": config.activation_bytes // PLANES}
    numbers = {"zero_point": 1, "low": 0, "high": (1 << PLANES) - 1, "pace": PLANES}
    return {**in_bits(config, fields), **numbers, "operand": {"planes": planes}}


def golden(config, kind, fields, channels, sums):
    """{address: byte} of everything that the layer writes."""
    tiles = len(sums)
    shift, bias, multiplier = channels.reshape(-1, 1, 1, config.cols, 3).transpose(4, 0, 1, 2, 3)
    limits = {"low": fields["low"], "high": fields["high"]}
    if kind == "average":
        # A window of the golden pooling with that sum: so many values that are as equal as they can be.
        window = round(2.0 ** (31 - int(channels[0, 0])) / int(channels[0, 2]))
        base, more = np.divmod(sums.reshape(-1), window)
        image = base[:, np.newaxis] + (np.arange(window) < more[:, np.newaxis])
        pooled = average_pool2d(
            image.astype(np.int8)[:, :, np.newaxis, np.newaxis], kernel=(window, 1), stride=(1, 1), **limits
        )
        values = pooled.reshape(sums.shape)
    else:
        model = requantize_once if kind == "once" else requantize
        values = model(sums + bias, multiplier, shift, fields["zero_point"], **limits)
    unit = BYTE_BITS if fields.get("binary") else 1  # of results, in a byte
    planes = fields.get("operand", {}).get("planes", {})
    if planes:
        written = pack_planes(values, planes["write_planes"]).view(np.int8)
    else:
        written = (pack_bits(values).view(np.int8) if unit > 1 else values)[np.newaxis]
    memory = {}
    for (plane, tile, row, column, place), value in np.ndenumerate(written):
        lane = place * unit
        if tile + 1 < tiles or lane < fields["last_lanes"]:
            address = fields["write_address"] + tile * config.cols + lane
            address += row * fields["write_row_stride"] + column * fields["write_column_stride"]
            place = address // unit + plane * planes.get("write_stride", 0)
            memory[place % config.activation_bytes] = int(value)
    return memory


async def load(rig, config, fields, channels, stalls):
    rig.set(load_at=1, load_entry=fields["tile_base"])
    await rig.ticks()
    rig.set(load_at=0)
    await rig.send("channels", (np.asarray(channels, np.int64).reshape(-1) & 0xFFFFFFFF).tolist(), stalls)
    await rig.ticks(ChannelParameters.load_latency_of(config))


async def layer(rig, config, fields, sums, stalls, stop=None):
    """Runs a layer, or its first `stop` results, as close together as the walker lets them come or with pauses. Gives what it
    wrote."""
    rng = rig.rng
    memory, done = {}, []
    last_write = None
    rig.set(descriptor=Descriptor.const(fields), start=1)
    await rig.ticks()
    rig.set(start=0)
    await rig.ticks(WindowWalker.LATENCY + SystolicArray.latency_of(config) - 1)
    pauses = rig.pauses(stalls)
    tiles, rows, columns, _ = sums.shape
    waiting = list(np.ndindex(tiles, rows, columns))
    pace = max(config.result_pace(wide=bool(fields["wide"])), fields.get("pace", 0))
    allowed = tile_allowed = 0
    quiet = 0
    while quiet < 40:
        now = rig.cycle
        valid, marks, values = 0, int(rng.integers(8)), rng.integers(-9999, 9999, config.cols)
        if waiting and now >= allowed:
            tile, row, column = waiting[0]
            row_end = column + 1 == columns
            tile_end = row_end and row + 1 == rows
            if not next(pauses) and (now >= tile_allowed or not tile_end or fields["repeat"]):
                values = sums[waiting.pop(0)]
                valid, marks = 1, row_end | tile_end << 1 | (tile_end and tile + 1 == tiles) << 2
                allowed = now + pace
                tile_allowed = now + config.tile_cycles if tile_end else tile_allowed
        rig.set(i__valid=valid, i__marks=marks, i__sums=packed(values.tolist(), config.accumulator_bits))
        await rig.settled()
        if rig.bits("write__enable"):
            count, address = rig.bits("write__count"), rig.bits("write__address")
            assert 1 <= count <= config.requant_lanes
            data = rig.bits("write__data")
            for lane in range(count):
                place = (address + lane) % config.activation_bytes
                assert place not in memory, f"byte {place} is written twice"
                byte = data >> 8 * lane & 255
                memory[place] = byte - 256 if byte > 127 else byte
            last_write = now
        if rig.bits("done"):
            done.append(now)
        await rig.ticks()
        if stop is not None and len(waiting) <= sums[..., 0].size - stop:
            rig.set(i__valid=0)
            return memory
        quiet = 0 if waiting else quiet + 1
    assert len(done) == 1, "done, and once"
    assert last_write is None or last_write < done[0]
    return memory

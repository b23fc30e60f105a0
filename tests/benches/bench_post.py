"""The post-processor: sums to bytes in the activation memory, against the golden rounding and the golden average pooling."""

import cocotb
import numpy as np
from celosia.hw.config import BYTE_BITS
from celosia.hw.isa import Descriptor
from celosia.hw.mac.array import SystolicArray
from celosia.hw.memory.walker import WindowWalker
from celosia.hw.post.channels import ChannelParameters
from celosia.sim.golden import (
    average_pool2d,
    pack_bits,
    pack_planes,
    requantize,
    requantize_once,
    requantize_wide,
    split_bytes,
)
from stalls import STALLS

from .blocks import POST_OF_16, POSTS, XNORS
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


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(whole=[0, 1], stalls=STALLS)
async def sixteen_bits(top, whole, stalls):
    """The sums of upper bytes wait for those of lower ones; results are two planes of bytes. With weights of 16 bits (`whole`),
    every other sum counts."""
    config, lanes = POST_OF_16, POST_OF_16.cols // (1 + whole)
    async with Rig(top, "post", "post_of_16") as rig:
        for index in range(4 * effort(1)):
            fields, channels, pieces = draw_of_16(rig.rng, config, lanes, whole=whole, limits="whole" if index % 2 else "inner")
            await load(rig, config, fields, channels, stalls)
            memory = await layer(rig, config, {**fields, "partial_out": 1, "scaled": 1}, pieces[0], stalls)
            assert not memory
            if index == 1:
                await layer(rig, config, {**fields, "partial_in": 1}, pieces[1], stalls, stop=pieces[1][..., 0].size // 2)
                await rig.reset()
                await load(rig, config, fields, channels, stalls)
                await layer(rig, config, {**fields, "partial_out": 1, "scaled": 1}, pieces[0], stalls)
            memory = await layer(rig, config, {**fields, "partial_in": 1, "double": 1}, pieces[1], stalls)
            wanted = golden_of_16(config, fields, channels, (256 * pieces[0] + pieces[1])[..., :: 1 + whole])
            assert memory == wanted, f"{fields}"
            rig.cover(whole=whole, stalls=stalls, limits="whole" if index % 2 else "inner")


def draw_of_16(rng, config, lanes, *, whole, limits):
    """A layer of 16 bits: fields, channels, and the sums of upper and of lower bytes."""
    fields, _, sums = draw(rng, config, "once", wide=1, repeat=0)
    tiles, _, columns, _ = sums.shape
    last = int(rng.integers(1, lanes + 1))
    outputs = (tiles - 1) * lanes + last
    low, high = (-(2**15), 2**15 - 1) if limits == "whole" else sorted(rng.integers(-(2**15), 2**15, 2).tolist())
    fields |= {"write_column_stride": outputs, "write_row_stride": columns * outputs + int(rng.integers(3))}
    fields |= {"last_lanes": last, "zero_point": 0, "low": 0, "high": 0, "whole": whole}
    fields["operand"] = {"bytes": {"write_stride": int(rng.integers(1500, 2500)), "low": low, "high": high}}
    shifts, biases, multipliers = (
        rng.integers(*limits, tiles * config.cols) for limits in ((-22, -12), (-(2**34), 2**34), (2**30, 2**31))
    )
    return fields, np.stack([shifts, biases, multipliers], axis=1), rng.integers(-(2**28), 2**28, (2, *sums.shape))


def golden_of_16(config, fields, channels, sums):
    """{address: byte} of everything that a layer of 16 bits writes: lower bytes, and `write_stride` further upper ones."""
    tiles, lanes, bytes_of = len(sums), sums.shape[-1], fields["operand"]["bytes"]
    shifts, biases, multipliers = channels.reshape(tiles, 1, 1, config.cols, 3)[..., :lanes, :].transpose(4, 0, 1, 2, 3)
    values = requantize_wide(sums + biases, multipliers, shifts, 0, bytes_of["low"], bytes_of["high"], once=True)
    memory = {}
    for (tile, row, column, lane), value in np.ndenumerate(values):
        if tile + 1 < tiles or lane < fields["last_lanes"]:
            address = fields["write_address"] + tile * lanes + lane
            address += row * fields["write_row_stride"] + column * fields["write_column_stride"]
            for place, byte in zip((0, bytes_of["write_stride"]), split_bytes(value).tolist(), strict=True):
                memory[(address + place) % config.activation_bytes] = byte
    return memory


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
    shifts, biases, multipliers = np.asarray(channels, np.int64).T
    # What a bias has above 32 bits stands above the shift.
    words = np.stack([shifts & 0xFF | biases >> 32 << 8, biases, multipliers], axis=1) & 0xFFFFFFFF
    await rig.send("channels", words.reshape(-1).tolist(), stalls)
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

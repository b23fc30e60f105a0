"""The post-processor against golden requantization and a plain walk of the output tensor."""

from dataclasses import replace

import numpy as np
import pytest
from celosia.hw.engine import Marks
from celosia.hw.mac.array import SystolicArray
from celosia.hw.memory.activations import ActivationMemory
from celosia.hw.memory.walker import WindowWalker
from celosia.hw.post.channels import ChannelParameters
from celosia.hw.post.post import PostProcessor
from celosia.hw.presets import preset
from celosia.sim.golden import requantize, requantize_once, requantize_wide, split_bytes

MINI = preset("mini")
CONFIGS = {
    "beats 1": replace(MINI, requant_lanes=4, tile_depth=8),
    "beats 2": replace(MINI, tile_depth=8),
    "beats 4": replace(MINI, requant_lanes=1, tile_depth=8),
    "8 columns": replace(MINI, rows=8, cols=8, requant_lanes=4, tile_depth=8),
}


def draw_layer(rng, config, *, repeat=False, average=False):
    """A random layer: its descriptor's fields, its channels (tiles * cols, or cols with `repeat`) and its sums."""
    tiles, rows, columns = (int(rng.integers(1, 4)) for _ in range(3))
    last_lanes = int(rng.integers(1, config.cols + 1))
    outputs = (tiles - 1) * config.cols + last_lanes
    column_stride = outputs + int(rng.integers(0, 3))
    low, high = sorted(rng.integers(-128, 128, 2).tolist())
    fields = {
        "tiles": tiles,
        "output_rows": rows,
        "output_columns": columns,
        "last_lanes": last_lanes,
        "repeat": repeat,
        "average": average,
        "round_once": bool(rng.integers(2)) and not average,
        "wide": bool(rng.integers(2)),
        "tile_base": int(rng.integers(0, 4)),
        "write_address": int(rng.integers(0, config.activation_bytes)),
        "write_column_stride": column_stride,
        "write_row_stride": columns * column_stride + int(rng.integers(0, 3)),
        "zero_point": 0 if average else int(rng.integers(-128, 128)),
        "low": low if rng.random() < 0.5 else -128,
        "high": high if rng.random() < 0.5 else 127,
    }
    count = config.cols * (1 if repeat else tiles)
    channels = np.stack(
        [rng.integers(-12, 1, count), rng.integers(-1000, 1000, count), rng.integers(2**30, 2**31, count)], axis=1
    )
    limit = 30_000_000 if fields["wide"] else 300_000
    sums = rng.integers(-limit, limit, (tiles, rows, columns, config.cols))
    if average:
        window = int(rng.integers(2, 50))
        right = (window - 1).bit_length() - 1
        channels[:] = -right, window // 2, -(-(1 << (31 + right)) // window)
        sums = rng.integers(-128 * window, 127 * window + 1, sums.shape)
    return fields, channels, sums


def expected_values(config, fields, channels, sums):
    """What the layer's sums become."""
    shift, bias, multiplier = channels.reshape(-1, 1, 1, config.cols, 3).transpose(4, 0, 1, 2, 3)
    if fields["average"]:
        window = round(2.0 ** (31 - shift.flat[0]) / multiplier.flat[0])
        values = np.sign(sums) * ((np.abs(sums) + window // 2) // window)
        return np.clip(values, fields["low"], fields["high"])
    golden = requantize_once if fields["round_once"] else requantize
    return golden(sums + bias, multiplier, shift, fields["zero_point"], fields["low"], fields["high"])


def expected_bytes(config, fields, channels, sums):
    """{address: byte} of everything that the layer writes."""
    tiles = sums.shape[0]
    memory = {}
    for (tile, row, column, lane), value in np.ndenumerate(expected_values(config, fields, channels, sums)):
        if tile + 1 < tiles or lane < fields["last_lanes"]:
            address = fields["write_address"] + tile * config.cols + lane
            address += row * fields["write_row_stride"] + column * fields["write_column_stride"]
            memory[address % config.activation_bytes] = int(value)
    return memory


class Post:
    """A post-processor, the bytes that it writes, and when."""

    def __init__(self, bench, config):
        self.bench, self.config = bench, config
        self.unit = PostProcessor(config)
        self.memory, self.last_write, self.done = {}, None, []

    async def load(self, ctx, entry, channels):
        unit = self.unit
        self.bench.put(ctx, unit, load_at=1, load_entry=entry)
        await ctx.tick()
        ctx.set(unit.load_at, 0)
        shift, bias, multiplier = np.asarray(channels, np.int64).reshape(-1, 3).T
        words = np.stack([shift & 0xFF | bias >> 32 << 8, bias, multiplier], axis=1).reshape(-1) & 0xFFFFFFFF
        await self.bench.send(ctx, unit.channels, words.tolist(), self.bench.pauses("none"))
        await self.bench.ticks(ctx, ChannelParameters.load_latency_of(self.config))

    async def layer(self, ctx, fields, sums, slack):
        """Runs a layer, its results as close together as the walker lets them come, or up to `slack` cycles later."""
        unit, config = self.unit, self.config
        self.memory, self.last_write, self.done = {}, None, []
        ctx.set(unit.descriptor, fields)
        ctx.set(unit.start, 1)
        await ctx.tick()
        ctx.set(unit.start, 0)
        tiles, rows, columns, _ = sums.shape
        last_result = last_tile = -config.tile_cycles
        cycle = 1 + WindowWalker.LATENCY + SystolicArray.latency_of(config)
        at = {}
        for tile, row, column in np.ndindex(tiles, rows, columns):
            row_end = column == columns - 1
            tile_end = row_end and row == rows - 1
            cycle = max(cycle, last_result + max(config.result_pace(wide=fields["wide"]), fields.get("pace", 0)))
            if tile_end and not fields["repeat"]:
                cycle = max(cycle, last_tile + config.tile_cycles)
            cycle += int(self.bench.rng.integers(slack + 1))
            at[cycle] = (
                {"row_end": row_end, "tile_end": tile_end, "layer_end": tile_end and tile == tiles - 1},
                sums[tile, row, column],
            )
            last_result = cycle
            last_tile = cycle if tile_end else last_tile
        for now in range(1, last_result + 40):
            marks, values = at.get(now, ({}, self.bench.rng.integers(-9999, 9999, config.cols)))
            ctx.set(unit.i.valid, now in at)
            ctx.set(unit.i.marks, Marks.const(marks))
            ctx.set(unit.i.sums, values.tolist())
            self._watch(ctx, now)
            await ctx.tick()

    def _watch(self, ctx, now):
        write = self.unit.write
        if ctx.get(write.enable):
            count, address = ctx.get(write.count), ctx.get(write.address)
            assert 1 <= count <= self.config.requant_lanes
            for lane in range(count):
                place = (address + lane) % self.config.activation_bytes
                assert place not in self.memory, f"byte {place} is written twice"
                self.memory[place] = ctx.get(write.data[lane])
            self.last_write = now
        if ctx.get(self.unit.done):
            self.done.append(now)


@pytest.mark.parametrize("slack", [0, 5])
@pytest.mark.parametrize("name", CONFIGS)
def test_layers(bench, name, slack):
    """Layers of all kinds, one after another: every byte once, in its place, and `done` when all can be read."""
    config = CONFIGS[name]
    post = Post(bench, config)

    async def testbench(ctx):
        for index in range(24):
            fields, channels, sums = draw_layer(bench.rng, config, repeat=index % 4 >= 2, average=index % 4 == 3)
            await post.load(ctx, fields["tile_base"], channels)
            await post.layer(ctx, fields, sums, slack)
            assert post.memory == expected_bytes(config, fields, channels, sums), fields
            (done,) = post.done
            # A narrow last tile may end beats before the requantizer's last one.
            assert post.last_write + ActivationMemory.WRITE_LATENCY <= done
            passes = config.result_pace(wide=fields["wide"])
            assert done < post.last_write + ActivationMemory.WRITE_LATENCY + passes

    bench.run(post.unit, testbench)


@pytest.mark.parametrize("name", CONFIGS)
def test_partial_sums(bench, name):
    """One tile in three pieces: nothing is written before the last, whose results are those of the whole."""
    config = CONFIGS[name]
    post = Post(bench, config)

    async def testbench(ctx):
        for _ in range(4):
            fields, channels, sums = draw_layer(bench.rng, config)
            fields, channels, sums = {**fields, "tiles": 1}, channels[: config.cols], sums[:1]
            pieces = [bench.rng.integers(-99_999, 99_999, sums.shape) for _ in range(2)]
            pieces.append(sums - sum(pieces))
            await post.load(ctx, fields["tile_base"], channels)
            for index, piece in enumerate(pieces):
                flags = {"partial_in": index > 0, "partial_out": index < 2}
                await post.layer(ctx, {**fields, **flags}, piece, 2)
                assert len(post.done) == 1
                if index < 2:
                    assert not post.memory
            assert post.memory == expected_bytes(config, fields, channels, sums)

    bench.run(post.unit, testbench)


def test_planes_of_bits(bench):
    """Results of a few bits, eight a byte, a plane a cycle: `done` comes when the last plane can be read, and no later."""
    config = replace(CONFIGS["8 columns"], requant_lanes=8, xnor_pixels=4)
    post, rng = Post(bench, config), bench.rng

    async def testbench(ctx):
        for index in range(9):
            fields, channels, sums = draw_layer(rng, config)
            planes, stride = 2 + index % 3, int(rng.integers(2000, 4000))
            tiles, _, columns, _ = sums.shape
            outputs = tiles * config.cols
            fields |= {"last_lanes": config.cols, "binary": True, "pace": planes}
            fields |= {"write_address": 8 * int(rng.integers(config.activation_bytes)), "write_column_stride": outputs}
            fields |= {"write_row_stride": columns * outputs + 8 * int(rng.integers(3))}
            fields |= {"operand": {"planes": {"write_planes": planes, "write_stride": stride}}}
            await post.load(ctx, fields["tile_base"], channels)
            await post.layer(ctx, fields, sums, 2)
            values = expected_values(config, fields, channels, sums)
            expected = {}
            for tile, row, column in np.ndindex(values.shape[:3]):
                bit = fields["write_address"] + tile * config.cols
                bit += row * fields["write_row_stride"] + column * fields["write_column_stride"]
                for plane in range(planes):
                    byte = np.packbits(values[tile, row, column] >> plane & 1, bitorder="little").view(np.int8)
                    expected[(bit // 8 + plane * stride) % config.activation_bytes] = int(byte[0])
            assert post.memory == expected, fields
            assert post.done == [post.last_write + ActivationMemory.WRITE_LATENCY], fields

    bench.run(post.unit, testbench)


@pytest.mark.parametrize("whole", [0, 1])
@pytest.mark.parametrize("name", CONFIGS)
def test_results_of_sixteen_bits(bench, name, whole):
    """Upper bytes in one piece, then lower ones, whose results are written as two planes; `whole` takes every other sum."""
    config = replace(CONFIGS[name], widest_bits=16, partial_depth=32)
    post, rng, lanes = Post(bench, config), bench.rng, config.cols // (1 + whole)

    async def testbench(ctx):
        for index in range(8):
            fields, _, sums = draw_layer(rng, config)
            tiles, _, columns, _ = sums.shape
            last = int(rng.integers(1, lanes + 1))
            outputs = (tiles - 1) * lanes + last
            fields |= {"write_column_stride": outputs, "write_row_stride": columns * outputs + int(rng.integers(3))}
            low, high = (-(2**15), 2**15 - 1) if index % 2 else sorted(rng.integers(-(2**15), 2**15, 2).tolist())
            fields |= {"last_lanes": last, "zero_point": 0, "round_once": True, "wide": True, "whole": whole}
            upper, lower = rng.integers(-(2**28), 2**28, (2, *sums.shape))
            shift, multiplier = rng.integers(-22, -12, tiles * config.cols), rng.integers(2**30, 2**31, tiles * config.cols)
            bias = rng.integers(-(2**34), 2**34, tiles * config.cols)
            await post.load(ctx, fields["tile_base"], np.stack([shift, bias, multiplier], axis=1))
            await post.layer(ctx, {**fields, "partial_out": True, "scaled": True}, upper, 2)
            assert not post.memory
            stride = int(rng.integers(2000, 4000))
            range_of = {"operand": {"bytes": {"write_stride": stride, "low": low, "high": high}}, "double": True}
            await post.layer(ctx, {**fields, **range_of, "partial_in": True, "low": 0, "high": 0}, lower, 2)
            biases, shifts, multipliers = (
                values.reshape(tiles, 1, 1, config.cols)[..., :lanes] for values in (bias, shift, multiplier)
            )
            totals = (256 * upper + lower)[..., :: 1 + whole] + biases
            values = requantize_wide(totals, multipliers, shifts, 0, low, high, once=True)
            expected = {}
            for (tile, row, column, lane), value in np.ndenumerate(values):
                if tile + 1 < tiles or lane < last:
                    address = fields["write_address"] + tile * lanes + lane
                    address += row * fields["write_row_stride"] + column * fields["write_column_stride"]
                    for place, byte in zip((0, stride), split_bytes(value).tolist(), strict=True):
                        expected[(address + place) % config.activation_bytes] = byte
            assert post.memory == expected, fields
            (done,) = post.done
            assert post.last_write + ActivationMemory.WRITE_LATENCY <= done

    bench.run(post.unit, testbench)

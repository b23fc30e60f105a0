"""The XNOR engine against the golden binary convolution. The bench is its walker, its weight banks and its memory:

map --> windows, a kernel row in words --> steps with activations --> engine --> writes, every byte once
                                             words of the banks <--> addresses
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import cocotb
import numpy as np
from celosia.hw.config import BYTE_BITS, XNOR_TILES
from celosia.hw.isa import Descriptor, Operation
from celosia.hw.mac.array import SystolicArray
from celosia.hw.mac.cell import LOW_BITS, PACKED_BITS
from celosia.hw.memory.walker import WindowWalker
from celosia.hw.post.channels import ChannelParameters
from celosia.hw.sequencer import Sequencer
from celosia.hw.xnor.array import LEAST_TILES, SUM_BITS
from celosia.hw.xnor.planes import PlaneSums, offset
from celosia.sim import golden
from stalls import STALLS

from .blocks import XNORS
from .rig import TIMEOUT, Rig, Scoreboard, corner, effort, packed

TILE_COUNTS = {"least": LEAST_TILES, "several": 5, "most": XNOR_TILES}
DIRECTIONS = ("above", "below")
THRESHOLDS = ("always", "tie", "inner", "never")
WEIGHT_PLANES = {"least": 2, "several": 5, "most": 8}
LAST_TILES = ("whole", "part", "none")
KERNEL_COLUMNS = 3


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A layer as the golden model has it: activations (height, width, bytes), weights (outputs, rows, columns, bytes)."""

    activations: Any
    weights: Any
    padding: Any
    stride: int
    tiles: int  # that pass by: more than the outputs fill, where these are few
    binary: int

    @property
    def windows(self):
        return {"stride": (self.stride, self.stride), "padding": self.padding}

    def sums(self):
        """(rows, columns, outputs)."""
        x, weights = golden.unpack_bits(self.activations), golden.unpack_bits(self.weights)
        bias = np.zeros(len(weights), np.int32)
        return golden.conv2d_sums(x[np.newaxis], weights, bias, input_zero_point=0, **self.windows)[0]

    def signs(self, thresholds, below):
        """(rows, columns, outputs), 1 for +1: at least the threshold, or where it is `below`, at most."""
        results = golden.binary_conv2d(self.activations[np.newaxis], self.weights, thresholds + below, **self.windows)
        return np.unpackbits(results[0], axis=-1, bitorder="little")[..., : len(self.weights)] ^ below


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(pixels=list(XNORS), stalls=STALLS)
async def layers(top, pixels, stalls):
    """Layers one after another, every byte in its place, then `done`; one of them before that in part, up to a reset."""
    name, config = XNORS[pixels]
    async with Rig(top, "xnor", name) as rig:
        kinds = list(product((0, 1), (0, 1), TILE_COUNTS)) * effort(1)
        for index, (deep, binary, tiles) in enumerate(kinds):
            padded, part, equal = (index ^ index // 3) & 1, config.xnor_pixels > 1 and index & 1, index % 3 == index // 3 % 3
            last_tile = LAST_TILES[(index + binary) % 3]
            drawn = draw(rig.rng, config, deep, padded, part, TILE_COUNTS[tiles], last_tile, binary, equal)
            thresholds, below = decide(rig, pixels, drawn)
            if index == len(kinds) // 2:
                stop = int(rig.rng.integers(1, 4 * drawn.tiles))
                await layer(rig, config, drawn, thresholds, below, stalls, stop=stop)
                await rig.reset()
                rig.cover(reset="mid-stream", pixels=pixels)
            await layer(rig, config, drawn, thresholds, below, stalls)
            rig.cover(pixels=pixels, stalls=stalls, depth=("one word", "several")[deep], padding=("none", "some")[padded])
            rig.cover(pixels=pixels, stalls=stalls, written=("numbers", "bits")[binary], row_end=("whole", "part")[part])
            rig.cover(pixels=pixels, stalls=stalls, tiles=tiles)
            outputs = len(drawn.weights)
            full = outputs > (drawn.tiles - 1) * config.rows
            rig.cover(pixels=pixels, last_tile=("part" if outputs % config.rows else "whole") if full else "none")
            run = KERNEL_COLUMNS * drawn.weights.shape[3]
            rig.cover(pixels=pixels, last_word="part" if run % config.rows else "whole")


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(stalls=STALLS)
async def serial(top, stalls):
    """Layers of few bits, one after another and between binary ones: every sum, in order; the engine writes nothing itself."""
    name, config = XNORS["2"]
    async with Rig(top, "xnor", name) as rig:
        for index, planes in enumerate(list(WEIGHT_PLANES) * effort(1)):
            for extreme in (False, True):
                if index == 1 and extreme:
                    await few_bits(rig, config, WEIGHT_PLANES[planes], extreme, stalls, stop=int(rig.rng.integers(1, 20)))
                    await rig.reset()
                    rig.cover(reset="mid-stream", pixels=2)
                await few_bits(rig, config, WEIGHT_PLANES[planes], extreme, stalls)
                rig.cover(weight_planes=planes, stalls=stalls, values=("inner", "extreme")[extreme])
            drawn = draw(rig.rng, config, 0, index & 1, 0, LEAST_TILES, "whole", 1, False)
            await layer(rig, config, drawn, *decide(rig, "2", drawn), stalls)


async def few_bits(rig, config, weight_planes, extreme, stalls, stop=None):
    """Runs a layer of activations of two bits, or its first `stop` steps."""
    rng, reach = rig.rng, 1 << (weight_planes - 1)
    rows, columns, words = (int(rng.integers(1, most)) for most in (3, 4, 4))
    last_bytes = int(rng.integers(1, config.rows + 1))
    # Places of the last word that do not count hold noise, on both sides.
    depth, length = BYTE_BITS * ((words - 1) * config.rows + last_bytes), BYTE_BITS * words * config.rows
    activations = rng.integers(0, 4, (rows, columns, length))
    weights = rng.integers(-reach, reach, (config.rows, length))
    if extreme:
        activations[:, ::2], weights[::2] = 3, -reach
        activations[:, 1::2], weights[1::2] = rng.choice([0, 3]), reach - 1
    lacking = np.array([offset(2, int(total)) for total in weights[:, :depth].sum(axis=1)])
    sums = activations[..., :depth] @ weights[:, :depth].T - lacking
    held = golden.pack_planes(activations, 2).reshape(2, rows, columns, words, config.rows)
    passing = golden.pack_planes(weights + reach, weight_planes).reshape(weight_planes, config.rows, words, config.rows)
    addresses = rng.permutation(config.weight_depth)[: words * weight_planes].reshape(words, weight_planes)
    banks = Banks(rig, config, {addresses[word, plane]: passing[plane, :, word] for word, plane in np.ndindex(addresses.shape)})
    board = Scoreboard("sum")
    steps = []
    for row, column, word, plane in np.ndindex(rows, columns, words, weight_planes):
        first, last = word == plane == 0, (word, plane) == (words - 1, weight_planes - 1)
        ends = (column + 1 == columns) | ((row, column) == (rows - 1, columns - 1)) * 6
        marks = ends if last else int(rng.integers(8))
        own = held[plane, row, column, word] if plane < 2 else rng.integers(0, 256, config.rows)
        step = {
            "i_step": 1 | int(first) << 1 | int(last) << 2 | marks << 3,
            "i_address": int(addresses[word, plane]),
            "i_activations": packed(own, BYTE_BITS),
        }
        steps.append((last, step))
        if last:
            board.expect((marks, sums[row, column].tolist()))
    fields = {
        "operation": Operation.SERIAL,
        "chunks": weight_planes,
        "kernel_columns": words,
        "last_bytes": last_bytes,
        "operand": {"planes": {"read_planes": 2, "weight_planes": weight_planes, "tiles": 1}},
        "pixels": 1,
        "last_pixels": 1,
    }
    rig.set(descriptor=Descriptor.const(fields), start=1)
    await rig.ticks()
    rig.set(start=0)
    begin, pauses = rig.cycle, rig.pauses(stalls)
    at = allowed = 0
    while not board.complete:
        now = rig.cycle
        last, step = steps[at] if at < len(steps) else (False, {})
        started = now >= begin + WindowWalker.START_LATENCY + WindowWalker.LATENCY - 1
        noise = {"i_inside": int(rng.integers(1 << config.rows)), "scanned": 0}
        if step and started and not (last and now < allowed) and not next(pauses):
            rig.set(**step, **noise)
            at, allowed = at + 1, now + PlaneSums.cycles_of(2, weight_planes) if last else allowed
        else:
            rig.set(i_step=int(rng.integers(32)) << 1, i_activations=packed(rng.integers(0, 256, config.rows), 8), **noise)
        banks.drive()
        await rig.settled()
        banks.watch()
        assert not rig.bits("write__enable"), "the engine wrote"
        assert not rig.bits("done"), "the engine said that it was done"
        if rig.bits("o__valid"):
            board((rig.bits("o__marks"), [int(total) for total in rig.get("o__sums")]))
        await rig.ticks()
        if stop is not None and at >= min(stop, len(steps)):
            break
        assert now < begin + 20_000, f"{board.seen} sums of {rows * columns}"
    rig.set(i_step=0)
    await rig.ticks(Sequencer.LAUNCH_CYCLES - 1)


def draw(rng, config, deep, padded, part, tiles, last_tile, binary, equal):
    """A layer whose sums are of one word, or of kernel rows of several; with `padded`, windows lie beside the map, too."""
    kernel_rows = int(rng.integers(2, 4)) if deep else 1
    size = int(rng.choice([config.rows, config.rows // 2 + 1])) if deep else int(rng.integers(1, config.rows // 3 + 1))
    stride = int(rng.integers(1, 3))
    columns = config.xnor_pixels * int(rng.integers(1, 3)) - (int(rng.integers(1, config.xnor_pixels)) if part else 0)
    rows = int(rng.integers(1, 3))
    tiles = max(tiles, min(columns, config.xnor_pixels))
    outputs = tiles * config.rows
    if last_tile == "none":
        outputs -= config.rows * int(rng.integers(1, tiles))
    elif last_tile == "part":
        outputs -= config.rows // 2 if binary else int(rng.integers(1, config.rows))
    outputs = -(-outputs // BYTE_BITS) * BYTE_BITS if binary else outputs
    padding = []
    for kernel in (kernel_rows, KERNEL_COLUMNS):
        before = int(rng.integers(kernel)) if padded else 0
        padding.append((before, kernel - 1 - before if padded else 0))
    height, width = (
        (count - 1) * stride + kernel - sum(sides)
        for count, kernel, sides in zip((rows, columns), (kernel_rows, KERNEL_COLUMNS), padding, strict=True)
    )
    activations = rng.integers(0, 256, (height, width, size), dtype=np.uint8)
    weights = rng.integers(0, 256, (outputs, kernel_rows, KERNEL_COLUMNS, size), dtype=np.uint8)
    if equal:  # the largest sums there are, and the least
        activations[...] = weights[...] = rng.integers(256)
        weights[rng.random(outputs) < 0.5] ^= 0xFF
    return Drawn(activations=activations, weights=weights, padding=tuple(padding), stride=stride, tiles=tiles, binary=binary)


def decide(rig, pixels, drawn):
    """A threshold for every output, and which of them are crossed the other way round."""
    rng, sums = rig.rng, drawn.sums()
    outputs = len(drawn.weights)
    reach = BYTE_BITS * drawn.weights[0].size
    below = rng.integers(0, 2, outputs, dtype=np.uint8)
    thresholds = np.zeros(outputs, np.int32)
    for output in range(outputs):
        kind = THRESHOLDS[int(rng.integers(len(THRESHOLDS)))]
        seen = sums[..., output].reshape(-1)
        sign = -1 if below[output] else 1
        thresholds[output] = {
            "always": -sign * (reach + int(rng.integers(3))),
            "never": sign * (reach + 1 + int(rng.integers(3))),
            "tie": int(rng.choice(seen)),
            "inner": int(np.median(seen)) + int(rng.integers(-3, 4)),
        }[kind]
        direction = DIRECTIONS[below[output]]
        rig.cover(pixels=pixels, direction=direction, threshold=kind)
        for extreme in {corner(value, -reach, reach) for value in seen}:
            rig.cover(pixels=pixels, direction=direction, sum=extreme)
    return thresholds, below


def bytes_of(drawn, fields, signs):
    """{address: byte} of what the layer writes."""
    values = np.packbits(signs, axis=-1, bitorder="little") if drawn.binary else np.where(signs, 1, 255)
    origin, across, down = (fields[f"write_{name}"] for name in ("address", "column_stride", "row_stride"))
    return {origin + row * down + column * across + place: int(value) for (row, column, place), value in np.ndenumerate(values)}


class Banks:
    """The weight banks: an address's words come column after column, what no address is for is noise."""

    LATENCY = SystolicArray.LEVEL_LATENCY

    def __init__(self, rig, config, words):
        """Words by address: (outputs of the tile, bytes)."""
        self._rig = rig
        self._addresses = {}
        rest = rig.rng.integers(0, 1 << PACKED_BITS, (config.weight_depth, config.rows, config.pairs))  # and the bits between
        cells = rest & ~(0xFF | 0xFF << LOW_BITS)
        for address, word in words.items():
            cells[address] |= word[:, ::2] | word[:, 1::2].astype(np.int64) << LOW_BITS
        spaced = np.zeros((config.weight_depth, config.pairs, config.rows, config.pairs), object)
        for pair in range(config.pairs):
            spaced[:, pair, :, pair] = cells[:, :, pair]
        self._columns = [
            [packed(column.reshape(-1), PACKED_BITS) for column in spaced[address]] for address in range(config.weight_depth)
        ]

    def drive(self):
        """The words of this cycle."""
        now, words = self._rig.cycle, 0
        for pair in range(len(self._columns[0])):
            words |= self._columns[self._addresses.get(now - self.LATENCY - pair, 0)][pair]
        self._rig.set(i_words=words)

    def watch(self):
        """The address of this cycle."""
        self._addresses[self._rig.cycle] = self._rig.bits("o_address")


def words_of(rng, config, drawn, below):
    """The words of weights in the order in which they pass by: (kernel rows, words of one, tiles, rows, rows), with noise where
    nothing counts; those of outputs that are `below` have their signs changed."""
    outputs, kernel_rows = drawn.weights.shape[:2]
    rows = drawn.weights.reshape(outputs, kernel_rows, -1) ^ (below * np.uint8(0xFF))[:, np.newaxis, np.newaxis]
    count = -(-rows.shape[2] // config.rows)
    padded = rng.integers(0, 256, (drawn.tiles * config.rows, kernel_rows, count * config.rows), dtype=np.uint8)
    padded[:outputs, :, : rows.shape[2]] = rows
    return padded.reshape(drawn.tiles, config.rows, kernel_rows, count, config.rows).transpose(2, 3, 0, 1, 4)


def steps_of(rng, config, drawn, shape, addresses):
    """The walker's steps, and with each the weights' address, a word of activations, and which of its bytes are on the map."""
    _, kernel_rows, _, size = drawn.weights.shape
    (top, bottom), (left, right) = drawn.padding
    frame = ((top, bottom), (left, right), (0, 0))
    there = np.pad(np.ones_like(drawn.activations), frame)
    there = there.reshape(len(there), -1)
    framed = np.where(there, np.pad(drawn.activations, frame).reshape(there.shape), rng.integers(0, 256, there.shape))
    pixels, words = config.xnor_pixels, addresses.shape[1]
    rows, columns = shape
    blocks = -(-columns // pixels)
    run = KERNEL_COLUMNS * size
    for row, block, kernel_row, word, tile in np.ndindex(rows, blocks, kernel_rows, words, drawn.tiles):
        activations, inside = rng.integers(0, 256, config.rows), rng.integers(0, 2, config.rows)
        column = block * pixels + tile
        if tile < pixels and column < columns:
            begin = column * drawn.stride * size + word * config.rows
            end = min(begin + config.rows, column * drawn.stride * size + run)
            activations[: end - begin] = framed[row * drawn.stride + kernel_row, begin:end]
            inside[: end - begin] = there[row * drawn.stride + kernel_row, begin:end]
        first, last = kernel_row == word == tile == 0, (kernel_row, word, tile) == (kernel_rows - 1, words - 1, drawn.tiles - 1)
        row_end = block + 1 == blocks
        ends = row_end | (row_end and row + 1 == rows) * 6
        marks = ends if last else int(rng.integers(8))
        yield (
            last,
            {
                "i_step": 1 | int(first) << 1 | int(last) << 2 | marks << 3,
                "i_address": int(addresses[kernel_row, word, tile]),
                "i_activations": packed(activations, BYTE_BITS),
                "i_inside": packed(inside, 1),
            },
        )


async def layer(rig, config, drawn, thresholds, below, stalls, stop=None):
    """Runs a layer, or its first `stop` steps."""
    rng = rig.rng
    signs = drawn.signs(thresholds, below)
    rows, columns, outputs = signs.shape
    words = words_of(rng, config, drawn, below)
    addresses = rng.permutation(config.weight_depth)[: words[..., 0, 0].size].reshape(words.shape[:3])
    banks = Banks(rig, config, dict(zip(addresses.reshape(-1), words.reshape(-1, *words.shape[3:]), strict=True)))
    pixels = config.xnor_pixels
    count = min(pixels, columns)
    across = (outputs // BYTE_BITS if drawn.binary else outputs) + int(rng.integers(3))
    fields = {
        "operation": Operation.XNOR,
        "chunks": drawn.tiles,
        "kernel_columns": words.shape[1],
        "kernel_rows": words.shape[0],
        "last_bytes": (KERNEL_COLUMNS * drawn.weights.shape[3] - 1) % config.rows + 1,
        "last_lanes": outputs,
        "write_address": int(rng.integers(64)),
        "write_column_stride": across,
        "write_row_stride": columns * across + int(rng.integers(3)),
        "pixels": count,
        "last_pixels": (columns - 1) % pixels + 1,
        "binary": drawn.binary,
    }
    expected = bytes_of(drawn, fields, signs)
    assert max(expected) < config.activation_bytes

    # What the sums begin with: those that are crossed the other way have the other sign.
    lowest = np.where(below, -thresholds, thresholds)
    begins = rng.integers(-99, 99, XNOR_TILES * config.rows)
    begins[:outputs] = -1 - (-lowest >> 1)
    assert abs(begins).max() < 1 << (SUM_BITS - 1)
    scan = list(begins.reshape(-1, config.requant_lanes))

    rig.set(descriptor=Descriptor.const(fields), start=1)
    await rig.ticks()
    rig.set(start=0)
    begin = rig.cycle
    steps = list(steps_of(rng, config, drawn, (rows, columns), addresses))
    pauses = rig.pauses(stalls)
    at, allowed, done = 0, 0, None
    while done is None:
        now = rig.cycle
        last, step = steps[at] if at < len(steps) else (False, {})
        started = now >= begin + WindowWalker.START_LATENCY + WindowWalker.LATENCY - 1
        if step and started and not (last and now < allowed) and not next(pauses):
            rig.set(**step)
            at, allowed = at + 1, now + drawn.tiles * count if last else allowed
        else:
            rig.set(
                i_step=int(rng.integers(32)) << 1,
                i_address=int(rng.integers(config.weight_depth)),
                i_activations=packed(rng.integers(0, 256, config.rows), BYTE_BITS),
                i_inside=int(rng.integers(1 << config.rows)),
            )
        scanned = bool(scan) and now >= begin + ChannelParameters.SCAN_LATENCY - 1
        biases = scan.pop(0) if scanned else rng.integers(-99, 99, config.requant_lanes)
        rig.set(scanned=int(scanned), biases=packed(biases, config.accumulator_bits))
        banks.drive()
        await rig.settled()
        banks.watch()
        take(rig, expected)
        if rig.bits("done"):
            done = now
        await rig.ticks()
        if stop is not None and at >= min(stop, len(steps)):
            rig.set(i_step=0)
            return
        assert now < begin + 20_000, f"{len(expected)} bytes are missing"
    assert at == len(steps), "done before the last step"
    assert not expected, f"done, but without {len(expected)} bytes"
    rig.set(i_step=0, scanned=0)
    for _ in range(Sequencer.LAUNCH_CYCLES - 1):
        await rig.settled()
        take(rig, expected)
        assert not rig.bits("done"), "done twice"
        await rig.ticks()


def take(rig, expected):
    """What is written in this cycle; takes it from what is expected."""
    if not rig.bits("write__enable"):
        return
    address, data = rig.bits("write__address"), rig.bits("write__data")
    for place in range(rig.bits("write__count")):
        wanted = expected.pop(address + place, None)
        byte = data >> BYTE_BITS * place & 0xFF
        assert byte == wanted, f"byte {address + place} is {byte}, " + ("not expected" if wanted is None else f"not {wanted}")

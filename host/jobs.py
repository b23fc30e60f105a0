"""A layer cut into jobs, one descriptor each: a whole layer, or a part of one where its weights come through the ring.

layer --> resident tiles
      --> streamed tiles, whole, where the ring holds one's weights or each serves one result
      --> else block by block of results, piece by piece of the reduction, partial sums in between
      --> of 16 bits, block by block too: upper bytes first, then lower ones
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..hw.config import FabricConfig
from ..hw.isa import Operation
from .cost.walk import Walk
from .ir import Int8Array
from .lowering import Channels, Layer


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One descriptor's work: `layer` narrowed to some tiles, results and steps.

    first_tile, tiles       output channels
    block                   results of a tile
    piece                   part of the reduction
    streamed                the weights come through the ring
    partial_in, partial_out partial sums wait before, or after it
    lower                   of numbers of 16 bits it reads the lower bytes
    scaled                  the partial sums that wait after it are those of upper bytes
    again                   its weights are those of a job before it
    """

    layer: Layer
    first_tile: int
    tiles: int
    block: "Block"
    piece: "Piece"
    streamed: bool
    partial_in: bool = False
    partial_out: bool = False
    lower: bool = False
    scaled: bool = False
    again: bool = False

    @property
    def weights(self) -> Int8Array:
        """The weight words of this job, int8 (n, rows, cols), in the order in which the walker needs them."""
        packed = self.layer.weights
        assert packed is not None
        if self.layer.repeat:
            return packed[0]
        tiles = packed[self.first_tile : self.first_tile + self.tiles]
        shaped = tiles.reshape(
            len(tiles), self.layer.kernel_rows, self.layer.kernel_columns, self.layer.chunks, *tiles.shape[2:]
        )
        piece = self.piece
        part = shaped[
            :,
            piece.kernel_row : piece.kernel_row + piece.kernel_rows,
            piece.kernel_column : piece.kernel_column + piece.kernel_columns,
            piece.chunk : piece.chunk + piece.chunks,
        ]
        return part.reshape(-1, *tiles.shape[2:])

    @property
    def channels(self) -> Channels:
        """The channel parameters of this job's tiles."""
        cols = len(self.layer.channels.bias) // (1 if self.layer.repeat else self.layer.tiles)
        if self.layer.repeat:
            return self.layer.channels
        return self.layer.channels.tiles(self.first_tile, self.first_tile + self.tiles, cols)

    @property
    def taps(self) -> Int8Array:
        """The weights of the depthwise unit for this job's tiles, int8 (tiles, 9, cols)."""
        assert self.layer.window is not None
        cols = len(self.layer.channels.bias) // self.layer.tiles
        return self.layer.window.entries(self.first_tile, self.first_tile + self.tiles, cols)

    @property
    def walk(self) -> Walk:
        """What the walker does for it."""
        return replace(
            self.layer.walk,
            steps=self.piece.steps,
            results=self.block.rows * self.block.columns,
            tiles=self.tiles,
            kept=self.partial_out,
            streamed=self.streamed,
            writes=1 if self.partial_out else self.layer.walk.writes,
        )

    @property
    def entries(self) -> int:
        """Entries of the channel-parameter memory."""
        return 1 if self.layer.repeat else self.tiles * self.layer.channel_tiles

    @property
    def depthwise_entries(self) -> int:
        """Entries of the depthwise unit's weight memory."""
        return 0 if self.layer.window is None else self.tiles


@dataclass(frozen=True, kw_only=True)
class Block:
    """A box of a tile's results."""

    row: int = 0
    rows: int
    column: int = 0
    columns: int


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A box of the reduction's loops."""

    kernel_row: int = 0
    kernel_rows: int
    kernel_column: int = 0
    kernel_columns: int
    chunk: int = 0
    chunks: int

    @property
    def steps(self) -> int:
        """Weight words a tile."""
        return self.kernel_rows * self.kernel_columns * self.chunks


def jobs_of(layer: Layer, resident_tiles: int, ring_size: int, config: FabricConfig) -> Iterator[Job]:
    """The descriptors of a layer whose first `resident_tiles` tiles of weights stay."""
    whole = Piece(kernel_rows=layer.kernel_rows, kernel_columns=layer.kernel_columns, chunks=layer.chunks)
    everything = Block(rows=layer.output_rows, columns=layer.output_columns)
    limit = config.tile_depth if layer.window is None else min(config.tile_depth, config.depthwise_tiles)
    if layer.operation is Operation.XNOR or layer.planes.tiles > 1:
        limit = 1  # the XNOR engine holds the thresholds of one group of tiles, the requantizer takes one's parameters in turn

    def ranges(begin: int, end: int) -> Iterator[tuple[int, int]]:
        for first in range(begin, end, limit if not layer.repeat else end - begin):
            yield first, min(limit, end - first) if not layer.repeat else end - first

    if layer.passes > 1:
        count = min(max(config.partial_depth // layer.results, 1), config.tile_depth)
        for begin, end, streamed in ((0, resident_tiles, False), (resident_tiles, layer.tiles, True)):
            pieces = _pieces(whole, max(1, ring_size // 2)) if streamed and layer.steps > ring_size else [whole]
            yield from _in_parts(layer, range(begin, end), count, pieces, streamed, config)
        return
    if layer.weights is None or layer.repeat:
        for first, count in ranges(0, layer.tiles):
            yield Job(layer=layer, first_tile=first, tiles=count, piece=whole, streamed=False, block=everything)
        return
    for first, count in ranges(0, resident_tiles):
        yield Job(layer=layer, first_tile=first, tiles=count, piece=whole, streamed=False, block=everything)
    if resident_tiles == layer.tiles:
        return
    if layer.results == 1 or layer.steps <= ring_size:
        for first, count in ranges(resident_tiles, layer.tiles):
            yield Job(layer=layer, first_tile=first, tiles=count, piece=whole, streamed=True, block=everything)
        return
    # The ring holds no whole tile: halves of the ring, one at work while the other loads, and partial sums in between.
    yield from _in_parts(layer, range(resident_tiles, layer.tiles), 1, _pieces(whole, max(1, ring_size // 2)), True, config)


def _in_parts(
    layer: Layer, tiles: range, count: int, pieces: list[Piece], streamed: bool, config: FabricConfig
) -> Iterator[Job]:
    """Some tiles of a layer, `count` at a time, by blocks of as many results as there is room for partial sums: the pieces of
    the reduction one by one, all of them for each of the layer's passes."""
    parts = [(number > 0, piece) for number in range(layer.passes) for piece in pieces]
    for first in tiles[::count]:
        for number, block in enumerate(_blocks(layer, config.partial_depth)):
            for index, (lower, piece) in enumerate(parts):
                yield Job(
                    layer=layer,
                    first_tile=first,
                    tiles=min(count, tiles.stop - first),
                    block=block,
                    piece=piece,
                    streamed=streamed,
                    partial_in=index > 0,
                    partial_out=index + 1 < len(parts),
                    lower=lower,
                    scaled=index + 1 < len(parts) and parts[index + 1][0] and not lower,
                    again=number > 0 or lower,
                )


def _pieces(whole: Piece, limit: int) -> list[Piece]:
    """Boxes of at most `limit` steps that cover the reduction."""
    row_steps = whole.kernel_columns * whole.chunks
    if row_steps <= limit:
        rows = limit // row_steps
        return [
            replace(whole, kernel_row=row, kernel_rows=min(rows, whole.kernel_rows - row))
            for row in range(0, whole.kernel_rows, rows)
        ]
    pieces = []
    for row in range(whole.kernel_rows):
        if whole.chunks <= limit:
            columns = limit // whole.chunks
            for column in range(0, whole.kernel_columns, columns):
                width = min(columns, whole.kernel_columns - column)
                pieces.append(replace(whole, kernel_row=row, kernel_rows=1, kernel_column=column, kernel_columns=width))
        else:
            for column in range(whole.kernel_columns):
                for chunk in range(0, whole.chunks, limit):
                    pieces.append(
                        Piece(
                            kernel_row=row,
                            kernel_rows=1,
                            kernel_column=column,
                            kernel_columns=1,
                            chunk=chunk,
                            chunks=min(limit, whole.chunks - chunk),
                        )
                    )
    return pieces


def _blocks(layer: Layer, limit: int) -> Iterator[Block]:
    """Blocks of at most `limit` results that cover the output."""
    if layer.output_columns <= limit:
        rows = limit // layer.output_columns
        for row in range(0, layer.output_rows, rows):
            height = min(rows, layer.output_rows - row)
            yield Block(row=row, rows=height, columns=layer.output_columns)
    else:
        for row in range(layer.output_rows):
            for column in range(0, layer.output_columns, limit):
                width = min(limit, layer.output_columns - column)
                yield Block(row=row, rows=1, column=column, columns=width)

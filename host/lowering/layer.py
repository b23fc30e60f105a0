"""A layer: what the window walker walks for one node. No addresses yet.

Its field names are those of the descriptor, `hw.isa.Descriptor`. Whatever the fabric cannot do is `Unsupported`, with the
reason and what would help.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...hw.isa import Operation
from ...hw.mac.depthwise_lane import TAPS
from ..cost.walk import BlockWalk, Walk, WindowWalk
from ..ir import Add, Int8Array, Node


class Unsupported(Exception):
    """The fabric cannot run this node: `reason` says why and `advice` what would help."""

    def __init__(self, reason: str, advice: str):
        super().__init__(reason)
        self.reason = reason
        self.advice = advice


@dataclass(frozen=True, kw_only=True, eq=False)
class Channels:
    """Requantization parameters, one entry a channel: arrays of one length."""

    shift: npt.NDArray[np.int32]
    bias: npt.NDArray[np.int64]
    multiplier: npt.NDArray[np.int32]

    def tiles(self, begin: int, end: int, cols: int) -> "Channels":
        """The channels of the tiles from `begin` up to `end`."""
        part = slice(begin * cols, end * cols)
        return Channels(shift=self.shift[part], bias=self.bias[part], multiplier=self.multiplier[part])


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """What the depthwise unit adds: the centres that give results. `weights` is int8 (3, 3, tiles * cols)."""

    rows: int
    columns: int
    row: int
    column: int
    stride: int
    weights: Int8Array

    def entries(self, begin: int, end: int, cols: int) -> Int8Array:
        """The weights of the tiles from `begin` up to `end`, int8 (tiles, 9, cols)."""
        part = self.weights[:, :, begin * cols : end * cols]
        return np.ascontiguousarray(part.reshape(TAPS, -1, cols).transpose(1, 0, 2))


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What the XNOR engine adds: blocks of `count` pixels, `last` in a row's last one, with windows `stride` bytes apart.

    `last_bytes` of a kernel row's last chunk count; `pace` is the least cycles from a block's end to the next one's, and
    `last_cycles` those that the layer's last block takes behind its sums.
    """

    count: int
    last: int
    stride: int
    last_bytes: int
    pace: int
    last_cycles: int


@dataclass(frozen=True, kw_only=True)
class Planes:
    """How many planes of bits the input, the weights and the output are, 0 where they are none, and bytes between planes.

    `tiles` of outputs pass by each block of pixels.
    """

    tiles: int = 1
    read: int = 0
    weights: int = 0
    write: int = 0
    read_stride: int = 0
    write_stride: int = 0

    @property
    def products(self) -> int:
        """Binary products that a multiply-accumulate takes."""
        return self.read * self.weights or 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One node as the fabric runs it. Byte distances are relative to the tensors' first bytes.

    `weights` is int8 (tiles, steps, rows, cols) in the order of the walk; with `repeat` one word (1, 1, rows, cols); None on
    the vector unit. `channels` holds tiles * cols entries, with `repeat` cols; with `whole` half of each tile's are unused.

    On the XNOR engine an output column is a block of pixels, and a tile of the loops a group of tiles of outputs: as many as
    `chunks` of binary layers, as `planes` says of those of few bits.
    """

    node: Node
    operation: Operation
    inputs: tuple[str, ...]
    output: str
    output_channels: int
    chunks: int
    kernel_rows: int
    kernel_columns: int = 1
    output_rows: int = 1
    output_columns: int = 1
    tiles: int
    diagonal: bool = False
    repeat: bool = False
    average: bool = False
    round_once: bool = False
    wide: bool = False
    pad_value: int = 0
    column_start: int = 0
    column_limit: int
    row_start: int = 0
    row_limit: int
    row_pitch: int = 0
    output_row_step: int = 1
    kernel_row_step: int = 1
    output_column_stride: int = 0
    kernel_column_stride: int = 0
    write_row_stride: int = 0
    write_column_stride: int = 0
    transposed: bool = False  # the input lies with height and width exchanged
    weights: Int8Array | None = None
    channels: Channels
    zero_point: int
    low: int
    high: int
    add: Add | None = None
    window: Window | None = None
    pixels: Pixels | None = None
    binary: bool = False  # its results are written as bits
    planes: Planes = Planes()
    double: bool = False  # its results are of 16 bits
    whole: bool = False  # its weights are of 16 bits, two bytes each in `weights`
    passes: int = 1  # of the array: two of what it reads 16 bits of, upper bytes and lower ones

    @property
    def channel_tiles(self) -> int:
        """Entries of the channel-parameter memory that a tile of the loops takes."""
        return self.chunks if self.operation is Operation.XNOR else self.planes.tiles

    @property
    def steps(self) -> int:
        """Steps of one result: weight words of a tile."""
        return self.chunks * self.kernel_rows * self.kernel_columns

    @property
    def results(self) -> int:
        """Results of one tile."""
        return self.output_rows * self.output_columns

    @property
    def words(self) -> int:
        """Words of the weight buffer."""
        return 0 if self.weights is None else self.weights.shape[0] * self.weights.shape[1]

    @property
    def walk(self) -> Walk:
        """What the walker does for it in one piece, weights resident."""
        window = self.window
        return Walk(
            operation=self.operation,
            steps=self.steps,
            results=self.results,
            tiles=self.tiles,
            repeat=self.repeat,
            wide=self.wide,
            blocks=None if self.pixels is None else BlockWalk(pace=self.pixels.pace, last_cycles=self.pixels.last_cycles),
            writes=2 if self.double else max(self.planes.write, 1),
            window=None
            if window is None
            else WindowWalk(
                map_columns=self.output_columns,
                rows=window.rows,
                columns=window.columns,
                row=window.row,
                column=window.column,
                stride=window.stride,
            ),
        )

"""The fabric's configuration: one frozen dataclass, and the presets that have names."""

from dataclasses import dataclass, fields

from amaranth.utils import bits_for, ceil_log2

STREAM_BYTES = 4
"""Bytes in a word of the fabric's input and output streams."""

BYTE_BITS = 8

XNOR_TILES = 16
"""Tiles of `rows` outputs whose sums can wait in the XNOR engine: the depth of a distributed memory."""

ACCUMULATOR_BITS = 29
"""Width of a sum, with and without its bias."""

LARGEST_SUM = (1 << (ACCUMULATOR_BITS - 1)) - 1
"""Largest magnitude of a sum with its bias. The element-wise sum needs it: two operands of up to 255 * 2**19 each. The compiler
refuses layers whose weights could exceed it; without its bias, a sum may wrap."""

DOUBLE_BITS = 16
"""Bits of an activation that lies as two bytes."""

_DOUBLE_ACCUMULATOR_BITS = 32  # a pass of the array gives the 2**8th part of that
_DOUBLE_SUM_BITS = 39  # what two passes of the requantizer take
_DOUBLE_BIAS_BITS = 35  # what two words of the channel parameters have room for

_BEATS_LIMIT = 4
_PIXELS_LIMIT = 8
_XNOR_ROWS = (8, 16)
_ADDER_LEVELS_LIMIT = 2

_MAY_BE_ZERO = ("carry_rows", "depthwise_tiles", "partial_depth", "requant_multipliers", "xnor_pixels")

COMPACT_LEAVES_OUT = ("depthwise_tiles", "partial_depth", "xnor_pixels")
"""Sizes of what a compact fabric has not."""


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class FabricConfig:
    """Sizes of one fabric. Everything else (widths, latencies) is derived.

    rows                activations that the array takes a cycle: the reduction K advances by `rows`
    cols                sums that the array makes: output channels of a tile; equal to `rows`, because the word that one
                        layer writes is the word that the next one reads
    row_groups          groups into which the array's rows are cut, with a register more between them: on the ECP5 one for
                        each row of multipliers on the chip; the last group may have fewer rows
    carry_rows          rows of the array, its last ones, that multiply by carry chains where the chip has too few multipliers
    weight_depth        words of the weight buffer; a word is rows x cols weights, one for every cell
    activation_bytes    bytes of activation memory
    requant_lanes       sums requantized a cycle; divides `cols`
    requant_multipliers hardware multipliers that the requantizers may take, two a lane at most; what they do not multiply is
                        made of carry chains
    tile_depth          entries of the channel-parameter memory; an entry serves one tile of `cols` output channels
    depthwise_tiles     tiles of `cols` channels whose 3x3 weights the depthwise unit holds; 0 leaves the unit out
    line_depth          widest input map of the depthwise unit
    partial_depth       pixels whose partial sums can wait while the weight buffer is refilled; 0 on a compact fabric alone
    program_words       32-bit words of program memory
    record_depth        layers whose counters are kept for the report
    step_cycles         cycles that a step of the array takes: 1, or `rows` for the compact fabric of small chips, which
                        multiplies a row of the array at a time and has no depthwise unit, no vector unit and no partial sums
    xnor_pixels         pixels that the XNOR engine works on at a time, each `rows` binary outputs of `8 * rows` bits, or planes
                        of bits of fewer pixels; 0 leaves the engine out
    widest_bits         most bits of activations and weights: 8, or 16; such activations lie as two planes of bytes, a pass of
                        the array each, and such weights take a multiplier each
    adder_levels        adders from one register to the next in the trees of requantizers, the vector unit and the XNOR engine:
                        1, or, but for products' first adders, 2 where flip-flops are short; the XNOR engine then holds fewer
                        copies of its activations, too
    """

    name: str
    rows: int
    cols: int
    row_groups: int
    carry_rows: int
    weight_depth: int
    activation_bytes: int
    requant_lanes: int
    requant_multipliers: int
    tile_depth: int
    depthwise_tiles: int
    line_depth: int
    partial_depth: int
    program_words: int
    record_depth: int
    step_cycles: int = 1
    xnor_pixels: int = 0
    widest_bits: int = BYTE_BITS
    adder_levels: int = 1

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type in (int, "int") and (not isinstance(value, int) or value < (item.name not in _MAY_BE_ZERO)):
                raise ValueError(f"fabric {self.name!r}: {item.name} must be a positive integer, not {value!r}")
        if self.rows != self.cols:
            raise ValueError(f"fabric {self.name!r}: cols must equal rows, not {self.cols} against {self.rows}")
        if not _is_power_of_two(self.rows) or self.rows < STREAM_BYTES:
            raise ValueError(f"fabric {self.name!r}: rows must be a power of two of 4 or more, not {self.rows}")
        if self.cols % self.requant_lanes:
            raise ValueError(f"fabric {self.name!r}: requant_lanes must divide cols, not {self.requant_lanes}")
        if self.beats > _BEATS_LIMIT:
            raise ValueError(
                f"fabric {self.name!r}: requant_lanes must be at least cols / {_BEATS_LIMIT}, not {self.requant_lanes}: the "
                "channel parameters would come after the sums that they are for"
            )
        if self.activation_bytes % self.rows:
            raise ValueError(f"fabric {self.name!r}: activation_bytes must be a multiple of rows, not {self.activation_bytes}")
        if self.carry_rows > self.rows:
            raise ValueError(f"fabric {self.name!r}: carry_rows must be at most rows, not {self.carry_rows}")
        if self.group_of(self.rows - 1) != self.row_groups - 1:
            raise ValueError(f"fabric {self.name!r}: {self.rows} rows do not make {self.row_groups} row_groups: one has none")
        if self.weight_depth < 2:
            raise ValueError(f"fabric {self.name!r}: weight_depth must be 2 or more, not {self.weight_depth}")
        if self.xnor_pixels and (self.rows not in _XNOR_ROWS or self.requant_lanes % BYTE_BITS):
            raise ValueError(
                f"fabric {self.name!r}: rows must be 8 or 16, and requant_lanes a multiple of {BYTE_BITS}, where xnor_pixels "
                f"is not 0, not {self.rows} and {self.requant_lanes}: binary outputs are packed into bytes"
            )
        if self.xnor_pixels and (not _is_power_of_two(self.xnor_pixels) or self.xnor_pixels > _PIXELS_LIMIT):
            raise ValueError(
                f"fabric {self.name!r}: xnor_pixels must be 0 or a power of two up to {_PIXELS_LIMIT}, not {self.xnor_pixels}"
            )
        if self.widest_bits not in (BYTE_BITS, DOUBLE_BITS):
            raise ValueError(f"fabric {self.name!r}: widest_bits must be {BYTE_BITS} or {DOUBLE_BITS}, not {self.widest_bits}")
        if self.adder_levels > _ADDER_LEVELS_LIMIT:
            raise ValueError(
                f"fabric {self.name!r}: adder_levels must be at most {_ADDER_LEVELS_LIMIT}, not {self.adder_levels}"
            )
        if self.doubles and self.carry_rows:
            raise ValueError(
                f"fabric {self.name!r}: carry_rows must be 0 where widest_bits is {DOUBLE_BITS}, not {self.carry_rows}: "
                "weights of so many bits take a multiplier"
            )
        self._check_steps()

    def _check_steps(self) -> None:
        """What `step_cycles` asks of the other sizes."""
        if self.step_cycles not in (1, self.rows):
            raise ValueError(f"fabric {self.name!r}: step_cycles must be 1 or rows ({self.rows}), not {self.step_cycles}")
        if not self.compact:
            if not self.partial_depth:
                raise ValueError(
                    f"fabric {self.name!r}: partial_depth must be a positive integer, not 0: only a compact one has none"
                )
            return
        if self.rows != STREAM_BYTES:
            raise ValueError(f"fabric {self.name!r}: rows must be {STREAM_BYTES} where step_cycles is not 1, not {self.rows}")
        for name in COMPACT_LEAVES_OUT:
            if getattr(self, name):
                raise ValueError(
                    f"fabric {self.name!r}: {name} must be 0 where step_cycles is not 1, not {getattr(self, name)}: "
                    "a compact fabric leaves that out"
                )
        if self.doubles:
            raise ValueError(
                f"fabric {self.name!r}: widest_bits must be {BYTE_BITS} where step_cycles is not 1, not {self.widest_bits}"
            )
        if self.adder_levels != 1:
            raise ValueError(
                f"fabric {self.name!r}: adder_levels must be 1 where step_cycles is not 1, not {self.adder_levels}"
            )
        if self.requant_lanes != 1:
            raise ValueError(
                f"fabric {self.name!r}: requant_lanes must be 1 where step_cycles is not 1, not {self.requant_lanes}"
            )

    @property
    def compact(self) -> bool:
        """Whether this is the fabric of small chips: `hw.compact`."""
        return self.step_cycles > 1

    @property
    def doubles(self) -> bool:
        """Whether it takes activations of more than a byte."""
        return self.widest_bits > BYTE_BITS

    @property
    def binary_macs_per_cycle(self) -> int:
        """Binary multiply-accumulates of the whole XNOR engine in one cycle."""
        return self.xnor_pixels * self.rows * self.rows * BYTE_BITS

    @property
    def plane_limit(self) -> int:
        """Most bits of activations whose planes the XNOR engine takes and the requantizer writes; 0 where it does neither."""
        return self.xnor_pixels if self.xnor_pixels > 1 and self.beats == 1 else 0

    @property
    def word_bytes(self) -> int:
        """Bytes of a word of the weight buffer: a weight for every cell."""
        return self.rows * self.cols

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates of the whole array in one cycle."""
        return self.word_bytes // self.step_cycles

    def group_of(self, row: int) -> int:
        """The group that a row of the array belongs to: all are of one size, but for the last one."""
        return row // -(-self.rows // self.row_groups)

    def lane_multipliers(self, lane: int) -> int:
        """Hardware multipliers of a requantizer lane: the first lanes take those that are left over."""
        each, more = divmod(self.requant_multipliers, self.requant_lanes)
        return min(each + (lane < more), 2)

    @property
    def pairs(self) -> int:
        """Columns of multipliers: each makes the products of two output channels."""
        return self.cols // 2

    @property
    def weight_bytes(self) -> int:
        """Bytes of int8 weights that the weight buffer holds."""
        return self.weight_depth * self.word_bytes

    @property
    def beats(self) -> int:
        """Cycles in which the requantizer takes one tile of `cols` sums."""
        return self.cols // self.requant_lanes

    def result_pace(self, *, wide: bool) -> int:
        """Least cycles from a result to the next one: a pass of the requantizer for each beat, two where sums are wide."""
        return self.beats * (1 + wide)

    @property
    def tile_cycles(self) -> int:
        """Least cycles from the end of a tile to that of the next: the next tile's channel parameters are read meanwhile."""
        return 2 * self.beats + 4

    @property
    def activation_address_bits(self) -> int:
        """Width of a byte address of the activation memory."""
        return ceil_log2(self.activation_bytes)

    @property
    def weight_address_bits(self) -> int:
        """Width of a word address of the weight buffer."""
        return bits_for(self.weight_depth - 1)

    @property
    def accumulator_bits(self) -> int:
        """Width of a sum that an engine makes."""
        return _DOUBLE_ACCUMULATOR_BITS if self.doubles else ACCUMULATOR_BITS

    @property
    def total_bits(self) -> int:
        """Width of a sum of all passes, with and without its bias."""
        return _DOUBLE_SUM_BITS if self.doubles else ACCUMULATOR_BITS

    @property
    def bias_bits(self) -> int:
        """Width of a bias."""
        return _DOUBLE_BIAS_BITS if self.doubles else ACCUMULATOR_BITS

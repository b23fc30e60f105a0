"""The command set: what the host sends, what a layer's descriptor holds, what comes back. Declared once.

The gateware decodes these layouts and the compiler encodes them, so neither can drift from the other.

Both streams carry 32-bit words, in packets of a header word, an address word and `count` payload words:

    host to fabric    header.command is a `Command`
    fabric to host    header.command is an `Answer`
"""

from typing import TYPE_CHECKING

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data

if TYPE_CHECKING:
    import enum  # Amaranth ships no types, and its enumerations are Python's with a shape
else:
    from amaranth.lib import enum


class Command(enum.Enum, shape=8):
    """Packets to the fabric. The loader carries them out in order; START only queues, so the stream goes on meanwhile."""

    NOP = 0
    LOAD_ACTIVATIONS = 1  # address: byte, a multiple of 4; payload: bytes, least significant first
    LOAD_WEIGHTS = 2  # address: word of the weight buffer; payload: rows x cols int8 a word, row by row
    STREAM_WEIGHTS = 3  # the same into the ring, wherever it stands; waits for room
    LOAD_CHANNELS = 4  # address: tile entry; payload: for each output channel shift, bias, multiplier
    LOAD_PROGRAM = 5  # address: word of program memory; payload: descriptors
    SET_RING = 6  # address: first word of the ring, which ends with the weight buffer; empties the ring
    START = 7  # address: program word of the first descriptor
    WAIT = 8  # holds the stream until every START has ended; address, if not 0: or so many layers of the last one
    LOAD_DEPTHWISE = 9  # address: tile entry of the depthwise unit; payload: nine taps of cols int8 an entry
    LOAD_WHOLE_WEIGHTS = 10  # as LOAD_WEIGHTS, of rows x cols / 2 int16 a word
    STREAM_WHOLE_WEIGHTS = 11  # the same into the ring


class Answer(enum.Enum, shape=8):
    """Packets from the fabric."""

    RESULT = 1  # address: the STORE descriptor's tag; payload: bytes of a tensor, least significant first
    DONE = 2  # address: cycles from START to the end of the last STORE; payload: one `Record` a layer


class Header(data.Struct):
    """First word of a packet."""

    count: unsigned(24)
    command: unsigned(8)


class Operation(enum.Enum, shape=4):
    """What a descriptor does."""

    END = 0  # ends the program
    STORE = 1  # sends a tensor to the host
    MAC = 2  # convolution, fully connected, depthwise and average pooling on the systolic array
    MAX = 3  # max pooling on the vector unit
    ADD = 4  # element-wise sum on the vector unit: two steps a result
    DEPTHWISE = 5  # depthwise convolution on its own unit: the walker's output loops are over the *input* map
    XNOR = 6  # binary convolution and fully connected on the XNOR engine
    OR = 7  # max pooling of bits, eight a byte, on the vector unit
    SERIAL = 8  # convolution and fully connected of few bits, bit by bit on the XNOR engine


class RightOperand(data.Struct):
    """How ADD scales its second operand; see FIRST_LOG2."""

    multiplier: unsigned(32)
    zero_point: signed(8)
    shift: unsigned(8)  # to the right


class BitPlanes(data.Struct):
    """How tensors of few bits lie: a plane of each bit, one behind the other, each with the tensor's elements eight a byte."""

    read_stride: unsigned(16)  # SERIAL: bytes from a plane of the input to the next higher one
    write_stride: unsigned(16)  # the same of the output
    read_planes: unsigned(4)  # SERIAL: of the input
    weight_planes: unsigned(4)  # SERIAL: of the weights, a word each
    write_planes: unsigned(4)  # `binary` results are written as so many planes of their lowest bits; 0: as their signs
    tiles: unsigned(4)  # SERIAL: of outputs that pass by each block of pixels; from 2 on, they are the layer's only ones


class BytePlanes(data.Struct):
    """How results of 16 bits lie, and their range: a plane of their upper bytes, and one of their lower bytes less 128."""

    write_stride: unsigned(16)  # bytes from the plane of upper bytes to that of lower ones
    low: signed(16)
    high: signed(16)


class Operand(data.Union):
    """What ADD needs, and what the operations need that ADD's results are not for."""

    right: RightOperand
    planes: BitPlanes
    bytes: BytePlanes


class Descriptor(data.Struct):
    """One layer, or one part of one. The words of program memory hold it from the least significant bit up.

    The window walker steps through six nested loops: chunk (inside), kernel column, kernel row, output column, output
    row, tile (outside). A step reads `rows` consecutive bytes at `row address + column`; bytes outside of column 0 to
    `column_limit`, or of a row outside of 0 to `row_limit`, are replaced by `pad_value`.

    With XNOR the loops are tile of outputs (inside; the first `pixels` turns each read one pixel's bytes), chunk, kernel row,
    block of pixels, output row, and a single one. Bytes that would be replaced do not count.

    With SERIAL they are plane of weights and tile of outputs (inside, a plane of all tiles after the other; the first
    `pixels * read_planes` turns each read a plane of a pixel), chunk, kernel row, block of pixels, output row, tile of outputs.
    """

    # word 0
    operation: Operation
    diagonal: unsigned(1)  # the tile's index moves the input channel too: depthwise, pooling, element-wise
    stream_weights: unsigned(1)  # weights come through the ring
    repeat: unsigned(1)  # one weight word and one entry of channel parameters serve every step and tile: pooling
    partial_in: unsigned(1)  # add the waiting partial sums
    partial_out: unsigned(1)  # leave partial sums instead of results
    average: unsigned(1)  # round as integer division does, half away from zero on the magnitude
    round_once: unsigned(1)  # requantize with one rounding, halves up: fully connected
    wide: unsigned(1)  # sums with their biases need more than `NARROW_BITS`: two passes of the requantizer each
    binary: unsigned(1)  # results are written as bits, eight a byte; not ADD's
    double: unsigned(1)  # results are of 16 bits, as `operand.bytes` says; `wide`, not ADD's
    scaled: unsigned(1)  # partial sums are left times 2**8: those of upper bytes
    whole: unsigned(1)  # weights are of 16 bits, for half as many output channels a tile
    pad_value: signed(8)
    tag: unsigned(8)  # STORE: which output of the program
    # words 1 to 3: where the window begins
    row_address: signed(32)  # byte address of column 0 of the window's first row (may lie before the tensor)
    column_start: signed(32)  # bytes; negative by the left padding
    column_limit: unsigned(32)  # bytes of one input row
    # word 4
    row_start: signed(16)
    row_limit: unsigned(16)
    # words 5 to 8: loop counts and row steps
    output_row_step: unsigned(8)  # rows the window moves for the next output row: the stride
    kernel_row_step: unsigned(8)  # rows between kernel rows: the dilation
    kernel_rows: unsigned(16)
    kernel_columns: unsigned(16)
    chunks: unsigned(16)
    output_columns: unsigned(16)
    output_rows: unsigned(16)
    tiles: unsigned(16)
    last_lanes: unsigned(16)  # output channels of the last tile; XNOR: of all tiles
    # words 9 to 12: strides in bytes
    output_row_stride: signed(32)
    kernel_row_stride: signed(32)
    output_column_stride: signed(32)
    kernel_column_stride: signed(32)
    # word 13
    weight_base: unsigned(16)  # first word in the weight buffer, where resident; DEPTHWISE: the unit's tile entry
    tile_base: unsigned(16)  # first entry of the channel parameters
    # words 14 to 17: where the results go, and their range
    write_address: unsigned(32)
    write_column_stride: unsigned(32)
    write_row_stride: unsigned(32)
    zero_point: signed(8)
    low: signed(8)
    high: signed(8)
    window_stride: unsigned(8)
    # words 18, 19
    operand: Operand
    chunk_stride: unsigned(11)  # bytes from a chunk to the next; XNOR, SERIAL: from a pixel's window to the next one's
    last_bytes: unsigned(5)  # XNOR, SERIAL: of the last chunk of a kernel row
    # word 20
    length: unsigned(32)  # STORE: 32-bit words to send
    # words 21, 22: DEPTHWISE: the centres that give results, every `window_stride` from the first one on
    window_columns: unsigned(16)
    window_rows: unsigned(16)
    window_column: unsigned(8)  # of the first result's centre
    window_row: unsigned(8)
    pixels: unsigned(4)  # XNOR, SERIAL: of a block, which is a column of the output loops
    last_pixels: unsigned(4)  # XNOR, SERIAL: of a row's last block
    pace: unsigned(8)  # least cycles from the end of a result or block to that of the next; 0: what the requantizer needs


DESCRIPTOR_WORDS = Shape.cast(Descriptor).width // 32
"""32-bit words of a descriptor in program memory."""


class Record(data.Struct):
    """Counters of one layer, in cycles: `cycles = busy + weights + activations + output`."""

    cycles: unsigned(32)
    busy: unsigned(32)  # the array or the vector unit took a step
    weights: unsigned(32)  # starved for weights
    activations: unsigned(32)  # starved for activations: filling the pipeline, and waiting for its last results
    output: unsigned(32)  # stalled on output: the requantizer had not room for more


RECORD_WORDS = Shape.cast(Record).width // 32
"""32-bit words of a record in the stream."""

FIRST_LOG2 = 19
"""The sums of ADD are its first operand times 2**FIRST_LOG2, with its zero point, plus its second operand, scaled."""

ADD_SHIFT_BITS = 4
"""Width of the shift that scales ADD's second operand, to the right."""

MAX_OFFSET = 128
"""What the sums of MAX are above the maximum."""

CHANNEL_WORDS = 3
"""Stream words for the parameters of one output channel: shift, bias, multiplier. The upper three bytes of the first word are
those of the bias behind its lower 32 bits."""

CHANNEL_BIAS_PLACE = 8
"""Where in the first word the rest of the bias is."""

SHIFT_BITS = 6
"""Width of a requantization shift: signed, positive to the left; -32 to 7 are meant."""

MAX_LEFT_SHIFT = 7
"""Largest requantization shift to the left."""

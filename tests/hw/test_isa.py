"""The command set: what is on the wire, word by word. A change here breaks every bitstream and every host together."""

import re
from pathlib import Path

import pytest
from amaranth.hdl import Shape
from amaranth.lib import data
from celosia.hw import isa
from celosia.hw.isa import CHANNEL_WORDS, DESCRIPTOR_WORDS, RECORD_WORDS, Answer, Command, Descriptor, Header, Operation, Record
from celosia.hw.post.requantize import Channel


def offsets(struct):
    """{field: (first bit, width)}"""
    layout = data.Layout.cast(struct)
    return {name: (layout[name].offset, Shape.cast(layout[name].shape).width) for name, _ in layout}


def test_numbers_on_the_wire():
    assert {command.name: command.value for command in Command} == {
        "NOP": 0,
        "LOAD_ACTIVATIONS": 1,
        "LOAD_WEIGHTS": 2,
        "STREAM_WEIGHTS": 3,
        "LOAD_CHANNELS": 4,
        "LOAD_PROGRAM": 5,
        "SET_RING": 6,
        "START": 7,
        "WAIT": 8,
        "LOAD_DEPTHWISE": 9,
        "LOAD_WHOLE_WEIGHTS": 10,
        "STREAM_WHOLE_WEIGHTS": 11,
    }
    assert {answer.name: answer.value for answer in Answer} == {"RESULT": 1, "DONE": 2}
    assert {operation.name: operation.value for operation in Operation} == {
        "END": 0,
        "STORE": 1,
        "MAC": 2,
        "MAX": 3,
        "ADD": 4,
        "DEPTHWISE": 5,
        "XNOR": 6,
        "OR": 7,
        "SERIAL": 8,
    }


def test_header():
    assert Shape.cast(Header).width == 32
    assert offsets(Header) == {"count": (0, 24), "command": (24, 8)}


def test_descriptor_words_are_where_the_comments_say():
    """The comments `# word 4` and `# words 5 to 8` before groups of fields."""
    source = Path(isa.__file__).read_text().split("class Descriptor")[1].split("DESCRIPTOR_WORDS")[0]
    places = offsets(Descriptor)
    word = None
    checked = 0
    for line in source.splitlines():
        if group := re.match(r"\s+# words? (\d+)", line):
            word = int(group[1])
        elif (named := re.match(r"    (\w+): ", line)) and word is not None:
            assert places[named[1]][0] == 32 * word, f"{named[1]} does not begin word {word}"
            word, checked = None, checked + 1
    assert checked >= 8


def test_descriptor_fields_do_not_cross_words():
    """A field lies in one word, so that words can be written one by one."""
    places = offsets(Descriptor)
    begin = places["operand"][0]
    assert begin % 32 == 0
    inner = {
        f"{view}.{name}": (begin + first, width)
        for view, shape in (("right", isa.RightOperand), ("planes", isa.BitPlanes))
        for name, (first, width) in offsets(shape).items()
    }
    for name, (first, width) in (places | inner).items():
        assert name == "operand" or first // 32 == (first + width - 1) // 32, name
    assert sum(width for _, width in places.values()) == 32 * DESCRIPTOR_WORDS


@pytest.mark.parametrize(
    ("field", "least", "greatest"),
    [
        # What the descriptor must reach: kernels to 11x11, stride 4, maps of 512x512, 4,096 channels, 25,088 inputs.
        ("kernel_rows", 0, 11),
        ("kernel_columns", 0, 11),
        ("chunks", 0, 25_088),
        ("output_rows", 0, 512),
        ("output_columns", 0, 512),
        ("tiles", 0, 4096),
        ("last_lanes", 0, 64),
        ("output_row_step", 0, 4),
        ("kernel_row_step", 0, 16),
        ("row_start", -80, 0),
        ("row_limit", 0, 512),
        ("row_address", -(1 << 30), 1 << 30),
        ("column_start", -10 * 4096, 0),
        ("column_limit", 0, 512 * 4096),
        ("output_row_stride", -1, 4 * 512 * 4096),
        ("kernel_row_stride", -(512 * 4096), 512 * 4096),
        ("write_address", 0, 1 << 31),
        ("write_row_stride", 0, 512 * 4096),
        ("length", 0, 512 * 512 * 4096 // 4),
        ("pad_value", -128, 127),
        ("zero_point", -128, 127),
        ("low", -128, 127),
        ("high", -128, 127),
    ],
)
def test_fields_hold_what_networks_need(field, least, greatest):
    for value in (least, greatest):
        assert getattr(Descriptor.const({field: value}), field) == value


@pytest.mark.parametrize(
    ("view", "field", "least", "greatest"),
    [
        ("right", "zero_point", -128, 127),
        ("right", "multiplier", 0, (1 << 31) - 1),
        ("planes", "read_stride", 0, (1 << 16) - 1),
        ("planes", "write_stride", 0, (1 << 16) - 1),
        ("planes", "weight_planes", 0, 8),
    ],
)
def test_operands_hold_what_networks_need(view, field, least, greatest):
    for value in (least, greatest):
        assert getattr(getattr(Descriptor.const({"operand": {view: {field: value}}}).operand, view), field) == value


def test_record():
    assert Shape.cast(Record).width == RECORD_WORDS * 32
    assert offsets(Record) == {
        "cycles": (0, 32),
        "busy": (32, 32),
        "weights": (64, 32),
        "activations": (96, 32),
        "output": (128, 32),
    }


def test_channel_parameters():
    """Three words a channel hold what the requantizer takes: a shift of six bits, a bias of 29, a multiplier of 31."""
    assert CHANNEL_WORDS == 3
    for shift in (-31, 0, isa.MAX_LEFT_SHIFT):
        channel = Channel().const({"shift": shift, "bias": -(2**28), "multiplier": 2**31 - 1})
        assert (channel.shift, channel.bias, channel.multiplier) == (shift, -(2**28), 2**31 - 1)

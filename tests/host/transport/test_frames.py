"""Frames as bytes: round trips, the layout, and what a decoder finds in rubbish."""

import struct
import zlib

import pytest
from celosia.host.transport.frames import Decoder, DeviceIdentity, Frame, read_identity
from celosia.hw.link.framing import (
    CHECK_BYTES,
    HEADER_BYTES,
    MARKER,
    MAX_LENGTH,
    OVERHEAD_BYTES,
    PROTOCOL_VERSION,
)
from celosia.hw.link.identity import digest, identity
from celosia.hw.presets import preset
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.integers(0, (1 << 16) - 1)
FRAMES = st.builds(
    Frame,
    session=NUMBERS,
    position=NUMBERS,
    expected=NUMBERS,
    taken=NUMBERS,
    hello=st.booleans(),
    again=st.booleans(),
    reply=st.booleans(),
    payload=st.integers(0, 20).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words)),
    version=st.integers(0, 255),
)


def test_layout():
    """By hand, from the description in `hw.link.framing`."""
    frame = Frame(session=0x1234, position=0x5678, expected=0x9ABC, taken=0xDEF0, again=True, payload=b"abcdefgh", version=7)
    header = struct.pack("<BBHHHHBB", 0xC5, 0b010, 0x1234, 0x5678, 0x9ABC, 0xDEF0, 2, 7)
    check = struct.pack("<H", zlib.crc32(header) & 0xFFFF)
    crc = struct.pack("<I", zlib.crc32(header + b"abcdefgh"))
    assert bytes(frame) == header + check + b"abcdefgh" + crc
    assert (HEADER_BYTES, CHECK_BYTES, OVERHEAD_BYTES) == (12, 2, 18)


@given(st.lists(FRAMES, max_size=5), st.data())
def test_decodes_what_was_encoded_in_any_portions(frames, data):
    stream = b"".join(map(bytes, frames))
    decoder = Decoder()
    found = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += decoder.feed(stream[:size])
        stream = stream[size:]
    assert found == frames


@given(FRAMES, st.data())
def test_one_wrong_byte_is_no_frame(frame, data):
    stream = bytearray(bytes(frame))
    stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    decoder = Decoder()
    found = list(decoder.feed(bytes(stream)))
    while not found and decoder._bytes:
        found += decoder.give_up()
    assert not found


@given(st.binary(max_size=300), FRAMES, st.binary(max_size=40))
def test_finds_a_frame_behind_rubbish(rubbish, frame, more):
    decoder = Decoder()
    found = list(decoder.feed(rubbish + bytes(frame) + more))
    while frame not in found and decoder._bytes:
        found += decoder.give_up()
    assert frame in found


def test_giving_up_finds_what_a_false_start_has_swallowed():
    """A header with the greatest length, whose payload never comes, and a frame behind it."""
    start = bytes(Frame(session=1, payload=bytes(4 * MAX_LENGTH)))[: HEADER_BYTES + CHECK_BYTES]
    frame = Frame(session=2)
    decoder = Decoder()
    assert list(decoder.feed(start + bytes(frame))) == []
    assert list(decoder.give_up()) == [frame]
    assert list(decoder.give_up()) == []


def test_a_marker_in_the_payload_is_payload():
    frame = Frame(session=1, payload=bytes([MARKER] * 64))
    assert list(Decoder().feed(bytes(frame))) == [frame]


def test_identity():
    config = preset("mini")
    payload = identity(config, buffer_words=512).to_bytes(32, "little")
    assert read_identity(Frame(session=1, payload=payload)) == DeviceIdentity(
        name="mini", digest=digest(config), buffer_words=512, version=PROTOCOL_VERSION
    )
    assert read_identity(Frame(session=1, payload=payload[4:])) is None
    long = preset("ecp5-85,weight_depth=32")
    payload = identity(long, buffer_words=512).to_bytes(32, "little")
    assert read_identity(Frame(session=1, payload=payload)).name == "ecp5-85,weight_depth"


def test_digest_is_of_the_sizes_and_not_of_the_name():
    mini = preset("mini")
    assert digest(mini) == digest(preset("mini,weight_depth=1024"))
    others = {digest(preset(name)) for name in ("mini", "mini,weight_depth=512", "mini,line_depth=65", "ecp5-25", "ecp5-85")}
    assert len(others) == 5


def test_digest_is_of_the_command_set(monkeypatch):
    mini = preset("mini")
    before = digest(mini)
    monkeypatch.setattr("celosia.hw.isa.CHANNEL_WORDS", 4)
    assert digest(mini) != before


@pytest.mark.parametrize("length", [0, 1, 255])
def test_any_length_of_a_byte(length):
    frame = Frame(session=1, payload=bytes(4 * length))
    assert list(Decoder().feed(bytes(frame))) == [frame]

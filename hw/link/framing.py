"""Frames: what goes over the wire, declared once for the gateware and for the host.

    header (12 bytes)   check (2)   payload (length x 4)   CRC (4)

`check` is the lower half of the CRC-32 of the header, so that a damaged length is not believed; `CRC` is the CRC-32 of header
and payload (IEEE 802.3, as zlib has it). All fields have their least significant byte first. Frames of both directions look the
same, and every one of them, with a payload or without, tells all that its sender knows:

    position    of the first word of the payload in the sender's stream of words, or of the next one that it would send
    expected    position of the next word that the sender wants: it has all words before, for good
    taken       position of the next word that the fabric will take: the host sends no further than `buffer_words` beyond

Positions count words, modulo 2**16, from zero in every session. A payload is taken where its position is the one expected and
its CRC is right, and not otherwise: so a repeated frame changes nothing, and whatever is lost is sent again from `expected` on.
The device has no timers: the host asks again, and says how often.
"""

from amaranth.hdl import Shape, unsigned
from amaranth.lib import data

PROTOCOL_VERSION = 1
"""Of frames, identity and streams: a device of another version is refused."""

MARKER = 0xC5
"""First byte of a frame."""

POSITION_BITS = 16

MAX_LENGTH = 128
"""Words of payload that a frame is filled with."""


class Kind(data.Struct):
    """What a frame is, beside a carrier of words.

    hello       host: begin this session, or answer again where it has begun; device: the payload is the identity
    again       something was lost: send from `expected` on
    reply       the host wants a frame in return
    """

    hello: unsigned(1)
    again: unsigned(1)
    reply: unsigned(1)
    _reserved: unsigned(5)


class FrameHeader(data.Struct):
    """The header. A device that no host has opened yet has session 0."""

    marker: unsigned(8)
    kind: Kind
    session: unsigned(16)
    position: unsigned(POSITION_BITS)
    expected: unsigned(POSITION_BITS)
    taken: unsigned(POSITION_BITS)
    length: unsigned(8)  # words of payload
    version: unsigned(8)


def field_bytes(name: str) -> range:
    """The bytes of the header that a field takes."""
    field = data.Layout.cast(FrameHeader)[name]
    return range(field.offset // 8, (field.offset + Shape.cast(field.shape).width) // 8)


HEADER_BYTES = Shape.cast(FrameHeader).width // 8
CHECK_BYTES = 2
CRC_BYTES = 4

OVERHEAD_BYTES = HEADER_BYTES + CHECK_BYTES + CRC_BYTES
"""Bytes of a frame that are not payload."""

NAME_BYTES = 20


class Identity(data.Struct):
    """What a device says of itself in its answer to a hello: the payload of that frame.

    digest          of configuration and command set: `identity.digest`
    buffer_words    words that it can hold before the fabric takes them
    name            of the configuration, padded with zeros
    """

    digest: unsigned(64)
    buffer_words: unsigned(16)
    _reserved: unsigned(16)
    name: data.ArrayLayout(8, NAME_BYTES)


IDENTITY_WORDS = Shape.cast(Identity).width // 32

"""Frames as bytes: what `hw.link.framing` declares, written and read on the host."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.hdl import Shape
from amaranth.lib import data

from ...hw.link.framing import (
    CHECK_BYTES,
    CRC_BYTES,
    HEADER_BYTES,
    MARKER,
    OVERHEAD_BYTES,
    PROTOCOL_VERSION,
    FrameHeader,
    Identity,
    Kind,
)

_CHARACTERS = {8: "B", 16: "H"}  # struct's, by width
_FIELDS = [(name, Shape.cast(field.shape).width) for name, field in data.Layout.cast(FrameHeader)]
_HEADER = struct.Struct("<" + "".join(_CHARACTERS[width] for _, width in _FIELDS))
_NAMES = [name for name, _ in _FIELDS]
_FLAGS = {name: 1 << field.offset for name, field in data.Layout.cast(Kind) if not name.startswith("_")}
_CHECK = (1 << 8 * CHECK_BYTES) - 1

FILLER = bytes(1)
"""A byte that begins no frame: sent to push a receiver out of a frame that will never be whole."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame; positions modulo 2**16, as `hw.link.framing` explains them."""

    session: int
    position: int = 0
    expected: int = 0
    taken: int = 0
    hello: bool = False
    again: bool = False
    reply: bool = False
    payload: bytes = b""
    version: int = PROTOCOL_VERSION

    def __bytes__(self) -> bytes:
        """The frame as it goes over the wire."""
        values = {
            "marker": MARKER,
            "kind": sum(flag for name, flag in _FLAGS.items() if getattr(self, name)),
            "session": self.session,
            "position": self.position,
            "expected": self.expected,
            "taken": self.taken,
            "length": len(self.payload) // 4,
            "version": self.version,
        }
        header = _HEADER.pack(*(values[name] for name in _NAMES))
        check = zlib.crc32(header)
        crc = zlib.crc32(self.payload, check)
        return b"".join(
            (header, (check & _CHECK).to_bytes(CHECK_BYTES, "little"), self.payload, crc.to_bytes(CRC_BYTES, "little"))
        )


class Decoder:
    """Finds whole and sound frames in bytes, whatever lies between them."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, received: bytes) -> Iterator[Frame]:
        """The frames that are whole with these bytes."""
        self._bytes += received
        yield from self._frames()

    def give_up(self) -> Iterator[Frame]:
        """No more bytes come for the frame that has begun: looks for others in what is there."""
        if self._bytes:
            del self._bytes[0]
            yield from self._frames()

    def _frames(self) -> Iterator[Frame]:
        held = self._bytes
        while True:
            begin = held.find(MARKER)
            del held[: len(held) if begin < 0 else begin]
            if len(held) < HEADER_BYTES + CHECK_BYTES:
                return
            header = bytes(held[:HEADER_BYTES])
            check = zlib.crc32(header)
            end = HEADER_BYTES + CHECK_BYTES
            if int.from_bytes(held[HEADER_BYTES:end], "little") != check & _CHECK:
                del held[0]
                continue
            values = dict(zip(_NAMES, _HEADER.unpack(header), strict=True))
            size = 4 * values["length"] + OVERHEAD_BYTES
            if len(held) < size:
                return
            payload = bytes(held[end : size - CRC_BYTES])
            if int.from_bytes(held[size - CRC_BYTES : size], "little") != zlib.crc32(payload, check):
                del held[0]
                continue
            del held[:size]
            yield Frame(
                payload=payload,
                **{name: bool(values["kind"] & flag) for name, flag in _FLAGS.items()},
                **{name: values[name] for name in ("session", "position", "expected", "taken", "version")},
            )


@dataclass(frozen=True, kw_only=True)
class DeviceIdentity:
    """What a device says of itself."""

    name: str
    digest: int
    buffer_words: int
    version: int = PROTOCOL_VERSION


def read_identity(frame: Frame) -> DeviceIdentity | None:
    """The identity in the answer to a hello; None where it has not the form that this version knows."""
    layout = data.Layout.cast(Identity)
    if len(frame.payload) != layout.size // 8:
        return None
    value = Identity.from_bits(int.from_bytes(frame.payload, "little"))
    name = bytes(value["name"]).rstrip(b"\0").decode("ascii", "replace")
    return DeviceIdentity(name=name, digest=value["digest"], buffer_words=value["buffer_words"], version=frame.version)

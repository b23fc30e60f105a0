"""Packets of USB, full speed, as symbols on the wires: SYNC, bit stuffing, NRZI, end of packet (USB 2.0, chapters 7 and 8)."""

from enum import IntEnum

SE0, J, K = 0, 1, 2
"""Symbols: d_p is bit 0, d_n bit 1."""

_STUFFED = 6  # ones in a row that a zero follows
_SYNC = (0, 0, 0, 0, 0, 0, 0, 1)


class Pid(IntEnum):
    """What a packet is."""

    OUT = 0b0001
    IN = 0b1001
    SOF = 0b0101
    SETUP = 0b1101
    DATA0 = 0b0011
    DATA1 = 0b1011
    ACK = 0b0010
    NAK = 0b1010
    STALL = 0b1110


_DATA = (Pid.DATA0, Pid.DATA1)


def crc5(value: int) -> int:
    """Of the eleven bits of a token."""
    crc = 0x1F
    for index in range(11):
        crc = crc >> 1 ^ (0x14 if (crc ^ value >> index) & 1 else 0)
    return crc ^ 0x1F


def crc16(data: bytes) -> int:
    """Of a data packet's bytes."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc ^ 0xFFFF


def token(pid: Pid, value: int) -> bytes:
    """A token: of its eleven bits the lower seven are an address and the others an endpoint, or all number a frame."""
    return _with_check(pid) + (value | crc5(value) << 11).to_bytes(2, "little")


def data_packet(pid: Pid, data: bytes) -> bytes:
    """DATA0 or DATA1 with its bytes."""
    return _with_check(pid) + data + crc16(data).to_bytes(2, "little")


def handshake(pid: Pid) -> bytes:
    """ACK, NAK or STALL."""
    return _with_check(pid)


def encode(packet: bytes) -> bytes:
    """The symbols of a packet, from the first of SYNC to the J behind its end."""
    bits = list(_SYNC)
    ones = 1  # the last bit of SYNC counts
    for byte in packet:
        for index in range(8):
            bit = byte >> index & 1
            bits.append(bit)
            ones = ones + 1 if bit else 0
            if ones == _STUFFED:
                bits.append(0)
                ones = 0
    symbols, symbol = bytearray(), J
    for bit in bits:
        if not bit:
            symbol = J + K - symbol
        symbols.append(symbol)
    return bytes((*symbols, SE0, SE0, J))


def decode(symbols: bytes) -> tuple[Pid, bytes] | None:
    """What a packet is and, of a data packet, its bytes; None where it is damaged, or nothing came."""
    end = symbols.find(SE0)
    if end < 0:
        return None
    before, bits = J, []
    for symbol in symbols[:end]:
        bits.append(int(symbol == before))
        before = symbol
    begin = next((index for index in range(1, len(bits)) if bits[index - 1 : index + 1] == [0, 1]), None)
    if begin is None:
        return None
    found, ones, value, count = bytearray(), 1, 0, 0
    for bit in bits[begin + 1 :]:
        if ones == _STUFFED:
            if bit:
                return None
            ones = 0
            continue
        ones = ones + 1 if bit else 0
        value |= bit << count
        count += 1
        if count == 8:
            found.append(value)
            value = count = 0
    if not found or count or found[0] & 15 != ~found[0] >> 4 & 15 or found[0] & 15 not in list(Pid):
        return None
    pid, content = Pid(found[0] & 15), bytes(found[1:])
    if pid not in _DATA:
        return pid, content
    data, check = content[:-2], content[-2:]
    return (pid, data) if len(check) == 2 and int.from_bytes(check, "little") == crc16(data) else None


def _with_check(pid: Pid) -> bytes:
    return bytes([pid | (~pid & 15) << 4])

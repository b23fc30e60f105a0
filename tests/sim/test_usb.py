"""The simulated USB host's packets, against what the standard and its examples say."""

import numpy as np
import pytest
from celosia.sim.usb_packets import SE0, J, K, Pid, crc5, crc16, data_packet, decode, encode, handshake, token


def reversed_bits(value, width):
    return int(f"{value:0{width}b}"[::-1], 2)


def remainder(bits, polynomial, width):
    """Of the division that the standard describes: first bit first, from all ones, complemented."""
    register = (1 << width) - 1
    for bit in bits:
        high = register >> (width - 1)
        register = register << 1 & (1 << width) - 1
        if high ^ bit:
            register ^= polynomial
    return register ^ (1 << width) - 1


@pytest.mark.parametrize("value", [0, 1, 0x547, 0x715, 0x7FF])
def test_crc5(value):
    bits = [value >> index & 1 for index in range(11)]
    assert crc5(value) == reversed_bits(remainder(bits, 0b00101, 5), 5)


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x02\x03", b"#Eg\x89", bytes(64)])
def test_crc16(data):
    bits = [byte >> index & 1 for byte in data for index in range(8)]
    assert crc16(data) == reversed_bits(remainder(bits, 0x8005, 16), 16)


def test_a_packet_on_the_wires():
    """ACK is 0xD2: SYNC, then 0 1 0 0 1 0 1 1; a zero changes the wires, a one leaves them; then the end."""
    assert encode(handshake(Pid.ACK)) == bytes([K, J, K, J, K, J, K, K, J, J, K, J, J, K, K, K, SE0, SE0, J])


def test_six_ones_are_followed_by_a_zero():
    """The byte of ones, and the ones of a SYNC before a PID that begins with them."""
    plain = encode(data_packet(Pid.DATA0, b"\x55"))
    assert len(encode(data_packet(Pid.DATA0, b"\xff"))) > len(plain)
    for symbols in (encode(data_packet(Pid.DATA1, bytes([255] * 20))), encode(token(Pid.IN, 0x7FF))):
        runs = np.diff(np.flatnonzero(np.diff(np.frombuffer(symbols, np.uint8)))).max()
        assert runs <= 7, "the wires change at least every seventh bit"


@pytest.mark.parametrize("size", [0, 1, 7, 63, 64])
def test_there_and_back(size):
    data = np.random.default_rng(size).bytes(size)
    assert decode(encode(data_packet(Pid.DATA1, data))) == (Pid.DATA1, data)
    ones = b"\xff" * size
    assert decode(encode(data_packet(Pid.DATA0, ones))) == (Pid.DATA0, ones)


def test_damage_is_seen():
    """Any one bit that is turned, from the first of the PID on: the packet is none."""
    symbols = encode(data_packet(Pid.DATA0, b"Celosia"))
    for place in range(8, len(symbols) - 3):
        assert decode(symbols[:place] + bytes([J + K - symbols[place]]) + symbols[place + 1 :]) is None
    assert decode(b"") is None
    assert decode(bytes([J]) * 30) is None
    assert decode(symbols[:40]) is None

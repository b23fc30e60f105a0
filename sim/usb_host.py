"""A USB host for simulated devices: enumerates one as an operating system does, then exchanges bytes with its serial port."""

import contextlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..hw.link.packets import PACKET_BYTES
from .errors import DeviceError
from .pins import Times
from .usb_packets import SE0, J, Pid, data_packet, decode, encode, handshake, token

CYCLES_PER_BIT = 4
"""Of a design's clock, 48 MHz."""

_ADDRESS = 5  # that the device is given
_TURNAROUND = 18.0  # bits in which a device must begin to answer (USB 2.0, 7.1.19)
_GAP = 4.0  # bits between two packets of the host
_IDLE = 120.0  # bits between two questions where the device has nothing
_FRAME = 12_000  # bits: a millisecond
_RESET = 600  # bits of a reset: 50 us here, 10 ms of a real host
_TRIES = 3
_PATIENCE = 100_000  # of NAKs in a row
_ROOM = 800  # symbols of the longest packet and more
_BULK = 2
_ENDPOINT = 5  # a descriptor

_GET_DESCRIPTOR, _SET_ADDRESS, _SET_CONFIGURATION = 6, 5, 9
_SET_LINE_CODING, _SET_CONTROL_LINE_STATE = 0x20, 0x22
_DEVICE, _CONFIGURATION, _STRING = 1, 2, 3


class Stalled(Exception):
    """The device refuses a request."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a device says of itself: codes and names of maker and product, and its bulk endpoints out of and into the host."""

    vendor: int
    product: int
    manufacturer: str
    name: str
    out_endpoint: int
    in_endpoint: int
    packet_bytes: int


class UsbWires(Protocol):
    """Two wires with a device at their end, and time, in cycles of 48 MHz."""

    @property
    def cycles(self) -> int:
        """Since the start."""

    @property
    def is_attached(self) -> bool:
        """Whether a device pulls a wire up."""

    def transact(self, symbols: bytes, room: int, bits: float) -> bytes:
        """Sends symbols, then waits up to `bits` for the device to begin and gives the symbols of its packet, `room` at most.

        With `room` 0 nothing is expected, and the wires rest for `bits`.
        """


class UsbHost:
    """The host's end of the wires. Raises DeviceError where the device does not behave as one."""

    def __init__(self, wires: UsbWires) -> None:
        self._wires = wires
        self._address = 0
        self._toggle_out = self._toggle_in = 0
        self._next_frame = 0
        self._frame = 0
        self.description: Description | None = None
        self.repeated = 0  # packets sent or asked for again because one was damaged

    def exchange(self, data: bytes, cycles: int, *, stop: bool = False) -> tuple[int, bytes, Times]:
        """Runs for that many cycles or a packet longer, with `stop` until `data` is sent and a byte came.

        Gives the number of bytes of `data` that the device has taken, the bytes that came, and the cycles in which their
        packets were whole.
        """
        if self.description is None:
            self.enumerate()
        end = self._wires.cycles + cycles
        taken, came, times = 0, bytearray(), []
        while self._wires.cycles < end:
            self._begin_frame()
            chunk = data[taken : taken + PACKET_BYTES]
            moved = False
            if chunk and self.send(chunk):
                taken += len(chunk)
                moved = True
            packet = self.receive()
            if packet:
                came += packet
                times += [self._wires.cycles] * len(packet)
                moved = True
            if stop and came and taken == len(data):
                break
            if not moved:
                self._rest(_IDLE)
        return taken, bytes(came), np.array(times, np.uint64)

    def enumerate(self) -> Description:
        """Resets the bus, reads the descriptors, gives the device an address and its configuration, and opens the port."""
        self._rest(_IDLE)
        if not self._wires.is_attached:
            raise DeviceError("no device is at the simulated USB wires: none pulls one of them up")
        self._put(bytes([SE0]) * _RESET + bytes([J]))
        self._address = self._toggle_out = self._toggle_in = 0
        self._rest(_IDLE)
        device = self._get(_DEVICE, 0, 18)
        self._control(0x00, _SET_ADDRESS, _ADDRESS)
        self._address = _ADDRESS
        head = self._get(_CONFIGURATION, 0, 9)
        whole = self._get(_CONFIGURATION, 0, int.from_bytes(head[2:4], "little"))
        endpoints = {(item[2], item[3] & 3): item for item in _pieces(whole) if item[1] == _ENDPOINT}
        outward = [address for address, kind in endpoints if kind == _BULK and not address & 0x80]
        inward = [address & 0x7F for address, kind in endpoints if kind == _BULK and address & 0x80]
        if len(outward) != 1 or len(inward) != 1:
            raise DeviceError(f"the simulated device has bulk endpoints {outward} and {inward}: a serial port has one each")
        item = endpoints[outward[0], _BULK]
        self.description = Description(
            vendor=int.from_bytes(device[8:10], "little"),
            product=int.from_bytes(device[10:12], "little"),
            manufacturer=self._string(device[14]),
            name=self._string(device[15]),
            out_endpoint=outward[0],
            in_endpoint=inward[0],
            packet_bytes=int.from_bytes(item[4:6], "little"),
        )
        self._control(0x00, _SET_CONFIGURATION, whole[5])
        self._control(0x21, _SET_LINE_CODING, 0, (3_000_000).to_bytes(4, "little") + bytes([0, 0, 8]))
        with contextlib.suppress(Stalled):  # as operating systems do
            self._control(0x21, _SET_CONTROL_LINE_STATE, 3)
        return self.description

    # Transfers

    def _get(self, kind: int, index: int, length: int) -> bytes:
        return self._ask(_GET_DESCRIPTOR, kind << 8 | index, length)

    def _string(self, index: int) -> str:
        return self._ask(_GET_DESCRIPTOR, _STRING << 8 | index, 255, 0x0409)[2:].decode("utf-16-le") if index else ""

    def _ask(self, request: int, value: int, length: int, index: int = 0) -> bytes:
        """A control transfer that brings bytes."""
        self._setup(0x80, request, value, index, length)
        data = bytearray()
        toggle = 1
        while len(data) < length:
            packet = self._wait_in(0, toggle)
            data += packet
            toggle ^= 1
            if len(packet) < PACKET_BYTES:
                break
        self._push(0, b"", 1)
        return bytes(data)

    def _control(self, kind: int, request: int, value: int, data: bytes = b"") -> None:
        """A control transfer that takes bytes, or none. Raises Stalled."""
        self._setup(kind, request, value, 0, len(data))
        if data:
            self._push(0, data, 1)
        self._wait_in(0, 1)

    def _setup(self, kind: int, request: int, value: int, index: int, length: int) -> None:
        fields = bytes([kind, request]) + b"".join(number.to_bytes(2, "little") for number in (value, index, length))
        self._push(0, fields, 0, Pid.SETUP)

    def _push(self, endpoint: int, data: bytes, toggle: int, pid: Pid = Pid.OUT) -> None:
        """Sends a packet until it is taken."""
        for _ in range(_PATIENCE):
            if self._offer(endpoint, data, toggle, pid):
                return
        raise DeviceError(f"the simulated device takes nothing at endpoint {endpoint}")

    def _wait_in(self, endpoint: int, toggle: int) -> bytes:
        """Asks until a packet comes."""
        for _ in range(_PATIENCE):
            packet = self._request(endpoint, toggle)
            if packet is not None:
                return packet
        raise DeviceError(f"the simulated device gives nothing at endpoint {endpoint}")

    def send(self, data: bytes) -> bool:
        """Offers a packet to the serial port; False where it has no room."""
        assert self.description is not None
        done = self._offer(self.description.out_endpoint, data, self._toggle_out, Pid.OUT)
        self._toggle_out ^= done
        return done

    def receive(self) -> bytes | None:
        """Asks the serial port for a packet; None where it has nothing."""
        assert self.description is not None
        packet = self._request(self.description.in_endpoint, self._toggle_in)
        if packet is not None:
            self._toggle_in ^= 1
        return packet

    # Transactions

    def _offer(self, endpoint: int, data: bytes, toggle: int, pid: Pid) -> bool:
        for _ in range(_TRIES):
            self._put(encode(token(pid, self._address | endpoint << 7)))
            answer = decode(self._put(encode(data_packet((Pid.DATA0, Pid.DATA1)[toggle], data)), listen=True))
            if answer is not None and answer[0] in (Pid.ACK, Pid.NAK):
                return answer[0] == Pid.ACK
            if answer is not None and answer[0] == Pid.STALL:
                raise Stalled(f"endpoint {endpoint}")
            self.repeated += 1
        raise DeviceError(f"the simulated device does not answer {pid.name} at endpoint {endpoint}")

    def _request(self, endpoint: int, toggle: int) -> bytes | None:
        for _ in range(_TRIES):
            answer = decode(self._put(encode(token(Pid.IN, self._address | endpoint << 7)), listen=True))
            if answer is None:
                self.repeated += 1
                continue
            pid, data = answer
            if pid == Pid.NAK:
                return None
            if pid == Pid.STALL:
                raise Stalled(f"endpoint {endpoint}")
            self._put(encode(handshake(Pid.ACK)))
            if pid == (Pid.DATA0, Pid.DATA1)[toggle]:
                return data
            self.repeated += 1  # it has not heard the last ACK, and sends that packet again
        raise DeviceError(f"the simulated device does not answer IN at endpoint {endpoint}")

    def _begin_frame(self) -> None:
        if self._wires.cycles >= self._next_frame:
            self._next_frame = self._wires.cycles + _FRAME * CYCLES_PER_BIT
            self._frame = (self._frame + 1) % 2048
            self._put(encode(token(Pid.SOF, self._frame)))

    def _rest(self, bits: float) -> None:
        self._wires.transact(b"", 0, bits)

    def _put(self, symbols: bytes, *, listen: bool = False) -> bytes:
        """Sends symbols; gives what the device answers. A packet of the device is followed by the wires' rest."""
        if not listen:
            return self._wires.transact(symbols, 0, _GAP)
        answer = self._wires.transact(symbols, _ROOM, _TURNAROUND)
        self._wires.transact(b"", 0, _GAP)
        return answer


def _pieces(descriptors: bytes) -> list[bytes]:
    """Descriptors that lie one behind the other: each begins with its length."""
    found = []
    while descriptors:
        found.append(descriptors[: descriptors[0]])
        descriptors = descriptors[max(descriptors[0], 1) :]
    return found

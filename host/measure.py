"""How fast a link is: words to the fabric, words back, and how long a question takes."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from ..hw.isa import RECORD_WORDS, Answer, Command, Operation
from ..sim.errors import DeviceError
from .emit import descriptor_words, packet
from .programs import PACKET_WORDS
from .transport.link import Link

_WORDS = 1024  # of a packet; every fabric's activation memory holds them
_PACKETS = 16  # at most, where nobody says otherwise
_SECONDS = 2.0  # that each direction may take, where one packet does not take longer
_QUESTIONS = 20


@dataclass(frozen=True, kw_only=True)
class LinkSpeed:
    """What a link carries.

    to_device, from_device      bytes of words a second
    round_trip                  seconds from a command of two words to its answer of two words, the least of several
    wire                        bytes a second that the line carries at most, each way
    """

    to_device: float
    from_device: float
    round_trip: float
    wire: float

    def __str__(self) -> str:
        shares = (
            f"{rate / 1e3:,.1f} kB/s {where} ({rate / self.wire:.1%} of the wire)"
            for rate, where in ((self.to_device, "in"), (self.from_device, "out"))
        )
        return f"{', '.join(shares)}, {1e3 * self.round_trip:.2f} ms for a question"


def measure(
    link: Link, *, baud: float, clock: Callable[[], float] = perf_counter, packets_at_most: int = _PACKETS
) -> LinkSpeed:
    """Writes activations, reads them back, and asks the fabric for nothing; the fabric holds no network afterwards.

    Raises DeviceError where the link breaks, or where what comes back is not what was sent.
    """
    data = np.random.default_rng(0).integers(0, 1 << 32, _WORDS, dtype=np.uint32)
    load = packet(Command.LOAD_ACTIVATIONS, 0, data)

    def fill(packets: int) -> float:
        began = clock()
        link.write(np.tile(load, packets))
        link.flush()
        return clock() - began

    packets = _fitting(fill(1), packets_at_most)
    to_device = packets * load.nbytes / fill(packets)

    end = descriptor_words(operation=Operation.END)
    store = descriptor_words(operation=Operation.STORE, row_address=0, length=_WORDS)
    link.write(packet(Command.LOAD_PROGRAM, 0, np.concatenate([end, store, end])))
    result = np.concatenate([[_WORDS | Answer.RESULT.value << 24, 0], data])
    size = len(result) + PACKET_WORDS + RECORD_WORDS
    link.flush()

    def empty(packets: int) -> float:
        began = clock()
        link.write(np.tile(packet(Command.START, len(end)), packets))
        answers = link.read(packets * size).reshape(packets, size)
        seconds = clock() - began
        if (answers[:, : len(result)] != result).any():
            raise DeviceError(
                "the device gives back other words than it was sent: its fabric is broken; program the board again"
            )
        return seconds

    packets = _fitting(empty(1), packets_at_most)
    from_device = packets * 4 * size / empty(packets)

    times = []
    for _ in range(_QUESTIONS):
        began = clock()
        link.write(packet(Command.START, 0))
        link.read(PACKET_WORDS)
        times.append(clock() - began)
    return LinkSpeed(to_device=to_device, from_device=from_device, round_trip=min(times), wire=baud / 10)


def _fitting(seconds: float, at_most: int) -> int:
    """How many packets to measure with, where one takes so long."""
    return max(1, min(at_most, int(_SECONDS / seconds)))

"""A design with two USB wires, simulated at its pins, with a host at their other end."""

import ctypes
from pathlib import Path

from .design import Design, Notify
from .pins import PinSimulator, Times
from .usb_host import CYCLES_PER_BIT, UsbHost

_ROOM = 1024  # symbols of an answer


class UsbSimulator(PinSimulator):
    """A design that runs in this process; its clock is of 48 MHz.

    It is used as a `PinSimulator`. What comes out of `exchange` has passed through the whole of the bus's protocol: tokens,
    CRCs, acknowledgements, and repetition where they say so.
    """

    def __init__(self, design: Design, *, trace: Path | None = None, notify: Notify | None = None) -> None:
        super().__init__(design, cycles_per_bit=CYCLES_PER_BIT, trace=trace, notify=notify)
        self._library.celosia_transact.restype = ctypes.c_size_t
        self._answer = ctypes.create_string_buffer(_ROOM)
        self.host = UsbHost(self)

    @property
    def is_attached(self) -> bool:
        """Whether the device pulls a wire up."""
        return bool(self._library.celosia_attached(self._wires))

    def exchange(self, data: bytes, cycles: int, *, stop: bool = False) -> tuple[int, bytes, Times]:
        """As `UsbHost.exchange` does; enumerates the device before anything else."""
        return self.host.exchange(data, cycles, stop=stop)

    def transact(self, symbols: bytes, room: int, bits: float) -> bytes:
        """Sends symbols and listens to an answer, as `UsbWires` has it."""
        given = self._library.celosia_transact(
            self._wires,
            symbols,
            ctypes.c_size_t(len(symbols)),
            self._answer,
            ctypes.c_size_t(min(room, _ROOM)),
            ctypes.c_double(bits),
        )
        return self._answer.raw[:given]

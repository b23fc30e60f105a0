"""A simulated device as a port whose time is the simulation's: what a link would reach if the host cost nothing."""

from .pins import PinSimulator

_SLICE = 16  # bytes' time after which a byte that came is handed out
_BITS_PER_BYTE = 10


class SimulatedPort:
    """Bytes to a simulated device and back.

    Parameters
    ----------
    clock_hz: of the simulated clock.
    cycles_per_bit: of the device's line.
    """

    def __init__(self, simulator: PinSimulator, *, clock_hz: float, cycles_per_bit: float):
        self._simulator = simulator
        self._clock_hz = clock_hz
        self._slice = round(_SLICE * _BITS_PER_BYTE * cycles_per_bit)
        self._out = b""

    def clock(self) -> float:
        """Seconds of the simulation."""
        return self._simulator.cycles / self._clock_hz

    def write(self, data: bytes) -> None:
        """Queues bytes: they are sent while somebody reads."""
        self._out += data

    def read(self, seconds: float) -> bytes:
        """What comes next; simulates up to `seconds` for the first byte."""
        end = self._simulator.cycles + max(1, round(seconds * self._clock_hz))
        while True:
            left = end - self._simulator.cycles
            if left <= 0:
                return b""
            taken, data, _ = self._simulator.exchange(self._out, min(left, self._slice), stop=True)
            self._out = self._out[taken:]
            if data:
                return data

    def close(self) -> None:
        """Ends the simulation."""
        self._simulator.close()

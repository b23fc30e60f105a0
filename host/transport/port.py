"""What carries bytes to a device: a serial port, a USB pipe, a simulation."""

from typing import Protocol


class Port(Protocol):
    """A pipe of bytes in both directions that may lose and damage them."""

    def read(self, seconds: float) -> bytes:
        """What has come; waits up to `seconds` for the first byte. Raises DeviceError where the device is gone."""

    def write(self, data: bytes) -> None:
        """Sends bytes, or queues them. Raises DeviceError where the device is gone."""

    def close(self) -> None:
        """Lets the port go. May be called twice."""

"""Serial ports: `serial:///dev/ttyUSB0?baud=3000000`."""

import errno
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import serial

from ...hw.config import FabricConfig
from ...sim.errors import DeviceError
from .link import PATIENCE, TIMEOUT, TRIES, Link, check_identity

DEFAULT_BAUD = 3_000_000
_WRITE_TIMEOUT = 10.0  # seconds in which a port must take what fits into its buffers
_BLOCK = 4096  # bytes read at once


@dataclass(frozen=True, kw_only=True)
class SerialAddress:
    """A serial port, and how to talk to what is at its end."""

    path: str
    baud: int = DEFAULT_BAUD
    timeout: float = TIMEOUT
    patience: float = PATIENCE

    @property
    def name(self) -> str:
        """As a user writes it."""
        return f"serial://{self.path}"


def parse_address(address: str, baud: int = DEFAULT_BAUD) -> SerialAddress:
    """What stands behind `serial://`: a path, then `?baud=N&timeout=SECONDS&patience=SECONDS` where wanted: a rate, and
    what `Link` has of that name. More patience is for a simulated board on a machine that is busy. Raises DeviceError."""
    parts = urlsplit(f"serial://{address}")
    path = parts.netloc + parts.path  # serial://COM3 has its port where others have a host
    if not path:
        raise DeviceError(f"device 'serial://{address}' names no port: serial:///dev/ttyUSB0?baud={DEFAULT_BAUD}")
    options: dict[str, float] = {}
    for key, text in parse_qsl(parts.query, keep_blank_values=True):
        if key not in ("baud", "timeout", "patience"):
            raise DeviceError(f"device 'serial://{address}' has the option {key!r}: there are baud, timeout and patience")
        try:
            options[key] = int(text) if key == "baud" else float(text)
        except ValueError:
            options[key] = 0
        if not 0 < options[key] < float("inf"):
            raise DeviceError(f"device 'serial://{address}': {key} must be a number above 0, not {text!r}")
    return SerialAddress(
        path=path,
        baud=int(options.get("baud", baud)),
        timeout=options.get("timeout", TIMEOUT),
        patience=options.get("patience", PATIENCE),
    )


class SerialPort:
    """A serial port for this process alone: a `Port`. Raises DeviceError."""

    def __init__(self, address: SerialAddress):
        self._name = address.name
        try:
            self._serial = serial.Serial(address.path, address.baud, exclusive=True, timeout=0, write_timeout=_WRITE_TIMEOUT)
        except (OSError, ValueError) as error:
            raise DeviceError(_explain(address, error)) from error
        self._serial.reset_input_buffer()

    def read(self, seconds: float) -> bytes:
        """What has come; waits up to `seconds` for the first byte."""
        try:
            waiting = self._serial.in_waiting
            if not waiting:
                self._serial.timeout = seconds
                first: bytes = self._serial.read(1)
                if not first:
                    return b""
                self._serial.timeout = 0
                return first + bytes(self._serial.read(_BLOCK))
            self._serial.timeout = 0
            return bytes(self._serial.read(max(waiting, 1)))
        except (OSError, TypeError) as error:  # TypeError: pyserial's, of a port that was closed meanwhile
            raise self._gone(error) from error

    def write(self, data: bytes) -> None:
        """Sends bytes."""
        try:
            self._serial.write(data)
        except serial.SerialTimeoutException as error:
            raise DeviceError(
                f"device {self._name} takes no bytes for {_WRITE_TIMEOUT:g} s: unplug it, plug it in, and reopen it"
            ) from error
        except (OSError, TypeError) as error:
            raise self._gone(error) from error

    def close(self) -> None:
        """Lets the port go."""
        self._serial.close()

    def _gone(self, error: Exception) -> DeviceError:
        return DeviceError(f"device {self._name} is gone ({error}): plug it in again, then reopen it")


def open_serial(address: str, config: FabricConfig) -> Link:
    """The link to the fabric at a serial port.

    Raises DeviceError where the port does not open, the device does not answer or is another one than `config` says.
    """
    where = parse_address(address)
    link = open_link(where)
    try:
        check_identity(link.identity, config, where.name)
    except DeviceError:
        link.close()
        raise
    return link


def open_link(address: SerialAddress, *, hello_tries: int = TRIES) -> Link:
    """The link to whatever fabric is at a serial port. Raises DeviceError."""
    port = SerialPort(address)
    return Link(
        port,
        name=address.name,
        baud=address.baud,
        timeout=address.timeout,
        patience=address.patience,
        hello_tries=hello_tries,
    )


def _explain(address: SerialAddress, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return f"there is no port {address.path}: plug the board in; `celosia devices` lists the ports that there are"
    if number in (errno.EACCES, errno.EPERM):
        return f"no permission to open {address.path}: join the group that owns it (often dialout), then log in again"
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in str(error):
        return f"another program has {address.path} open: end it, then try again"
    return f"cannot open {address.path} at {address.baud} baud: {error}"

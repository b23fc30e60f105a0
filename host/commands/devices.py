"""`celosia devices`: what a network can run on, and which boards answer."""

import argparse
from typing import TYPE_CHECKING

from .arguments import positive

if TYPE_CHECKING:
    from ..transport.serial import SerialAddress

SUMMARY = "list the devices: simulators, serial ports, and which of them answer as a fabric"

_TRIES = 2  # of a hello: a port where nobody answers is not waited for


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "devices",
        metavar="DEVICE",
        nargs="*",
        help="ask these ports alone, serial:///dev/ttyUSB0 (default: all that there are)",
    )
    parser.add_argument("--baud", metavar="N", type=positive, help="the rate to ask at (default: 3000000)")
    parser.add_argument("--measure", action="store_true", help="measure the link of each board that answers")


def execute(arguments: argparse.Namespace) -> int:
    """Prints the table; 1 where a port that was named does not answer."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from ...sim.errors import DeviceError
    from ..transport.serial import DEFAULT_BAUD, SerialAddress, parse_address
    from .arguments import UsageError
    from .terminal import output, status

    default = arguments.baud or DEFAULT_BAUD
    ports: list[tuple[SerialAddress, str]] = []
    for device in arguments.devices:
        kind, _, rest = device.partition("://")
        if kind != "serial":
            raise UsageError(f"{device!r} is no port to ask: serial:///dev/ttyUSB0?baud={default}")
        ports.append((parse_address(rest, default), ""))
    table = Table(box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    for heading in ("device", "what it is", "what it answers"):
        table.add_column(heading, overflow="fold")
    if not ports:
        table.add_row("sim", "the fabric, simulated cycle by cycle", "any fabric")
        table.add_row("golden", "the golden models alone, no cycles", "any network")
        ports = [(SerialAddress(path=path, baud=default), what) for path, what in _serial_ports()]
    silent = 0
    for address, what in ports:
        try:
            with status(f"asking {address.name}"):
                answer = _ask(address, arguments.measure)
        except DeviceError as error:
            answer = str(error)
            silent += 1
        table.add_row(address.name, what, answer)
    output().print(table)
    return int(bool(arguments.devices) and silent > 0)


def _serial_ports() -> list[tuple[str, str]]:
    """Path and description of this machine's serial ports."""
    from serial.tools.list_ports import comports

    return sorted((port.device, port.description or "") for port in comports())


def _ask(address: "SerialAddress", measured: bool) -> str:
    """What a port answers to a hello. Raises DeviceError."""
    from ..measure import measure
    from ..transport.serial import open_link

    link = open_link(address, hello_tries=_TRIES)
    try:
        identity = link.identity
        answer = f"fabric {identity.name}, protocol {identity.version}, {identity.digest:016x}"
        return f"{answer}; {measure(link, baud=address.baud)}" if measured else answer
    finally:
        link.close()

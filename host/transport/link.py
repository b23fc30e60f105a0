"""A fabric at the end of a port: the frames' protocol run over real bytes and real time."""

import secrets
from collections.abc import Callable
from time import monotonic

import numpy as np

from ...hw.config import FabricConfig
from ...hw.link.framing import PROTOCOL_VERSION
from ...hw.link.identity import digest
from ...sim.errors import DeviceError
from . import Words
from .frames import DeviceIdentity
from .port import Port
from .window import Silence, Window

PATIENCE = 0.1
"""Seconds to wait for an answer before asking again: beyond what a bridge chip and an operating system hold bytes back."""

TRIES = 6
"""Questions, each after a longer wait than the one before, without an answer: then the device is silent."""

TIMEOUT = 60.0
"""Seconds in which a device that answers must take a word or give one."""

_LONGEST_WAIT = 0.5  # seconds between looks at the keyboard


class Link:
    """Two streams of words over a port: a `Transport`.

    Opening resets the fabric, whatever state it was left in. A `Link` that has raised an error is closed for good; opening
    another one makes the device work again.

    Parameters
    ----------
    port: the bytes; closed with the link.
    name: of the device, for what is said about it.
    baud: rate of the line.
    timeout: seconds in which a device that answers must take a word or give one.
    hello_tries: how often it is greeted before it counts as silent.
    patience: seconds to wait for an answer before asking again.
    clock: seconds, going forward.

    Raises DeviceError where the device does not answer or breaks off.
    """

    def __init__(
        self,
        port: Port,
        *,
        name: str,
        baud: float,
        timeout: float = TIMEOUT,
        hello_tries: int = TRIES,
        patience: float = PATIENCE,
        clock: Callable[[], float] = monotonic,
    ):
        self._port = port
        self._name = name
        self._timeout = timeout
        self._clock = clock
        session = 1 + secrets.randbelow((1 << 16) - 1)
        self._window = Window(session, clock(), patience=patience, byte_time=10 / baud, tries=hello_tries)
        self._wait_for(lambda: self._window.is_open)
        self._window.tries = TRIES

    @property
    def identity(self) -> DeviceIdentity:
        """Who the device is."""
        assert self._window.identity is not None
        return self._window.identity

    @property
    def retries(self) -> int:
        """Frames that were sent again or asked for again since the opening."""
        return self._window.retries

    def write(self, words: Words) -> None:
        """Queues words; what fills frames is sent at once, as far as the device has room."""
        self._window.put(np.ascontiguousarray(words, dtype="<u4").tobytes())
        self._guarded(lambda: self._step(0.0, whole=True))

    def read(self, count: int) -> Words:
        """Waits for `count` words. Raises DeviceError."""
        self._wait_for(lambda: self._window.available >= count)
        return np.frombuffer(self._window.take(count), dtype="<u4").astype(np.uint32)

    def flush(self) -> None:
        """Waits until the device has every word. Raises DeviceError."""
        self._wait_for(lambda: self._window.unacknowledged == 0)

    def close(self) -> None:
        """Lets the port go. May be called twice."""
        self._port.close()

    def _wait_for(self, done: Callable[[], bool]) -> None:
        self._guarded(lambda: self._steps(done))

    def _guarded(self, action: Callable[[], None]) -> None:
        """Runs `action`; after an error the port is free for the next one."""
        try:
            action()
        except BaseException:
            self.close()
            raise

    def _steps(self, done: Callable[[], bool]) -> None:
        since = self._clock()
        moved = self._window.moved
        self._window.wait(since)
        while not done():
            self._step(_LONGEST_WAIT)
            now = self._clock()
            if self._window.moved != moved or not self._window.is_open:
                moved, since = self._window.moved, now
            elif now - since > self._timeout:
                raise DeviceError(
                    f"device {self._name} answers, but its fabric took no word and gave none for {self._timeout:g} s: reopen "
                    "it; if the network takes so long, give the device a longer timeout: ?timeout=SECONDS"
                )
        self._window.wait(self._clock(), waiting=False)

    def _step(self, longest: float, *, whole: bool = False) -> None:
        """Sends what is due and takes what has come."""
        now = self._clock()
        try:
            out = self._window.due(now, whole=whole)
        except Silence as silence:
            raise DeviceError(self._explain(silence)) from silence
        if out:
            self._port.write(out)
        deadline = self._window.deadline
        pause = longest if deadline is None else min(max(deadline - now, 0.0), longest)
        data = self._port.read(pause)
        if data:
            self._window.received(data, self._clock())

    def _explain(self, silence: Silence) -> str:
        if not self._window.is_open:
            return (
                f"no answer from {self._name}: check that the board is on, that it was programmed with a bitstream of Celosia, "
                "and that the rate is the one it was built for: ?baud=N"
            )
        if silence.foreign:
            return f"device {self._name} was restarted, or another program has opened it: reopen it"
        return (
            f"device {self._name} does not answer any more, asked {silence.tries} times: check board and cable, then reopen it"
        )


def check_identity(identity: DeviceIdentity, config: FabricConfig, name: str) -> None:
    """Raises DeviceError where the device speaks another version of the protocol, or its fabric is not `config`."""
    if identity.version != PROTOCOL_VERSION:
        raise DeviceError(
            f"device {name} speaks version {identity.version} of the link's protocol, this Celosia version {PROTOCOL_VERSION}: "
            "build its bitstream with this Celosia, or take the one that it was built with"
        )
    if identity.digest != digest(config):
        known = f"fabric {identity.name!r} ({identity.digest:016x})"
        asked = f"fabric {config.name!r} ({digest(config):016x})"
        same = identity.name == config.name[: len(identity.name)]
        advice = (
            "they share the name and not the sizes or the command set: build its bitstream with this Celosia"
            if same
            else f"ask for --fabric {identity.name}, or program the board with the bitstream of {config.name}"
        )
        raise DeviceError(f"device {name} has {known}, but {asked} is asked for: {advice}")

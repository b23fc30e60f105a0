"""The host's end of the link as a state machine: bytes and times in, bytes and times out, no port and no clock of its own."""

from collections.abc import Iterable

from ...hw.link.framing import MAX_LENGTH, OVERHEAD_BYTES, POSITION_BITS
from .frames import FILLER, Decoder, DeviceIdentity, Frame, read_identity

_POSITIONS = 1 << POSITION_BITS
_WORD = 4  # bytes
_SHORT_FILLER = 16 * FILLER  # at the first try: a few bytes may be missing
_LONGEST_FRAME = _WORD * 255 + OVERHEAD_BYTES
_FILLER = (_WORD * MAX_LENGTH + OVERHEAD_BYTES) * FILLER  # then: whatever the device still waits for
_LATENCY = 3e-4  # seconds a byte of an exchange: no more than that is the latency of an operating system and a bridge chip
_LONGEST_PAUSE = 8  # of doublings between tries


class Silence(Exception):
    """The device does not answer. `foreign` says that it answers, but to another session than ours."""

    def __init__(self, *, tries: int, foreign: bool):
        super().__init__(f"no answer after {tries} tries")
        self.tries = tries
        self.foreign = foreign


class Window:
    """One session with a device.

    The owner calls `received` with what came, `due` for what is to be sent, and both again at `deadline` at the latest.
    Words go in by `put` and come out by `take`. Times are seconds on any clock that goes forward.

    Parameters
    ----------
    session: a number of 1 to 65535 that the sessions before did not have.
    now: the time.
    patience: seconds to wait for an answer before asking again, where nothing is on its way.
    byte_time: seconds that a byte takes on the wire.
    tries: questions without an answer before the device counts as silent.
    """

    def __init__(self, session: int, now: float, *, patience: float, byte_time: float, tries: int):
        self.identity: DeviceIdentity | None = None
        self.retries = 0  # frames sent again, or asked for again
        self._session = session
        self._patience = patience
        self._byte_time = byte_time
        self.tries = tries
        self._decoder = Decoder()
        # To the device: `_out` holds the words from `_acknowledged` on.
        self._out = bytearray()
        self._acknowledged = 0
        self._next = 0  # to be sent
        self._reached = 0  # the furthest that was sent
        self._taken = 0
        self._rewound_at = -1
        # From the device
        self._in = bytearray()
        self._expected = 0
        self._asked_at = -1
        self._lost = False  # the device has sent further than we have received
        # What the next frame must do
        self._owes_frame = False
        self._owes_again = False
        # Time
        self._unanswered = 0
        self._foreign = False
        self._coming = False  # bytes came since the last look
        self._unframed = 0  # bytes since the last frame
        self._waiting = True
        self._asked_since = now
        self._asked_bytes = 0
        self.deadline: float | None = now

    @property
    def is_open(self) -> bool:
        """Whether the device has answered the hello."""
        return self.identity is not None

    @property
    def unacknowledged(self) -> int:
        """Words put in that the device does not have yet."""
        return len(self._out) // _WORD

    @property
    def available(self) -> int:
        """Words that can be taken."""
        return len(self._in) // _WORD

    @property
    def moved(self) -> int:
        """Words that the device has taken from us or given us: grows as long as something happens."""
        return self._expected + self._acknowledged + self._taken

    def put(self, words: bytes) -> None:
        """Queues words for the device."""
        self._out += words

    def take(self, count: int) -> bytes:
        """Takes words that came."""
        taken = bytes(self._in[: _WORD * count])
        del self._in[: _WORD * count]
        return taken

    def wait(self, now: float, *, waiting: bool = True) -> None:
        """The owner begins to wait for the device, or waits no more: whether it is to be asked after a while."""
        self._waiting = waiting
        if self.is_open:
            self._rest(now)

    def received(self, data: bytes, now: float) -> None:
        """Bytes from the device."""
        self._unframed += len(data)
        self._coming = self._coming or bool(data)
        self._process(self._decoder.feed(data), now)

    def due(self, now: float, *, whole: bool = False) -> bytes:
        """Bytes to send now; with `whole`, of words only full frames. Raises Silence."""
        out = []
        if self.deadline is not None and now >= self.deadline:
            out.append(self._ask(now))
        if self.is_open:
            before = len(out)
            while (count := self._sendable(whole)) > 0:
                out.append(self._data(count))
            if len(out) == before and (self._owes_frame or self._owes_again):
                out.append(self._frame())
            if self._reached > self._acknowledged and self.deadline is None:
                self._rest(now)
        return b"".join(out)

    def _sendable(self, whole: bool) -> int:
        """Words of the next frame; 0 while it must wait."""
        assert self.identity is not None
        queued = self._acknowledged + len(self._out) // _WORD - self._next
        room = self._taken + self.identity.buffer_words - self._next
        count = min(queued, room, MAX_LENGTH)
        if room < min(queued, MAX_LENGTH) and self._next > self._acknowledged:
            return 0  # more room is on its way
        return 0 if whole and count < MAX_LENGTH and self._next >= self._reached else count

    def _data(self, count: int, *, reply: bool = False) -> bytes:
        begin = _WORD * (self._next - self._acknowledged)
        frame = self._frame(bytes(self._out[begin : begin + _WORD * count]), reply=reply)
        if self._next < self._reached:
            self.retries += 1
        self._next += count
        self._reached = max(self._reached, self._next)
        return frame

    def _frame(self, payload: bytes = b"", *, reply: bool = False) -> bytes:
        again = self._owes_again
        self._owes_frame = self._owes_again = False
        self.retries += again
        return bytes(
            Frame(
                session=self._session,
                position=self._next % _POSITIONS,
                expected=self._expected % _POSITIONS,
                taken=self._expected % _POSITIONS,
                again=again,
                reply=reply,
                payload=payload,
            )
        )

    def _ask(self, now: float) -> bytes:
        """Nothing came for too long: says hello again, sends again, or asks for news."""
        if self._coming and self._unframed < _LONGEST_FRAME:
            self._coming = False
            self._pause(now, _LONGEST_FRAME)
            return b""  # something comes, slowly: it may become a frame
        if self._unanswered >= self.tries:
            raise Silence(tries=self._unanswered, foreign=self._foreign)
        self._process(self._decoder.give_up(), now)
        filler = _SHORT_FILLER if self._unanswered <= (not self.is_open) else _FILLER
        if not self.is_open:
            question = bytes(Frame(session=self._session, hello=True, reply=True))
        else:
            self._rewound_at = self._asked_at = -1
            self._next = self._acknowledged
            self._owes_again = self._owes_again or self._lost
            count = min(self._reached - self._acknowledged, MAX_LENGTH)
            question = self._data(count, reply=True) if count else self._frame(reply=True)
        self._unanswered += 1
        self._asked_since = now
        self._asked_bytes = len(filler) + len(question)
        self._pause(now, self._asked_bytes)
        return filler + question

    def _pause(self, now: float, size: int) -> None:
        """Sets the next deadline, later each time that no answer came."""
        doubled = 1 << min(max(self._unanswered - 1, 0), _LONGEST_PAUSE)
        self.deadline = now + self._patience * doubled + 2 * self._byte_time * (size + 2 * OVERHEAD_BYTES)

    def _measure(self, seconds: float, size: int) -> None:
        """Learns from the first answer how slow the device is: a simulated one can be a thousand times slower."""
        self._patience = max(self._patience, 2 * seconds)
        self._byte_time = max(self._byte_time, seconds / size - _LATENCY)

    def _rest(self, now: float) -> None:
        """Something came: starts the time anew, as long as there is something to wait for."""
        flying = _WORD * (self._reached - self._acknowledged)
        if flying or self._waiting:
            self._pause(now, 2 * flying)
        else:
            self.deadline = None

    def _process(self, frames: Iterable[Frame], now: float) -> None:
        for frame in frames:
            if frame.session != self._session:
                self._foreign = True
                continue
            if not self.is_open:
                if not frame.hello:
                    continue
                self.identity = read_identity(frame) or DeviceIdentity(name="", digest=0, buffer_words=0, version=frame.version)
                self._measure(now - self._asked_since, self._asked_bytes + len(bytes(frame)))
            elif not frame.hello:
                self._take_acknowledgement(frame)
                self._take_words(frame)
            self._foreign = self._coming = False
            self._unanswered = self._unframed = 0
            self._rest(now)

    def _take_acknowledgement(self, frame: Frame) -> None:
        expected = _unwrap(frame.expected, self._acknowledged)
        if not self._acknowledged <= expected <= self._reached:
            return  # an old frame, come twice
        del self._out[: _WORD * (expected - self._acknowledged)]
        self._acknowledged = expected
        self._next = max(self._next, expected)
        self._taken = max(self._taken, _unwrap(frame.taken, self._taken))
        if frame.again and expected != self._rewound_at:
            self._rewound_at = self._next = expected

    def _take_words(self, frame: Frame) -> None:
        position = _unwrap(frame.position, self._expected)
        self._owes_frame = self._owes_frame or bool(frame.payload)
        if position == self._expected:
            self._in += frame.payload
            self._expected += len(frame.payload) // _WORD
            self._lost = False
        elif position > self._expected:
            self._lost = True
            if self._asked_at != self._expected:
                self._asked_at = self._expected
                self._owes_again = True


def _unwrap(position: int, near: int) -> int:
    """The position of those that are equal modulo 2**16 that is nearest to `near`."""
    half = _POSITIONS // 2
    return near + (position - near + half) % _POSITIONS - half

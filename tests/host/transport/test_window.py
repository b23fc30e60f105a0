"""The host's end as a state machine against a model of the device, over wires that lose, repeat and delay frames."""

import numpy as np
import pytest
from celosia.host.transport.frames import Decoder, Frame
from celosia.host.transport.window import Silence, Window
from celosia.hw.link.framing import IDENTITY_WORDS, MAX_LENGTH
from celosia.hw.link.identity import identity
from celosia.hw.presets import preset
from hypothesis import given, settings
from hypothesis import strategies as st

BUFFER = 512
POSITIONS = 1 << 16


class DeviceModel:
    """The device's end, written down as `hw.link.framing` describes it, with an echo for a fabric."""

    def __init__(self):
        self.session = 0
        self.hellos = 0
        self._decoder = Decoder()
        self._reset()

    def _reset(self):
        self.received = []  # every word, once
        self.taken = 0
        self.out = []
        self.acknowledged = self.sent = 0

    def feed(self, data):
        """Bytes in; frames out."""
        answers = []
        for frame in self._decoder.feed(data):
            answers += self._frame(frame)
        return answers

    def take(self, count):
        """The fabric takes words and gives them back."""
        words = self.received[self.taken : self.taken + count]
        room = BUFFER - (len(self.out) - self.acknowledged)
        words = words[:room]
        self.taken += len(words)
        self.out += words

    def send(self):
        """What it has to say of its own accord."""
        frames = []
        while self.sent < len(self.out):
            words = self.out[self.sent : self.sent + MAX_LENGTH]
            frames.append(self._say(payload=b"".join(words)))
            self.sent += len(words)
        return frames

    def status(self):
        return self._say()

    def _frame(self, frame):
        if frame.hello:
            self.hellos += 1
            if frame.session != self.session:
                self.session = frame.session
                self._reset()
            payload = identity(preset("mini"), buffer_words=BUFFER).to_bytes(4 * IDENTITY_WORDS, "little")
            return [self._say(hello=True, payload=payload)]
        if frame.session != self.session:
            return [self._say()]
        heard = frame.expected - self.acknowledged % POSITIONS
        heard = (heard + POSITIONS // 2) % POSITIONS - POSITIONS // 2
        if heard >= 0:
            self.acknowledged += heard
            if frame.again:
                self.sent = self.acknowledged
        if not frame.payload:
            return [self._say()] if frame.reply else []
        words = [frame.payload[at : at + 4] for at in range(0, len(frame.payload), 4)]
        expected = len(self.received)
        distance = (frame.position - expected + POSITIONS // 2) % POSITIONS - POSITIONS // 2
        if distance == 0:
            assert expected + len(words) - self.taken <= BUFFER, "the host has sent more than there is room for"
            self.received += words
        return [self._say(again=distance > 0)]

    def _say(self, **changes):
        return Frame(
            session=self.session,
            position=self.sent % POSITIONS,
            expected=len(self.received) % POSITIONS,
            taken=self.taken % POSITIONS,
            **changes,
        )


def opened(device, session=7, **options):
    window = Window(session, 0.0, **{"patience": 0.1, "byte_time": 1e-5, "tries": 6, **options})
    for answer in device.feed(window.due(0.0)):
        window.received(bytes(answer), 0.0)
    assert window.is_open
    window.wait(0.0, waiting=False)
    return window


def words(count, first=0):
    return np.arange(first, first + count, dtype="<u4").tobytes()


def talk(window, device, now, rounds=100):
    """Exchanges without faults until nothing more is said."""
    for _ in range(rounds):
        out = window.due(now)
        answers = device.feed(out)
        device.take(BUFFER)
        answers += [device.status(), *device.send()]
        for answer in answers:
            window.received(bytes(answer), now)
        if not out and not window.unacknowledged:
            return


def test_hello_is_said_until_it_is_answered():
    window = Window(7, 0.0, patience=0.1, byte_time=0.0, tries=3)
    times = []
    now = 0.0
    with pytest.raises(Silence) as silence:  # noqa: PT012
        while True:
            assert b"\xc5\x05\x07\x00" in window.due(now)
            times.append(now)
            now = window.deadline
    assert (silence.value.tries, silence.value.foreign) == (3, False)
    np.testing.assert_allclose(times, [0, 0.1, 0.3], err_msg="each pause is twice the one before")


def test_nothing_is_sent_before_the_hello_is_answered():
    window = Window(7, 0.0, patience=0.1, byte_time=0.0, tries=3)
    window.put(words(1000))
    assert len(window.due(0.0)) < 50
    window.received(bytes(Frame(session=7, position=5, payload=words(3))), 0.0)
    assert not window.is_open
    window.received(bytes(Frame(session=8, hello=True, payload=words(IDENTITY_WORDS))), 0.0)
    assert not window.is_open, "that was the answer to another session's hello"


def test_words_there_and_back():
    device = DeviceModel()
    window = opened(device)
    window.put(words(5000))
    talk(window, device, 1.0)
    assert b"".join(device.received) == words(5000)
    assert window.take(5000) == words(5000)
    assert window.retries == 0


def test_positions_wrap():
    device = DeviceModel()
    window = opened(device)
    for first in range(0, 150_000, 10_000):
        window.put(words(10_000, first))
        talk(window, device, 1.0)
        assert window.take(10_000) == words(10_000, first)


def test_full_frames_alone_where_more_may_come():
    device = DeviceModel()
    window = opened(device)
    window.put(words(MAX_LENGTH + 1))
    (frame,) = Decoder().feed(window.due(1.0, whole=True))
    assert len(frame.payload) == 4 * MAX_LENGTH
    (frame,) = Decoder().feed(window.due(1.0))
    assert len(frame.payload) == 4


def test_never_further_than_there_is_room():
    device = DeviceModel()
    window = opened(device)
    window.put(words(4000))
    frames = list(Decoder().feed(window.due(1.0)))
    assert sum(len(frame.payload) for frame in frames) == 4 * BUFFER
    for frame in frames:
        for answer in device.feed(bytes(frame)):
            window.received(bytes(answer), 1.0)
    assert window.due(1.0) == b"", "all is received, and nothing taken"
    device.take(100)
    window.received(bytes(device.status()), 1.0)
    (frame,) = Decoder().feed(window.due(1.0))
    assert len(frame.payload) == 400


def test_a_lost_frame_is_asked_for_once():
    device = DeviceModel()
    window = opened(device)
    lost, *later = [Frame(session=7, position=at, payload=words(1, at)) for at in range(4)]
    for frame in later:
        window.received(bytes(frame), 1.0)
    (asked,) = Decoder().feed(window.due(1.0))
    assert (asked.again, asked.expected) == (True, 0)
    assert window.due(1.0) == b""
    for frame in (lost, *later):
        window.received(bytes(frame), 1.0)
    assert window.take(4) == words(4)


def test_a_frame_that_comes_twice_counts_once():
    device = DeviceModel()
    window = opened(device)
    for _ in range(2):
        window.received(bytes(Frame(session=7, payload=words(3))), 1.0)
    assert window.available == 3
    (answer,) = Decoder().feed(window.due(1.0))
    assert answer.expected == 3


def test_a_request_to_repeat_is_followed_once_until_time_passes():
    device = DeviceModel()
    window = opened(device)
    window.put(words(10))
    first = window.due(1.0)
    for _ in range(3):
        window.received(bytes(Frame(session=7, again=True)), 1.0)
    assert window.due(1.0) == first
    window.received(bytes(Frame(session=7, again=True)), 1.0)
    assert window.due(1.0) == b""
    (later,) = Decoder().feed(window.due(window.deadline))
    assert (later.payload, later.reply, window.retries) == (words(10), True, 2)


def test_old_acknowledgements_change_nothing():
    device = DeviceModel()
    window = opened(device)
    window.put(words(100))
    window.due(1.0)
    window.received(bytes(Frame(session=7, expected=60)), 1.0)
    assert window.unacknowledged == 40
    for expected in (20, 101, 40000):
        window.received(bytes(Frame(session=7, expected=expected, again=True)), 1.0)
        assert window.unacknowledged == 40
    assert window.due(1.0) == b""


def test_a_restarted_device_is_told_from_a_silent_one():
    device = DeviceModel()
    window = opened(device, tries=2)
    window.put(words(10))
    now = 1.0
    window.wait(now)
    device.session = 0
    with pytest.raises(Silence) as silence:  # noqa: PT012
        while True:
            for answer in device.feed(window.due(now)):
                window.received(bytes(answer), now)
            now = window.deadline
    assert silence.value.foreign


def test_patience_grows_with_a_slow_device():
    """A simulated one: its answer takes 0.4 s, and so will the next ones."""
    window = Window(7, 0.0, patience=0.1, byte_time=0.0, tries=9)
    device = DeviceModel()
    (answer,) = device.feed(window.due(0.0))
    window.received(bytes(answer), 0.09)
    window.wait(1.0)
    assert window.deadline > 1.18


@settings(deadline=None, max_examples=40)
@given(st.integers(0, (1 << 32) - 1))
def test_whatever_the_wires_do_words_come_once_and_in_order(seed):
    """Frames of both directions are lost, damaged, come twice, late, or with rubbish before them."""
    rng = np.random.default_rng(seed)
    device = DeviceModel()
    window = Window(7, 0.0, patience=0.1, byte_time=1e-6, tries=1000)
    share = rng.uniform(0, 0.5)
    total = int(rng.integers(1, 1500))
    window.put(words(total))
    late = {True: b"", False: b""}

    def wire(stream, outward):
        carried = late[outward]
        late[outward] = b""
        for frame in Decoder().feed(stream):
            one = bytes(frame)
            fate = rng.choice(["damaged", "twice", "rubbish", "lost", "late"]) if rng.random() < share else "good"
            if fate == "damaged":
                at = int(rng.integers(len(one)))
                one = one[:at] + bytes([one[at] ^ 1 << int(rng.integers(8))]) + one[at + 1 :]
            elif fate == "twice":
                one *= 2
            elif fate == "rubbish":
                one = rng.bytes(20) + one
            elif fate == "lost":
                one = b""
            if fate == "late":
                late[outward] += one
            else:
                carried += one
        return carried

    now = 0.0
    for _ in range(3000):
        if window.is_open and window.available >= total:
            break
        answers = device.feed(wire(window.due(now), True) + bytes(4 * MAX_LENGTH + 40))
        device.take(int(rng.integers(1, 400)))
        stream = b"".join(bytes(answer) for answer in [*answers, *device.send()])
        window.received(wire(stream, False), now)
        now = now + 0.01 if stream else max(now + 0.01, window.deadline or 0.0)
        if not stream:
            window.wait(now)
            now = window.deadline or now
    assert window.take(total) == words(total)
    assert b"".join(device.received) == words(total)


def test_a_frame_that_comes_slowly_is_waited_for():
    """A byte now and then, as of a simulated device: no question disturbs it, and nothing that came is thrown away."""
    device = DeviceModel()
    window = opened(device)
    window.wait(1.0)
    frame = bytes(Frame(session=7, payload=words(100)))
    for byte in frame[:-1]:
        now = window.deadline - 0.01
        window.received(bytes([byte]), now)
        assert window.due(now) == b""
        now = window.deadline
        assert window.due(now) == b""
    window.received(frame[-1:], now)
    assert window.take(100) == words(100)


def test_noise_does_not_put_off_the_end():
    window = Window(7, 0.0, patience=0.1, byte_time=0.0, tries=3)
    now = 0.0
    with pytest.raises(Silence):  # noqa: PT012
        for _ in range(3000):
            window.due(now)
            window.received(b"\xc5" * 7, now)
            now = window.deadline

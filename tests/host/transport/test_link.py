"""A link through the gateware: what it carries, how fast, and what it says when things go wrong."""

import numpy as np
import pytest
import wires
from celosia.host import measure
from celosia.host.transport.frames import DeviceIdentity, Frame
from celosia.host.transport.link import Link, check_identity
from celosia.hw.link.endpoint import BUFFER_WORDS
from celosia.hw.link.identity import digest
from celosia.hw.presets import preset
from celosia.sim.errors import DeviceError

MINI = preset("mini")


def open_link(port, **options):
    return Link(port, name="echo", baud=wires.BAUD, clock=port.clock, **{"patience": 0.01, "timeout": 0.5, **options})


@pytest.fixture
def port():
    return wires.WirePort(wires.echo())


def words(count, seed=1):
    return np.random.default_rng(seed).integers(0, 1 << 32, count, dtype=np.uint32)


def test_identity(port):
    expected = DeviceIdentity(name="mini", digest=digest(MINI), buffer_words=BUFFER_WORDS)
    assert open_link(port).identity == expected


@pytest.mark.parametrize("count", [1, 127, 128, 129, 512, 513, 3000])
def test_words_there_and_back(port, count):
    link = open_link(port)
    link.write(words(count))
    np.testing.assert_array_equal(link.read(count), wires.echoed(words(count), 0))
    assert link.retries == 0


def test_reading_nothing_takes_nothing(port):
    link = open_link(port)
    assert link.read(0).shape == (0,)
    link.write(words(0))
    link.flush()


def test_a_host_that_does_not_read_stalls_the_device(port):
    """Nothing is lost: the device's words wait, then the fabric, then the host's words."""
    link = open_link(port)
    count = 8 * BUFFER_WORDS
    link.write(words(count))
    for _ in range(300):
        port._run(0.001)
    assert port.simulator.broken == 0
    np.testing.assert_array_equal(link.read(count), wires.echoed(words(count), 0))


def test_reopening_begins_anew_whatever_was_left(port):
    link = open_link(port)
    link.write(words(2000))
    link.read(77)
    for count in (5, 600):
        link = open_link(port)
        link.write(words(count, seed=count))
        np.testing.assert_array_equal(link.read(count), wires.echoed(words(count, seed=count), 0))
    assert link.retries == 0


@pytest.mark.parametrize("before", [bytes(700), b"\xc5" * 700, bytes(Frame(session=3, payload=bytes(512)))[:200], b"AT\r\n"])
def test_garbage_before_the_hello(port, before):
    port.write(before)
    link = open_link(port)
    link.write(words(10))
    np.testing.assert_array_equal(link.read(10), wires.echoed(words(10), 0))


def test_a_line_that_is_stuck(port):
    """No answer: the error comes, and says what to look at."""
    port.simulator.exchange = lambda data, cycles, stop=False: (
        (len(data), b"", np.zeros(0)) if wires.tick(port, cycles) else None
    )
    with pytest.raises(DeviceError, match="no answer from echo: check that the board is on, .* bitstream of Celosia.*baud"):
        open_link(port)


def test_a_fabric_that_takes_nothing(port):
    """It answers, so it is not silent; but nothing moves."""
    link = open_link(port)
    with pytest.raises(DeviceError, match="answers, but its fabric took no word and gave none for 0.5 s: reopen it"):
        link.read(1)


def test_an_unplugged_port(port):
    link = open_link(port)
    link.write(words(2000))
    port.unplugged = True
    with pytest.raises(DeviceError, match="unplugged"):
        link.read(2000)


def test_a_device_that_forgets(port):
    """As after a brown-out, or when another program has opened it."""
    link = open_link(port, timeout=20.0)
    link.write(words(50))
    link.read(50)
    other = open_link(port)
    with pytest.raises(DeviceError, match="device echo was restarted, or another program has opened it: reopen it"):
        link.read(1)
    other.write(words(20))
    np.testing.assert_array_equal(other.read(20), wires.echoed(words(20), 0))


def test_throughput_is_more_than_nine_tenths_of_the_wire_each_way(port):
    """Both ways at once: what the echo gives back goes beside what comes."""
    link = open_link(port)
    count = 20_000
    began, sent, came = port.clock(), port.sent, port.came
    link.write(words(count))
    answer = link.read(count)
    seconds = port.clock() - began
    np.testing.assert_array_equal(answer, wires.echoed(words(count), 0))
    share = 4 * count * wires.byte_time() / seconds
    print(f"{share:.1%} of the wire each way; {port.sent - sent} bytes out, {port.came - came} in, for {4 * count}")
    assert share > 0.9
    assert link.retries == 0


@pytest.mark.slow
def test_measured_speed():
    """Through a whole fabric, in the wire's own time."""
    port = wires.WirePort(wires.fabric(MINI))
    speed = measure.measure(open_link(port), baud=wires.BAUD, clock=port.clock)
    print(speed)
    assert 0.9 < speed.to_device / speed.wire < 1
    assert 0.9 < speed.from_device / speed.wire < 1
    frames = 2 * (18 + 8) + 2 * 18  # question and answer, and the acknowledgement of each
    assert 0.9 < speed.round_trip / (frames * wires.byte_time()) < 1.1


def test_what_the_device_must_be():
    identity = DeviceIdentity(name="mini", digest=digest(MINI), buffer_words=512)
    check_identity(identity, MINI, "serial:///dev/ttyX")
    check_identity(identity, preset("mini,weight_depth=1024"), "serial:///dev/ttyX")
    with pytest.raises(DeviceError) as error:
        check_identity(identity, preset("ecp5-85"), "serial:///dev/ttyX")
    assert str(error.value) == (
        f"device serial:///dev/ttyX has fabric 'mini' ({digest(MINI):016x}), but fabric 'ecp5-85' "
        f"({digest(preset('ecp5-85')):016x}) is asked for: ask for --fabric mini, or program the board with the bitstream of "
        "ecp5-85"
    )
    other = DeviceIdentity(name="mini", digest=1, buffer_words=512)
    with pytest.raises(DeviceError, match="they share the name and not the sizes or the command set: build its bitstream with"):
        check_identity(other, MINI, "x")
    old = DeviceIdentity(name="mini", digest=digest(MINI), buffer_words=512, version=9)
    with pytest.raises(
        DeviceError, match="device x speaks version 9 of the link's protocol, this Celosia version 1: build its"
    ):
        check_identity(old, MINI, "x")

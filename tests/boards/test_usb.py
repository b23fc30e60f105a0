"""The board as a USB device: a host enumerates it over its two wires, and bytes and frames pass both ways unharmed."""

import numpy as np
import pytest
import usb_wires
import wires
from celosia.boards import usb
from celosia.boards.build import elaborate
from celosia.boards.catalogue import find
from celosia.host.transport.link import Link
from celosia.hw.link.packets import PACKET_BYTES
from celosia.hw.presets import preset
from celosia.sim.port import SimulatedPort
from celosia.sim.usb_host import CYCLES_PER_BIT, Description, UsbHost

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # luna's


def send(simulator, data, cycles=400_000):
    """What comes back of bytes."""
    came, sent = b"", 0
    end = simulator.cycles + cycles
    while len(came) < len(data) and simulator.cycles < end:
        taken, more, _ = simulator.exchange(data[sent:], 20_000, stop=True)
        sent += taken
        came += more
    return came


@pytest.fixture(scope="module")
def loop():
    return usb_wires.SpoilingSimulator(usb_wires.Loop)


def test_a_host_enumerates_it(loop):
    assert loop.host.enumerate() == Description(
        vendor=usb.VENDOR,
        product=usb.PRODUCT,
        manufacturer="Celosia",
        name="Celosia fabric",
        out_endpoint=4,
        in_endpoint=4,
        packet_bytes=PACKET_BYTES,
    )
    assert loop.host.repeated == 0


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 128, 192, 1000, 5000])
def test_bytes_there_and_back(loop, size):
    """Nothing waits in the device for more: the last packet is a short one, or an empty one follows it."""
    loop.exchange(b"", 1)  # whichever test comes first, the device is enumerated before packets count
    loop.packets.clear()
    data = usb_wires.usb_bytes(size)
    assert send(loop, data) == data
    loop.exchange(b"", 20_000)
    assert loop.packets[-1] < PACKET_BYTES
    assert sum(loop.packets) == size


def test_a_device_that_is_not_read_takes_no_more_and_loses_nothing(loop):
    data = usb_wires.usb_bytes(2000)
    taken = 0
    for _ in range(200):
        taken += loop.host.send(data[taken : taken + 64]) * len(data[taken : taken + 64])
    assert taken < 1000, "its buffers are full"
    came = b""
    while len(came) < len(data):
        more, back, _ = loop.exchange(data[taken:], 20_000, stop=True)
        taken += more
        came += back
    assert came == data


def test_damaged_packets_are_repeated():
    """Tokens, data and acknowledgements of both sides: the bus itself brings every byte once and in order."""
    simulator = usb_wires.SpoilingSimulator(usb_wires.Loop, share=0.05, seed=1)
    for seed in range(6):
        data = usb_wires.usb_bytes(3000, seed)
        assert send(simulator, data) == data
    print(f"{simulator.damaged} packets damaged, {simulator.host.repeated} repeated")
    assert simulator.damaged > 30
    assert simulator.host.repeated > 30


@pytest.mark.parametrize("packets", [1, 2])
def test_the_host_starts_anew(loop, packets):
    """After a reset of the bus both sides count packets from the beginning, whatever they had counted before."""
    for size in (64 * packets - 10, 100):
        loop.host.enumerate()
        data = usb_wires.usb_bytes(size, packets)
        assert send(loop, data) == data


@pytest.fixture
def echo():
    return usb_wires.SpoilingSimulator(usb_wires.Echo)


def open_link(simulator):
    port = SimulatedPort(simulator, clock_hz=usb.USB_IO_HZ, cycles_per_bit=CYCLES_PER_BIT)
    return Link(port, name="usb", baud=usb.USB_HZ, clock=port.clock), port


def test_frames_both_ways(echo):
    link, _ = open_link(echo)
    assert link.identity.name == "mini"
    first = 0
    for count in (1, 127, 128, 129, 512, 513, 3000):
        words = np.random.default_rng(count).integers(0, 1 << 32, count, dtype=np.uint32)
        link.write(words)
        np.testing.assert_array_equal(link.read(count), wires.echoed(words, first))
        first += count
    assert link.retries == 0


def test_frames_over_a_bad_cable():
    """Nothing reaches the frames' own protocol: none is repeated."""
    link, _ = open_link(simulator := usb_wires.SpoilingSimulator(usb_wires.Echo, share=0.03, seed=2))
    words = np.random.default_rng(0).integers(0, 1 << 32, 4000, dtype=np.uint32)
    link.write(words)
    np.testing.assert_array_equal(link.read(4000), wires.echoed(words, 0))
    assert simulator.damaged > 20
    assert link.retries == 0


def test_rate(echo):
    """Both ways at once they share the bus: together more than four fifths of it."""
    link, port = open_link(echo)
    count = 20_000
    words = np.random.default_rng(0).integers(0, 1 << 32, count, dtype=np.uint32)
    began = port.clock()
    link.write(words)
    np.testing.assert_array_equal(link.read(count), wires.echoed(words, 0))
    rate = 2 * 4 * count / (port.clock() - began)
    print(f"{rate / 1e3:.0f} kB/s both ways together")
    assert rate > 0.8 * usb.USB_HZ / 10


@pytest.mark.slow
@pytest.mark.parametrize("sync_hz", [48e6, 139.7e6])
def test_three_clocks(sync_hz):
    """As on the chip: the bus's two aligned clocks, and another that has nothing to do with them."""
    data = usb_wires.usb_bytes(200)

    def talk(simulated):
        host = UsbHost(simulated)
        assert host.enumerate().name == "Celosia fabric"
        came, sent = b"", 0
        for _ in range(10):
            taken, more, _ = host.exchange(data[sent:], 20_000, stop=True)
            sent += taken
            came += more
        assert came == data
        assert host.repeated == 0

    usb_wires.ThreeClocks(usb_wires.Loop(), sync_hz).run(talk)


@pytest.mark.parametrize("name", ["orangecrab-25f", pytest.param("orangecrab-85f", marks=pytest.mark.slow)])
def test_the_real_thing_has_its_clocks(name, tmp_path):
    """Two PLLs, the bus's with two outputs, and a constraint for each clock."""
    board = find(name)
    config = preset("mini")
    settings = board.pll()
    elaborate(board, config, settings, board.make_platform(config), tmp_path)
    constraints = (tmp_path / "top.lpf").read_text()
    for hz in (settings.clock_hz, usb.USB_HZ, usb.USB_IO_HZ):
        assert f"{hz:.1f} HZ" in constraints
    rtlil = (tmp_path / "top.il").read_text()
    assert rtlil.count("cell \\EHXPLLL") == 2
    assert rtlil.count("cell \\DCCA") == 3
    assert "parameter \\CLKOS_DIV" in rtlil

"""Full-speed USB without a chip for it: a serial port of the class CDC-ACM, made with luna, in front of the fabric.

pins d_p, d_n, pullup <--> SerialPort --> queue --> LinkedFabric
                           usb, usb_io              sync
                                      <-- pauses <-- queue <--

Three clocks: `usb` of 12 MHz, `usb_io` of 48 MHz, which samples the pins, and the fabric's `sync`. The first two come from one
PLL; between them and `sync` lie asynchronous queues. The operating system's own driver makes the device a serial port, whose
rate means nothing: bytes go as fast as the bus has room, 1.2 MB/s at most, and wait where nobody takes them.
"""

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import ClockDomain, DomainRenamer, Elaboratable, EnableInserter, Instance, Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.fifo import AsyncFIFO
from amaranth.lib.wiring import In, Out, connect
from luna.gateware.usb.devices.acm import ACMRequestHandlers, USBSerialDevice
from luna.gateware.usb.usb2.device import USBDevice
from luna.gateware.usb.usb2.endpoints.stream import USBStreamInEndpoint, USBStreamOutEndpoint
from luna.gateware.usb.usb2.request import StallOnlyRequestHandler
from usb_protocol.types import USBRequestType

from ..hw.config import FabricConfig
from ..hw.link.device import LinkedFabric
from ..hw.link.packets import PACKET_BYTES, MarkedByte, PauseMarker
from .clock import PllSettings, ecp5_pll

USB_HZ, USB_IO_HZ = 12_000_000, 48_000_000
USB_RATIO = USB_IO_HZ // USB_HZ

_PAUSE = 64  # cycles of `usb` without a byte that end a packet: more than the fabric's end leaves between two bytes of a frame
_QUEUE_BYTES = 16

VENDOR, PRODUCT = 0x1209, 0x0001
"""What pid.codes gives to devices that are not sold: a product has its own."""


class SerialPort(wiring.Component):
    """A CDC-ACM device in the domains `usb` and `usb_io`.

    Members: the pads of the wires, `d_p` and `d_n`, each as input, output and output enable; `pullup` says that somebody is
    there; `o` is what the host sends, `i` what it gets. Both streams lie in `usb`.
    """

    def __init__(self) -> None:
        pads = {f"{name}_{part}": Out(1) if part != "i" else In(1) for name in ("d_p", "d_n") for part in ("i", "o", "oe")}
        streams = {"i": In(stream.Signature(MarkedByte)), "o": Out(stream.Signature(8))}
        super().__init__({**pads, "pullup": Out(1), **streams})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        wires = SimpleNamespace(
            d_p=SimpleNamespace(i=self.d_p_i, o=self.d_p_o, oe=self.d_p_oe),
            d_n=SimpleNamespace(i=self.d_n_i, o=self.d_n_o, oe=self.d_n_oe),
            pullup=SimpleNamespace(o=self.pullup),
        )
        m.submodules.device = device = USBDevice(bus=wires)
        described = USBSerialDevice(
            bus=wires,
            idVendor=VENDOR,
            idProduct=PRODUCT,
            manufacturer_string="Celosia",
            product_string="Celosia fabric",
            max_packet_size=PACKET_BYTES,
        )
        described._MustUse__used = True  # only its descriptors are wanted
        control = device.add_standard_control_endpoint(described.create_descriptors())
        control.add_request_handler(ACMRequestHandlers())
        control.add_request_handler(StallOnlyRequestHandler(_is_unknown))
        number = described._DATA_ENDPOINT_NUMBER
        status = _Status(endpoint_number=described._STATUS_ENDPOINT_NUMBER, max_packet_size=PACKET_BYTES)
        from_host = _FromHost(endpoint_number=number, max_packet_size=PACKET_BYTES)
        to_host = _ToHost(endpoint_number=number, max_packet_size=PACKET_BYTES)
        for endpoint in (status, from_host, to_host):
            device.add_endpoint(endpoint)
            m.d.comb += endpoint.reset.eq(device.reset_detected)
        m.d.comb += [
            device.connect.eq(1),
            self.o.valid.eq(from_host.stream.valid),
            self.o.payload.eq(from_host.stream.payload),
            from_host.stream.ready.eq(self.o.ready),
            to_host.stream.valid.eq(self.i.valid),
            to_host.stream.payload.eq(self.i.payload.byte),
            to_host.stream.last.eq(self.i.payload.last),
            self.i.ready.eq(to_host.stream.ready),
        ]
        return m


def _is_unknown(setup: Any) -> Any:
    return (setup.type == USBRequestType.VENDOR) | (setup.type == USBRequestType.RESERVED)


class _Resettable:
    """An endpoint of luna that a reset of the bus puts back to its beginning, so that both ends count packets alike.

    Each has a class of its own: luna names them by it, and two of one class by a number that changes from run to run.
    """

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.reset = Signal()

    def elaborate(self, platform: Any) -> Any:
        return ResetInserter({"usb": self.reset})(super().elaborate(platform))  # type: ignore[misc]


class _Status(_Resettable, USBStreamInEndpoint):
    pass


class _FromHost(_Resettable, USBStreamOutEndpoint):
    pass


class _ToHost(_Resettable, USBStreamInEndpoint):
    pass


class UsbLink(wiring.Component):
    """A serial port on USB as two streams of bytes in `sync`.

    Members: the pads as of `SerialPort`; `o` is what the host sends, `i` what it gets.
    """

    def __init__(self) -> None:
        self._port = SerialPort()
        pads = {name: flow for name, flow in self._port.signature.members.items() if name not in ("i", "o")}
        super().__init__({**pads, "i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})
        self.pads = tuple(pads)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.port = port = self._port
        m.submodules.incoming = incoming = AsyncFIFO(width=8, depth=_QUEUE_BYTES, w_domain="usb", r_domain="sync")
        m.submodules.outgoing = outgoing = AsyncFIFO(width=8, depth=_QUEUE_BYTES, w_domain="sync", r_domain="usb")
        marker = PauseMarker(_PAUSE)
        m.submodules.marker = DomainRenamer("usb")(marker)
        connect(m, port.o, incoming.w_stream)
        connect(m, outgoing.r_stream, marker.i)
        connect(m, marker.o, port.i)
        connect(m, incoming.r_stream, wiring.flipped(self.o))
        connect(m, wiring.flipped(self.i), outgoing.w_stream)
        for name, member in self._port.signature.members.items():
            if name in self.pads:
                ours, theirs = getattr(self, name), getattr(port, name)
                m.d.comb += theirs.eq(ours) if member.flow is In else ours.eq(theirs)
        return m


class UsbFabric(wiring.Component):
    """A fabric at the end of a USB cable. Members: the pads of `SerialPort`."""

    def __init__(self, config: FabricConfig):
        self.config = config
        self._link = UsbLink()
        self.pads = self._link.pads
        super().__init__({name: self._link.signature.members[name] for name in self.pads})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.usb = usb = self._link
        m.submodules.linked = linked = LinkedFabric(self.config)
        connect(m, usb.o, linked.i)
        connect(m, linked.o, usb.i)
        for name, member in self.signature.members.items():
            ours, theirs = getattr(self, name), getattr(usb, name)
            m.d.comb += theirs.eq(ours) if member.flow is In else ours.eq(theirs)
        return m


def one_clock(device: Elaboratable) -> Elaboratable:
    """For simulators: the device in the domain `sync` alone, which is `usb_io` too; `usb` moves in every fourth cycle."""
    wrapped = Module()
    beat = Signal(range(USB_RATIO))
    wrapped.d.sync += beat.eq(beat + 1)
    slowed = EnableInserter({"usb": beat == 0})(device)
    wrapped.submodules.device = DomainRenamer({"usb": "sync", "usb_io": "sync"})(slowed)
    return wrapped


class UsbClocks(Elaboratable):
    """Makes `usb` and `usb_io`, aligned, out of the platform's oscillator; they stand still until the PLL has locked.

    `domains` are for the design's top to add. The settings must give `USB_IO_HZ`; the ECP5 alone.
    """

    def __init__(self, settings: PllSettings, oscillator: Any):
        assert settings.family == "ecp5"
        assert round(settings.clock_hz) == USB_IO_HZ
        self._settings = settings
        self._oscillator = oscillator
        self.usb, self.usb_io = (ClockDomain(name, reset_less=True) for name in ("usb", "usb_io"))

    @property
    def domains(self) -> tuple[ClockDomain, ...]:
        """Both."""
        return self.usb, self.usb_io

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        fast, slow, locked, enable = Signal(name="usb_io_pll"), Signal(name="usb_pll"), Signal(), Signal()
        m.submodules.pll = ecp5_pll(self._settings, self._oscillator, fast, locked, divided=(slow, USB_RATIO))
        start = ClockDomain("start", reset_less=True, local=True)
        m.domains += start
        m.d.comb += start.clk.eq(slow)
        m.submodules.lock = FFSynchronizer(locked, enable, o_domain="start", stages=3)
        for name, clock, domain, frequency in (("io", fast, self.usb_io, USB_IO_HZ), ("bus", slow, self.usb, USB_HZ)):
            m.submodules[f"gate_{name}"] = Instance("DCCA", i_CLKI=clock, i_CE=enable, o_CLKO=domain.clk)
            platform.add_clock_constraint(domain.clk, frequency)
        return m

"""UART: bytes over two wires, eight data bits, no parity, one stop bit.

Any clock and any baud rate go together that leave `LEAST_CYCLES` cycles to a bit: a phase accumulator cuts time into bits and
keeps the fraction, so no error adds up over a byte. The receiver begins each byte anew at the falling edge of its start bit,
and samples in the middle of the bits.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

LEAST_CYCLES = 4
"""Clock cycles that a bit must last."""

BITS_PER_BYTE = 10
"""Bits on the wire for a byte: start bit, eight data bits, stop bit."""

_EXTRA_BITS = 10  # of the accumulator: the rate is met within 2 ** -(_EXTRA_BITS + 1)


class _BitClock:
    """A phase accumulator of `bits` bits that overflows once a bit: by `step` a clock cycle."""

    def __init__(self, *, clock_hz: float, baud: float):
        if baud <= 0 or clock_hz < LEAST_CYCLES * baud:
            raise ValueError(
                f"a UART of {baud:g} baud needs a clock of {LEAST_CYCLES * baud:g} Hz or more, not {clock_hz:g} Hz: "
                f"{LEAST_CYCLES} cycles a bit"
            )
        self.bits = ceil_log2(round(clock_hz / baud)) + _EXTRA_BITS
        self.step = round((1 << self.bits) * baud / clock_hz)


class UartReceiver(wiring.Component):
    """Bytes from a wire.

    Members: `rx` is the pin, asynchronous, 1 while nothing is sent; `o` gives a byte for the time of a bit and more, then it
    is lost. A byte without its stop bit, as on a broken line, is dropped; so is a start bit shorter than half a bit, and
    whatever a majority of three samples outvotes: of few cycles a bit, one spike a byte.

    Raises ValueError where a bit has fewer than `LEAST_CYCLES` clock cycles.
    """

    def __init__(self, *, clock_hz: float, baud: float):
        self._clock = _BitClock(clock_hz=clock_hz, baud=baud)
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        clock = self._clock
        steady = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, steady, init=1)

        seen = Signal(3, init=0b111)
        line = Signal(init=1)
        m.d.sync += [
            seen.eq(Cat(steady, seen[:2])),
            line.eq((seen[0] & seen[1]) | (seen[1] & seen[2]) | (seen[0] & seen[2])),
        ]

        phase = Signal(clock.bits)
        middle = (1 << (clock.bits - 1)) + 3 * clock.step // 2  # what begins at once was seen a cycle and a half ago
        tick = Signal()
        busy = Signal()
        starting = Signal()
        broken = Signal()  # wait for the line to rise
        bits = Signal(9)  # a one that was put in at the top comes out when the stop bit is due
        m.d.sync += Cat(phase, tick).eq(Mux(busy, phase + clock.step, middle))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(~busy):
            m.d.sync += [broken.eq(broken & ~line), bits.eq(1 << 8), starting.eq(1), busy.eq(~line & ~broken)]
        with m.Elif(tick):
            m.d.sync += starting.eq(0)
            with m.If(starting):
                m.d.sync += busy.eq(~line)
            with m.Elif(bits[0]):
                m.d.sync += [self.o.payload.eq(bits[1:]), self.o.valid.eq(line), broken.eq(~line), busy.eq(0)]
            with m.Else():
                m.d.sync += bits.eq(Cat(bits[1:], line))
        return m


class UartTransmitter(wiring.Component):
    """Bytes onto a wire, one behind the other without a gap where they come fast enough.

    Members: `i` takes the bytes; `tx` is the pin, a register's output, 1 while nothing is sent.

    Raises ValueError where a bit has fewer than `LEAST_CYCLES` clock cycles.
    """

    def __init__(self, *, clock_hz: float, baud: float):
        self._clock = _BitClock(clock_hz=clock_hz, baud=baud)
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        phase = Signal(self._clock.bits)
        tick = Signal()
        bits = Signal(BITS_PER_BYTE, init=1)  # what is still to be sent, the stop bit at the top; shifted in zeros
        last = Signal()  # the stop bit is on the wire: known a cycle late, long before its end
        busy = Signal()
        held, full = Signal(8), Signal()  # the next byte
        load = full & (~busy | (tick & last))
        m.d.comb += [self.tx.eq(bits[0]), self.i.ready.eq(~full)]
        m.d.sync += last.eq(bits[1:] == 0)
        m.d.sync += Cat(phase, tick).eq(Mux(busy, phase + self._clock.step, 0))
        with m.If(load):
            m.d.sync += [bits.eq(Cat(0, held, 1)), busy.eq(1), full.eq(0)]
        with m.Elif(tick & last):
            m.d.sync += busy.eq(0)  # the stop bit stays on the wire
        with m.Elif(tick):
            m.d.sync += bits.eq(bits[1:])
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held.eq(self.i.payload), full.eq(1)]
        return m

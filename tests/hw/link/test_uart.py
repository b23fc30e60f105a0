"""The UART against ideal wires: odd ratios, clocks that differ, glitches, breaks; and against itself."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from celosia.hw.link.uart import LEAST_CYCLES, UartReceiver, UartTransmitter

RATIOS = (4, 4.4, 5.73, 8, 13.02, 46.667)


def levels(data, ratio, *, begin=0.0, gap=0.0):
    """The line, cycle by cycle, while bytes are sent by a UART whose bit lasts `ratio` cycles; then rests a while."""
    edges = []
    time = begin
    for byte in data:
        for bit in (0, *(byte >> index & 1 for index in range(8)), 1):
            edges.append((time, bit))
            time += ratio
        time += gap * ratio
    line, level = [], 1
    for cycle in range(int(time + 12 * ratio)):
        while edges and edges[0][0] <= cycle:
            level = edges.pop(0)[1]
        line.append(level)
    return line


def decode(line, ratio):
    """What an ideal UART reads: bytes, each with whether it had a stop bit."""
    found, cycle = [], 0
    while cycle < len(line):
        if line[cycle]:
            cycle += 1
            continue
        centres = [int(cycle + (bit + 0.5) * ratio) for bit in range(10)]
        if centres[-1] >= len(line):
            break
        bits = [line[centre] for centre in centres]
        found.append((sum(bit << index for index, bit in enumerate(bits[1:9])), bits[9]))
        cycle = centres[-1]
        while cycle < len(line) and not line[cycle]:
            cycle += 1
    return found


def received(bench, line, ratio):
    """The bytes that the receiver makes of a line."""
    dut = UartReceiver(clock_hz=ratio * 1e6, baud=1e6)
    data = []

    async def drive(ctx):
        ctx.set(dut.o.ready, 1)
        for level in line:
            ctx.set(dut.rx, level)
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid:
                data.append(payload)

    bench.run(dut, drive, limit=len(line) + 10)
    return data


def some_bytes(bench, count=40):
    return [0x00, 0xFF, 0x55, 0xAA, *bench.rng.integers(0, 256, count).tolist()]


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("gap", [0, 0.37, 3])
def test_receives_at_any_ratio(bench, ratio, gap):
    data = some_bytes(bench)
    line = levels(data, ratio, begin=bench.rng.uniform(0, ratio), gap=gap)
    assert received(bench, line, ratio) == data


@pytest.mark.parametrize(("ratio", "error"), [(4, 0.01), (5.73, 0.015), (8, 0.02), (13.02, 0.02), (46.667, 0.03)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_receives_from_another_clock(bench, ratio, error, sign):
    data = some_bytes(bench)
    line = levels(data, ratio * (1 + sign * error), begin=bench.rng.uniform(0, ratio))
    assert received(bench, line, ratio) == data


@pytest.mark.parametrize("ratio", [8, 46.667])
def test_edges_may_jitter(bench, ratio):
    """By a tenth of a bit either way, with a clock that is 1 % off."""
    data = some_bytes(bench)
    line = []
    steady = levels(data, 100 * 1.01)
    position = 0.0
    shift = 0.0
    while position + shift < len(steady) - 1:
        at = int(position + shift)
        if at and steady[at] != steady[at - 1]:
            shift = bench.rng.uniform(-10, 10)
        line.append(steady[max(int(position + shift), 0)])
        position += 100 / ratio
    assert received(bench, line, ratio) == data


def test_glitches_are_not_seen(bench):
    """One cycle of the wrong level, anywhere, at 16 cycles a bit."""
    data = some_bytes(bench)
    line = [1] * 50 + levels(data, 16)
    for cycle in range(3, len(line) - 3, 37):
        line[cycle] ^= 1
    assert received(bench, line, 16) == data


def test_a_false_start_is_no_byte(bench):
    data = some_bytes(bench)
    line = [1] * 30 + [0] * 6 + [1] * 30 + levels(data, 16)
    assert received(bench, line, 16) == data


def test_a_break_gives_nothing_and_ends(bench):
    data = some_bytes(bench)
    for ratio in (4.4, 16):
        line = [1] * 10 + [0] * int(25 * ratio) + [1] * int(2 * ratio) + levels(data, ratio)
        assert received(bench, line, ratio) == data


@pytest.mark.parametrize("ratio", RATIOS)
def test_transmits_at_any_ratio(bench, ratio, stalls):
    dut = UartTransmitter(clock_hz=ratio * 1e6, baud=1e6)
    data = some_bytes(bench, 10)
    line = []

    async def send(ctx):
        await bench.send(ctx, dut.i, data, bench.pauses(stalls))
        await bench.ticks(ctx, int(22 * ratio))

    async def watch(ctx):
        while True:
            _, _, level = await ctx.tick().sample(dut.tx)
            line.append(level)

    bench.run(dut, send, background=[watch])
    assert decode(line, ratio) == [(byte, 1) for byte in data]
    assert decode(line, ratio * 1.02) == [(byte, 1) for byte in data] or ratio < 8


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_line_rests_at_one(bench, ratio):
    """Between bytes and behind the last one, for as long as nothing is sent."""
    dut = UartTransmitter(clock_hz=ratio * 1e6, baud=1e6)
    data = some_bytes(bench, 6)
    line = []

    async def send(ctx):
        for byte in data:
            await bench.send(ctx, dut.i, [byte], bench.pauses("none"))
            await bench.ticks(ctx, int(bench.rng.uniform(0, 40) * ratio))
        await bench.ticks(ctx, int(40 * ratio))

    async def watch(ctx):
        while True:
            _, _, level = await ctx.tick().sample(dut.tx)
            line.append(level)

    bench.run(dut, send, background=[watch])
    assert decode(line, ratio) == [(byte, 1) for byte in data]
    assert all(line[-int(15 * ratio) :])


def test_transmits_without_a_gap(bench):
    ratio = 5.73
    dut = UartTransmitter(clock_hz=ratio * 1e6, baud=1e6)
    cycles = 0

    async def send(ctx):
        nonlocal cycles
        ctx.set(dut.i.valid, 1)
        for count in range(103):
            await bench.until(ctx, dut.i.ready)
            if count == 2:  # one byte is on the wire then, and one waits
                cycles = 0

    async def count(ctx):
        nonlocal cycles
        while True:
            await ctx.tick()
            cycles += 1

    bench.run(dut, send, background=[count])
    assert abs(cycles - 100 * 10 * ratio) <= 2, "a thousand bits, and no error has added up"


class Loop(wiring.Component):
    """A transmitter and a receiver, wired together."""

    def __init__(self, ratio):
        self.transmitter = UartTransmitter(clock_hz=ratio * 1e6, baud=1e6)
        self.receiver = UartReceiver(clock_hz=ratio * 1e6, baud=1e6)
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.transmitter = self.transmitter
        m.submodules.receiver = self.receiver
        m.d.comb += self.receiver.rx.eq(self.transmitter.tx)
        connect(m, flipped(self.i), self.transmitter.i)
        connect(m, self.receiver.o, flipped(self.o))
        return m


@pytest.mark.parametrize("ratio", RATIOS)
def test_hears_itself(bench, ratio):
    dut = Loop(ratio)
    data = some_bytes(bench)
    heard = []

    async def send(ctx):
        await bench.send(ctx, dut.i, data, bench.pauses("bursty"))

    async def hear(ctx):
        heard.extend(await bench.receive(ctx, dut.o, len(data), bench.pauses("none")))

    bench.run(dut, send, hear)
    assert heard == data


@pytest.mark.parametrize("component", [UartReceiver, UartTransmitter])
def test_too_fast_for_the_clock(component):
    with pytest.raises(ValueError, match="a UART of 3e\\+06 baud needs a clock of 1.2e\\+07 Hz or more, not 1e\\+07 Hz"):
        component(clock_hz=10e6, baud=3e6)
    with pytest.raises(ValueError, match="a UART of 0 baud"):
        component(clock_hz=10e6, baud=0)
    component(clock_hz=LEAST_CYCLES * 3e6, baud=3e6)

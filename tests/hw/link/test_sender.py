"""The frame sender against the host's decoder."""

import numpy as np
import pytest
from celosia.host.transport.frames import Decoder, Frame, read_identity
from celosia.hw.link.framing import IDENTITY_WORDS, MARKER, PROTOCOL_VERSION
from celosia.hw.link.identity import digest, identity
from celosia.hw.link.sender import FrameSender
from celosia.hw.presets import preset

MINI = preset("mini")


def sent(bench, frames, kind):
    """The bytes of frames, given as headers and words."""
    dut = FrameSender(identity(MINI, buffer_words=512))
    data = []
    size = sum(len(bytes(frame)) for frame in frames)

    async def control(ctx):
        for frame in frames:
            words = np.frombuffer(frame.payload, "<u4").tolist()
            ctx.set(
                dut.header,
                {
                    "marker": MARKER,
                    "kind": {"hello": frame.hello, "again": frame.again, "reply": frame.reply},
                    "session": frame.session,
                    "position": frame.position,
                    "expected": frame.expected,
                    "taken": frame.taken,
                    "length": len(words),
                    "version": frame.version,
                },
            )
            ctx.set(dut.word, words[0] if words else 0xDEADBEEF)
            await bench.until(ctx, dut.idle)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            at = 0
            while not ctx.get(dut.idle):
                _, _, more = await ctx.tick().sample(dut.next_word)
                if more:
                    at += 1
                    await bench.ticks(ctx, dut.SETTLE - 4)
                    ctx.set(dut.word, words[at] if at < len(words) else 0xDEADBEEF)

    async def take(ctx):
        data.extend(await bench.receive(ctx, dut.o, size, bench.pauses(kind)))

    bench.run(dut, control, take)
    return bytes(data)


def test_frames(bench, stalls):
    frames = [
        Frame(session=0xFEDC, position=0x1234, expected=0x89AB, taken=0x4567, again=True),
        Frame(session=1, payload=bench.rng.bytes(4)),
        Frame(session=0xFFFF, position=0xFFFF, reply=True, payload=bench.rng.bytes(52)),
        Frame(session=2),
    ]
    stream = sent(bench, frames, stalls)
    assert stream == b"".join(map(bytes, frames))
    assert list(Decoder().feed(stream)) == frames


def test_hello_tells_who_the_device_is(bench, stalls):
    said = Frame(session=5, hello=True, payload=bytes(4 * IDENTITY_WORDS))
    (frame,) = Decoder().feed(sent(bench, [said], stalls))
    assert frame.hello
    told = read_identity(frame)
    assert (told.name, told.digest, told.buffer_words, told.version) == ("mini", digest(MINI), 512, PROTOCOL_VERSION)


@pytest.mark.parametrize("words", [1, 30])
def test_rate(bench, words):
    """No more than `CYCLES` a byte, where they are taken at once."""
    dut = FrameSender(0)
    frame = Frame(session=1, payload=bytes(4 * words))
    cycles = 0

    async def control(ctx):
        nonlocal cycles
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.header, {"marker": MARKER, "length": words, "session": 1})
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        while not ctx.get(dut.idle):
            await ctx.tick()
            cycles += 1

    bench.run(dut, control)
    assert cycles <= len(bytes(frame)) * dut.CYCLES


def test_it_says_which_count_a_frame_carries(bench, stalls):
    """The count of words taken changes in every cycle: the frame has that of the cycle with `samples_taken`."""
    dut = FrameSender(0)
    frame = Frame(session=1)
    data, sampled = [], []

    async def control(ctx):
        ctx.set(dut.header, {"marker": MARKER, "session": 1, "version": PROTOCOL_VERSION})
        ctx.set(dut.start, 1)
        count = 0
        while len(data) < len(bytes(frame)):
            ctx.set(dut.header.taken, count)
            if ctx.get(dut.samples_taken):
                sampled.append(count)
            await ctx.tick()
            ctx.set(dut.start, 0)
            count += 7

    async def take(ctx):
        for _ in bytes(frame):
            data.extend(await bench.receive(ctx, dut.o, 1, bench.pauses(stalls)))

    bench.run(dut, control, take)
    (decoded,) = Decoder().feed(bytes(data))
    assert [decoded.taken] == sampled

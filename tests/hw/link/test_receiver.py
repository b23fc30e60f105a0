"""The frame receiver against the host's encoder: sound frames, damaged ones, and what stands between them."""

from itertools import pairwise

import pytest
from celosia.host.transport.frames import Frame
from celosia.hw.link.framing import MARKER
from celosia.hw.link.receiver import FrameReceiver

POLITE = bytes(600)  # more than any frame's rest


class Rig:
    """What the receiver makes of bytes: a dictionary a frame."""

    def __init__(self, bench):
        self.bench = bench
        self.frames = []

    def run(self, data, kind="none"):
        dut = FrameReceiver()

        async def feed(ctx):
            await self.bench.send(ctx, dut.i, data, self.bench.pauses(kind))
            await self.bench.ticks(ctx, 30)

        async def watch(ctx):
            seen = {"words": []}
            fields = ("session", "position", "expected")
            names = (*fields, "word_valid", "done", "half", "word", "good", "kind", "has_payload")
            outs = [getattr(dut, name) for name in names]
            while True:
                _, _, *values = await ctx.tick().sample(*outs)
                now = dict(zip(names, values, strict=True))
                if now["session"]:
                    seen = {"words": []}
                for name in fields:
                    if now[name]:
                        seen[name] = now["half"]
                if now["word_valid"]:
                    seen["words"].append(now["word"])
                if now["done"]:
                    kind = now["kind"]
                    flags = {name: bool(kind[name]) for name in ("hello", "again", "reply")}
                    self.frames.append({**seen, **flags, "good": now["good"], "has_payload": now["has_payload"]})
                    seen = {"words": []}

        self.bench.run(dut, feed, background=[watch])
        return self.frames


def expected(frame, good=1):
    words = [int.from_bytes(frame.payload[at : at + 4], "little") for at in range(0, len(frame.payload), 4)]
    names = ("session", "position", "expected", "hello", "again", "reply")
    return {**{name: getattr(frame, name) for name in names}, "words": words, "good": good, "has_payload": int(bool(words))}


def some_frames(bench):
    rng = bench.rng

    def number():
        return int(rng.integers(1 << 16))

    return [
        Frame(session=number(), position=number(), expected=number(), taken=number(), again=again, reply=reply, payload=payload)
        for again, reply, payload in ((0, 1, b""), (1, 0, rng.bytes(4)), (0, 0, rng.bytes(40)), (1, 1, bytes([MARKER] * 16)))
    ] + [Frame(session=7, hello=True)]


def test_frames(bench, stalls):
    frames = some_frames(bench)
    assert Rig(bench).run(b"".join(map(bytes, frames)), stalls) == [expected(frame) for frame in frames]


def test_what_is_no_frame_is_skipped(bench):
    frames = some_frames(bench)
    noise = [b"\x00", b"AT\r\n", bytes([MARKER]), bytes([MARKER] * 3) + POLITE, bench.rng.bytes(3).replace(b"\xc5", b"")]
    data = b"".join(noisy + bytes(13) + bytes(frame) for noisy, frame in zip(noise, frames, strict=True))
    assert Rig(bench).run(data) == [expected(frame) for frame in frames]


@pytest.mark.parametrize("byte", range(18 + 8))
def test_no_damaged_frame_is_good(bench, byte):
    """Header and check: never seen. Payload and CRC: seen, and bad. The next frame is sound either way."""
    first, second = Frame(session=1, position=2, payload=bench.rng.bytes(8)), Frame(session=3)
    damaged = bytearray(bytes(first))
    damaged[byte] ^= 1 << int(bench.rng.integers(8))
    found = Rig(bench).run(bytes(damaged) + POLITE * 2 + bytes(second))
    assert found[-1] == expected(second)
    if byte < 14:
        assert len(found) == 1
    else:
        (bad, _) = found
        assert not bad["good"]


@pytest.mark.parametrize("cut", [3, 13, 15, 20, 25])
def test_a_frame_cut_short_swallows_no_more_than_it_claims(bench, cut):
    first, second, third = (Frame(session=session, payload=bytes(8)) for session in (1, 2, 3))
    found = Rig(bench).run(bytes(first)[:cut] + bytes(second) + POLITE[:30] + bytes(third))
    assert found[-1] == expected(third)
    assert all(not frame["good"] for frame in found[:-1] if frame["session"] == 1)


def test_rate(bench):
    """A byte takes `CYCLES` at most, some take that long."""
    dut = FrameReceiver()
    taken = []

    async def feed(ctx):
        await bench.send(ctx, dut.i, b"".join(map(bytes, some_frames(bench))), bench.pauses("none"))

    async def watch(ctx):
        cycle = 0
        while True:
            _, _, valid, ready = await ctx.tick().sample(dut.i.valid, dut.i.ready)
            cycle += 1
            if valid and ready:
                taken.append(cycle)

    bench.run(dut, feed, background=[watch])
    assert max(later - sooner for sooner, later in pairwise(taken)) == dut.CYCLES

"""The link: words to the fabric and back, once and in order, over lines that damage, drop, repeat and stall.

The host here knows the protocol of `hw.link.framing` and nothing of the endpoint: it sends what the device says that it wants,
and asks again where no answer comes.
"""

import cocotb
import numpy as np
from celosia.host.transport.frames import FILLER, Decoder, Frame, read_identity
from celosia.hw.link.endpoint import BUFFER_WORDS
from celosia.hw.link.identity import digest
from celosia.hw.link.uart import BITS_PER_BYTE, LEAST_CYCLES
from celosia.hw.presets import preset
from stalls import STALLS

from .blocks import UARTS
from .rig import TIMEOUT, Rig, Scoreboard, effort

FAULTS = ("none", "header", "payload", "crc", "cut", "dropped", "doubled", "noise", "gap", "other session")
PATIENCE = 1200  # cycles without an answer
_LONGEST = 40  # bytes of this host's frames


class Host:
    """The host's end of a session, and both sides of the endpoint."""

    def __init__(self, rig, stalls):
        self.rig, self.stalls = rig, stalls
        self.decoder = Decoder()
        self.frames = []
        self.taken, self.got = Scoreboard("word to the fabric"), Scoreboard("word to the host")
        self.expected = 0  # the next word that we want
        self.wanted = 0  # the next word that the device wants
        self.session = 0

    def hear(self, byte):
        self.frames += self.decoder.feed(bytes([byte]))
        return False

    def take(self, word):
        self.taken(word)
        return False

    async def say(self, data):
        await self.rig.send("i", data, self.stalls)

    async def ask(self, frame, fault="none"):
        """Sends a frame, damaged as told, until the device answers; gives its answer."""
        data = bytearray(bytes(frame))
        rng = self.rig.rng
        if fault in ("header", "payload", "crc"):
            places = {"header": range(2, 14), "payload": range(14, len(data) - 4), "crc": range(len(data) - 4, len(data))}
            data[int(rng.choice(places[fault]))] ^= 1 << int(rng.integers(8))
        elif fault == "cut":
            data = data[: int(rng.integers(1, len(data)))]
        elif fault == "dropped":
            data = b""
        elif fault == "doubled":
            data = data + data
        elif fault == "noise":
            data = rng.bytes(int(rng.integers(1, 20))) + data
        elif fault == "gap":
            data = bytes(Frame(session=self.session, position=self.wanted + 100, payload=frame.payload, reply=True))
        elif fault == "other session":
            data = bytes(Frame(session=self.session ^ 1, position=self.wanted, payload=frame.payload, reply=True))
        await self.say(data)
        for _ in range(20):
            since = self.rig.cycle
            while not self.frames and self.rig.cycle < since + PATIENCE:
                await self.rig.ticks()
            if self.frames:
                return
            await self.say(FILLER * _LONGEST + bytes(frame))
        raise AssertionError("the device does not answer")

    def listen(self):
        """Takes what the device's frames carry."""
        for frame in self.frames:
            assert frame.session == self.session
            self.wanted = frame.expected
            words = np.frombuffer(frame.payload, "<u4").tolist()
            if frame.hello:
                continue
            new = self.expected - frame.position
            assert new >= 0 or not words or frame.position > self.expected
            if 0 <= new < len(words):
                for word in words[new:]:
                    self.got(word)
                self.expected += len(words) - new
        self.frames = []

    async def open(self, session):
        """Begins a session; the fabric is reset for longer than any of its pipelines is."""
        self.session, self.expected, self.wanted = session, 0, 0
        self.decoder, self.frames = Decoder(), []
        heard = []
        while not heard:  # an answer may still be one to the session before
            await self.ask(Frame(session=session, hello=True))
            heard = [frame for frame in self.frames if frame.hello and frame.session == session]
            self.frames = []
        identity = read_identity(heard[0])
        assert (identity.digest, identity.buffer_words) == (digest(preset("mini")), BUFFER_WORDS)

    async def exchange(self, words, back, faults):
        """Sends `words` in frames of up to four; the fabric gives `back` meanwhile."""
        rig = self.rig
        self.taken.expect(*words)
        self.got.expect(*back)
        giving = cocotb.start_soon(rig.send("i_words", back, self.stalls))
        begin, faults, count = self.wanted, list(faults), 0
        while self.wanted < begin + len(words) or not self.got.complete or faults:
            at = self.wanted - begin
            # One word at a time while faults are left: no fault must find all words sent.
            length = 1 if faults else int(rig.rng.integers(1, 5))
            payload = np.array(words[at : at + length], "<u4").tobytes()
            frame = Frame(
                session=self.session, position=self.wanted, expected=self.expected, payload=payload, reply=True, again=count > 0
            )
            count += 1
            await self.ask(frame, faults.pop() if faults else "none")
            self.listen()
            assert count < 100 + 2 * len(words)
        await giving
        while not self.taken.complete:
            await rig.ticks()


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(stalls=STALLS)
async def words(top, stalls):
    """Both ways at once; then the device is reset in the middle of a frame, then a new session begins in mid-stream."""
    async with Rig(top, "link", "endpoint") as rig:
        for part in range(3):
            host = Host(rig, stalls)
            listening = [
                cocotb.start_soon(rig.receive("o", stalls, host.hear)),
                cocotb.start_soon(rig.receive("o_words", stalls, host.take)),
            ]
            await host.open(session=7 + part)
            if part == 1:  # words that nobody will have heard of
                await host.say(bytes(Frame(session=host.session, payload=bytes(16)))[:-2])
            else:
                faults = FAULTS[1:5] if part else (FAULTS[0], *FAULTS[5:])
                count = effort(4) + len(faults)
                draw = rig.rng.integers(0, 1 << 32, (2, count)).tolist()
                await host.exchange(*draw, rig.rng.permutation(faults))
                for fault in faults:
                    rig.cover(stalls=stalls, fault=fault)
                rig.cover(begins=("after power on", "", "in mid-stream")[part], stalls=stalls)
            for task in listening:
                task.cancel()
            rig.set(o__ready=0, o_words__ready=0)
            if not part:
                await host.say(bytes(Frame(session=host.session, position=host.wanted, payload=bytes(16)))[:20])
                await rig.reset()
                rig.cover(reset="mid-stream")


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(rate=list(UARTS), stalls=STALLS)
async def wire(top, rate, stalls):
    """Bytes over a wire: spikes are outvoted, a broken line gives nothing."""
    name, cycles = UARTS[rate]
    async with Rig(top, "link", name) as rig:
        rng = rig.rng
        values = [0, 255, 0x55, 0xAA, 1, 128, *rng.integers(0, 256, effort(10)).tolist()]
        board = Scoreboard("byte")
        board.expect(*values)
        # One next to an edge moves it by a cycle: of four cycles a bit that leaves no room for another one in the same byte.
        apart = (3, 9) if cycles > 2 * LEAST_CYCLES else (BITS_PER_BYTE + 2, 2 * BITS_PER_BYTE)
        spikes = {int(cycle) for cycle in rig.cycle + np.cumsum(rng.integers(*(int(bits * cycles) for bits in apart), 200))}
        sending = cocotb.start_soon(rig.send("i", values, stalls))
        rig.set(o__ready=1)
        while not board.complete:
            rig.set(flip=int(rig.cycle in spikes))
            await rig.settled()
            if rig.bits("o__valid"):
                board(rig.bits("o__payload"))
            await rig.ticks()
        await sending
        await rig.ticks(int(20 * cycles))
        rig.set(flip=1)
        for _ in range(int(50 * cycles)):
            await rig.settled()
            assert not rig.bits("o__valid"), "a byte from a broken line"
            await rig.ticks()
        rig.cover(rate=rate, stalls=stalls, line="spikes")
        rig.cover(rate=rate, stalls=stalls, line="broken")
        for value in values:
            rig.cover(byte={0: "zeros", 255: "ones"}.get(value, "other"), rate=rate)

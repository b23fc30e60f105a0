"""The device's end by itself, frame by frame: sessions, exactly once, room, and what a reset reaches."""

import numpy as np
import pytest
from celosia.host.transport.frames import Decoder, Frame, read_identity
from celosia.hw.link.endpoint import BUFFER_WORDS, Endpoint
from celosia.hw.link.framing import MAX_LENGTH
from celosia.hw.presets import preset

QUIET = 3000  # cycles in which whatever it has to say is said


class Rig:
    """An endpoint whose fabric gives and takes as told."""

    def __init__(self, bench):
        self.bench = bench
        self.dut = Endpoint(preset("mini"))
        self.decoder = Decoder()
        self.taken = []  # words that the fabric took
        self.takes = False
        self.resets = 0

    async def background(self, ctx):
        """The fabric's side."""
        dut = self.dut
        while True:
            ctx.set(dut.o_words.ready, self.takes)
            _, _, valid, ready, word, reset = await ctx.tick().sample(
                dut.o_words.valid, dut.o_words.ready, dut.o_words.payload, dut.reset
            )
            if valid and ready:
                self.taken.append(word)
            self.resets += reset

    async def say(self, ctx, *frames, quiet=QUIET):
        """Sends frames, and gives those that come back."""
        dut = self.dut
        data = b"".join(bytes(frame) for frame in frames)
        got = bytearray()
        silent = at = 0
        ctx.set(dut.o.ready, 1)
        while silent < quiet:
            ctx.set(dut.i.valid, at < len(data))
            if at < len(data):
                ctx.set(dut.i.payload, data[at])
            _, _, ready, valid, byte = await ctx.tick().sample(dut.i.ready, dut.o.valid, dut.o.payload)
            silent += 1
            if at < len(data):
                at += ready
                silent = 0
            if valid:
                got.append(byte)
                silent = 0
        return list(self.decoder.feed(bytes(got)))

    async def open(self, ctx, session=9):
        (answer,) = await self.say(ctx, Frame(session=session, hello=True))
        return answer

    async def give(self, ctx, words):
        """Words from the fabric, as many as are taken in a while."""
        dut = self.dut
        ctx.set(dut.o.ready, 0)
        given = 0
        for _ in range(4 * len(words) + 50):
            ctx.set(dut.i_words.valid, given < len(words))
            if given < len(words):
                ctx.set(dut.i_words.payload, int(words[given]))
            _, _, ready = await ctx.tick().sample(dut.i_words.ready)
            given += given < len(words) and ready
        ctx.set(dut.i_words.valid, 0)
        return given

    def run(self, testbench):
        self.bench.run(self.dut, testbench, background=[self.background], limit=400_000)


def payload(words):
    return np.asarray(words, "<u4").tobytes()


@pytest.fixture
def rig(bench):
    return Rig(bench)


def status(frame):
    return frame.again, frame.position, frame.expected, frame.taken


def test_hello_begins_a_session_and_resets_the_fabric(rig):
    async def testbench(ctx):
        answer = await rig.open(ctx, 9)
        assert (answer.session, answer.hello, status(answer)) == (9, True, (False, 0, 0, 0))
        assert read_identity(answer).buffer_words == BUFFER_WORDS
        resets = rig.resets
        assert resets > 400, "longer than any pipeline of the fabric"
        again = await rig.open(ctx, 9)
        assert (again, rig.resets) == (answer, resets), "the same hello is answered, and changes nothing"
        await rig.open(ctx, 10)
        assert rig.resets == 2 * resets

    rig.run(testbench)


def test_words_come_once_and_after_their_crc(rig):
    async def testbench(ctx):
        await rig.open(ctx)
        rig.takes = True
        frame = Frame(session=9, payload=payload([1, 2, 3]))
        damaged = bytearray(bytes(frame))
        damaged[-1] ^= 1
        (answer,) = await rig.say(ctx, damaged)
        assert (status(answer), rig.taken) == ((True, 0, 0, 0), [])
        (answer,) = await rig.say(ctx, frame)
        assert (answer.again, answer.expected, rig.taken) == (False, 3, [1, 2, 3])
        (answer,) = await rig.say(ctx, frame)
        assert (status(answer), rig.taken) == ((False, 0, 3, 3), [1, 2, 3]), "a repeated frame is acknowledged and not taken"
        (answer,) = await rig.say(ctx, Frame(session=9, position=4, payload=payload([5])))
        assert (status(answer), rig.taken) == ((True, 0, 3, 3), [1, 2, 3]), "a gap"
        await rig.say(ctx, Frame(session=9, position=3, payload=payload([4])))
        assert rig.taken == [1, 2, 3, 4]

    rig.run(testbench)


def test_another_session_reaches_nothing(rig):
    async def testbench(ctx):
        rig.takes = True
        (answer,) = await rig.say(ctx, Frame(session=3, payload=payload([1])))
        assert (answer.session, rig.taken) == (0, [])
        await rig.open(ctx)
        (answer,) = await rig.say(ctx, Frame(session=8, payload=payload([1])))
        assert (answer.session, answer.again, answer.expected, rig.taken) == (9, False, 0, [])

    rig.run(testbench)


def test_no_more_than_there_is_room_for(rig):
    async def testbench(ctx):
        await rig.open(ctx)
        words = np.arange(BUFFER_WORDS + 1)
        for at in range(0, BUFFER_WORDS, MAX_LENGTH):
            part = words[at : at + MAX_LENGTH]
            (answer,) = await rig.say(ctx, Frame(session=9, position=at, payload=payload(part)))
            assert status(answer) == (False, 0, at + MAX_LENGTH, 0)
        more = Frame(session=9, position=BUFFER_WORDS, payload=payload(words[-1:]))
        (answer,) = await rig.say(ctx, more)
        assert status(answer) == (True, 0, BUFFER_WORDS, 0), "too much is refused whole"
        rig.takes = True
        told = await rig.say(ctx, quiet=8000)
        assert told[-1].taken >= BUFFER_WORDS - BUFFER_WORDS // 4, "unasked, it tells of room"
        await rig.say(ctx, more)
        assert rig.taken == words.tolist()

    rig.run(testbench)


def test_words_from_the_fabric_are_kept_until_the_host_has_them(rig):
    async def testbench(ctx):
        await rig.open(ctx)
        words = rig.bench.rng.integers(0, 1 << 32, 100, dtype=np.uint32)
        assert await rig.give(ctx, words) == 100
        first = await rig.say(ctx)
        assert b"".join(frame.payload for frame in first) == payload(words)
        lengths = [len(frame.payload) // 4 for frame in first]
        assert [frame.position for frame in first] == np.cumsum([0, *lengths[:-1]]).tolist()
        repeated = await rig.say(ctx, Frame(session=9, again=True))
        assert b"".join(frame.payload for frame in repeated) == payload(words)
        repeated = await rig.say(ctx, Frame(session=9, expected=60, again=True))
        assert b"".join(frame.payload for frame in repeated) == payload(words[60:])
        assert repeated[0].position == 60
        repeated = await rig.say(ctx, Frame(session=9, expected=20, again=True, reply=True))
        assert [status(frame) for frame in repeated] == [(False, 100, 0, 0)], "that was an old frame"

    rig.run(testbench)


def test_a_host_that_does_not_acknowledge_stalls_the_fabric(rig):
    async def testbench(ctx):
        await rig.open(ctx)
        words = np.arange(2 * BUFFER_WORDS)
        given = await rig.give(ctx, words)
        assert BUFFER_WORDS - 16 < given <= BUFFER_WORDS
        await rig.say(ctx)
        await rig.say(ctx, Frame(session=9, expected=given))
        assert await rig.give(ctx, words[given : given + 100]) == 100
        frames = await rig.say(ctx, Frame(session=9, expected=given, again=True))
        assert b"".join(frame.payload for frame in frames)[-400:] == payload(words[given : given + 100])

    rig.run(testbench)


def test_a_session_in_mid_stream_ends_the_one_before(rig):
    async def testbench(ctx):
        await rig.open(ctx)
        await rig.give(ctx, np.arange(300))
        await rig.say(ctx, Frame(session=9, payload=payload(range(100))), quiet=50)
        answer = await rig.open(ctx, 11)
        assert status(answer) == (False, 0, 0, 0)
        rig.taken.clear()
        rig.takes = True
        assert await rig.say(ctx) == []
        assert rig.taken == []
        await rig.say(ctx, Frame(session=11, payload=payload([7])))
        assert rig.taken == [7]

    rig.run(testbench)


def test_it_answers_a_question(rig):
    async def testbench(ctx):
        await rig.open(ctx)
        assert await rig.say(ctx, Frame(session=9)) == []
        (answer,) = await rig.say(ctx, Frame(session=9, reply=True))
        assert (answer.session, status(answer)) == (9, (False, 0, 0, 0))

    rig.run(testbench)

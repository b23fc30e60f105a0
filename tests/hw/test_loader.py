"""The loader against the command set's definition: who gets which word, with what address, in the host's order."""

from dataclasses import replace

import pytest
from celosia.hw.isa import Command, Header
from celosia.hw.loader import Loader
from celosia.hw.presets import preset

CONFIG = replace(preset("mini"), weight_depth=64, program_words=128, widest_bits=16)
BYTES = replace(CONFIG, widest_bits=8)
UNKNOWN = (max(command.value for command in Command) + 1, 77, 255)
WHOLE = (Command.LOAD_WHOLE_WEIGHTS, Command.STREAM_WHOLE_WEIGHTS)

STREAMS = ("weights", "channels", "depthwise")
PAYLOAD_OF = {
    Command.LOAD_WEIGHTS: "weights",
    Command.STREAM_WEIGHTS: "weights",
    **dict.fromkeys(WHOLE, "weights"),
    Command.LOAD_CHANNELS: "channels",
    Command.LOAD_DEPTHWISE: "depthwise",
}


def words_of(packets):
    """Their words, and behind them those of a NOP, which is taken when all before it is carried out."""
    for command, address, payload in [*packets, (Command.NOP.value, 0, [])]:
        yield Header.const({"command": command & 0xFF, "count": len(payload)}).as_value().value
        yield address
        yield from payload


def events_of(packets, config=CONFIG):
    """What the packets mean, by the command set's own comments."""
    for number, address, payload in packets:
        command = Command(number) if number not in UNKNOWN else Command.NOP
        if command in WHOLE and not config.doubles:
            continue
        if command in (Command.LOAD_WEIGHTS, Command.LOAD_CHANNELS, Command.LOAD_DEPTHWISE, WHOLE[0]):
            yield (command.name.lower().replace("_whole", ""), address)
        if command is Command.START:
            yield ("start", address)
        if command is Command.SET_RING:
            yield ("ring", address % CONFIG.weight_depth)
        for index, word in enumerate(payload):
            if command is Command.LOAD_ACTIVATIONS:
                octets = [(word >> 8 * lane & 255 ^ 128) - 128 for lane in range(4)]
                yield ("activations", (address + 4 * index) % CONFIG.activation_bytes, 4, octets)
            elif command is Command.LOAD_PROGRAM:
                yield ("program", (address + index) % CONFIG.program_words, word)
            elif command in PAYLOAD_OF:
                yield (PAYLOAD_OF[command], command in (Command.STREAM_WEIGHTS, WHOLE[1]), command in WHOLE, word)


class Rig:
    """A loader whose receivers pause as `stalls` says, and everything that it told them."""

    def __init__(self, bench, stalls, config=CONFIG):
        self.bench = bench
        self.loader = Loader(config)
        self.pauses = {name: bench.pauses(stalls) for name in (*STREAMS, "starts", "activations", "waited")}
        self.events = []

    async def receivers(self, ctx):
        """Sees a cycle last: sets who is ready, then notes what happens in it."""
        loader = self.loader
        while True:
            for name in (*STREAMS, "starts"):
                ctx.set(getattr(loader, name).ready, not next(self.pauses[name]))
            ctx.set(loader.activations_ready, not next(self.pauses["activations"]))
            ctx.set(loader.waited, not next(self.pauses["waited"]))
            self.note(ctx)
            await ctx.tick()

    def note(self, ctx):
        loader, events = self.loader, self.events
        for name in ("load_weights", "load_channels", "load_depthwise"):
            if ctx.get(getattr(loader, name)):
                events.append((name, ctx.get(loader.load_address)))
        write = loader.activations
        if ctx.get(write.enable) and ctx.get(loader.activations_ready):
            events.append(("activations", ctx.get(write.address), ctx.get(write.count), list(ctx.get(write.data))))
        if ctx.get(loader.program.enable):
            events.append(("program", ctx.get(loader.program.address), ctx.get(loader.program.data)))
        if ctx.get(loader.set_ring):
            events.append(("ring", ctx.get(loader.load_address) % CONFIG.weight_depth))
        for name in STREAMS:
            stream = getattr(loader, name)
            if ctx.get(stream.valid) and ctx.get(stream.ready):
                events.append((name, bool(ctx.get(loader.ring)), bool(ctx.get(loader.whole)), ctx.get(stream.payload)))
        if ctx.get(loader.starts.valid) and ctx.get(loader.starts.ready):
            events.append(("start", ctx.get(loader.starts.payload)))

    def run(self, testbench, dut=None):
        self.bench.run(dut or self.loader, testbench, background=(self.receivers,))


def draw(rng, command):
    """A packet of a command, with an address that it takes and any payload."""
    number = command if isinstance(command, int) else command.value
    count = int(rng.choice([1, 2, 3, 9]))
    if command in (Command.START, Command.WAIT, Command.NOP, Command.SET_RING):
        count = int(rng.choice([0, 0, 1, 4]))  # these carry none; what comes all the same is skipped
    address = int(rng.integers(CONFIG.program_words if command is Command.START else 1 << 16))
    return number, address, rng.integers(0, 1 << 32, count).tolist()


@pytest.mark.parametrize("config", [CONFIG, BYTES], ids=["16 bits", "8 bits"])
@pytest.mark.parametrize("receivers", ["none", "random", "bursty"])
def test_random_packets(bench, stalls, receivers, config):
    """Every command several times, in any order, unknown ones too."""
    rng = bench.rng
    commands = [*Command, *UNKNOWN] * 3
    packets = [draw(rng, commands[at]) for at in rng.permutation(len(commands))]
    rig = Rig(bench, receivers, config)

    async def host(ctx):
        await bench.send(ctx, rig.loader.i, words_of(packets), bench.pauses(stalls))

    rig.run(host)
    assert rig.events == list(events_of(packets, config))


@pytest.mark.parametrize("command", [*Command, *UNKNOWN], ids=str)
def test_each_command_alone(bench, stalls, command):
    packets = [draw(bench.rng, command) for _ in range(4)]
    rig = Rig(bench, "random")

    async def host(ctx):
        await bench.send(ctx, rig.loader.i, words_of(packets), bench.pauses(stalls))

    rig.run(host)
    assert rig.events == list(events_of(packets))


def test_a_packet_without_payload_is_two_words(bench):
    """Of any command: the next header is the third word."""
    packets = []
    for command in Command:
        packets += [(command.value, 5, []), (Command.LOAD_PROGRAM.value, 7, [command.value])]
    rig = Rig(bench, "none")

    async def host(ctx):
        await bench.send(ctx, rig.loader.i, words_of(packets), bench.pauses("none"))

    rig.run(host)
    assert rig.events == list(events_of(packets))


def test_wait_holds_the_stream_until_it_has_waited(bench):
    """What comes after WAIT is not carried out while a program runs; nothing else waits for it."""
    loader = Loader(CONFIG)
    before = [(Command.LOAD_PROGRAM.value, 3, [1, 2])]
    after = [(Command.LOAD_PROGRAM.value, 9, [3])]
    seen = []

    async def host(ctx):
        await bench.send(ctx, loader.i, words_of(before), bench.pauses("none"))
        await bench.send(ctx, loader.i, words_of([(Command.WAIT.value, 0, [])]), bench.pauses("none"))
        await bench.send(ctx, loader.i, words_of(after), bench.pauses("none"))

    async def sequencer(ctx):
        await bench.ticks(ctx, 50)
        assert seen == [3, 4]
        ctx.set(loader.waited, 1)

    async def memory(ctx):
        while True:
            if ctx.get(loader.program.enable):
                seen.append(ctx.get(loader.program.address))
            await ctx.tick()

    bench.run(loader, host, sequencer, background=(memory,))
    assert seen == [3, 4, 9]


def test_wait_looks_when_what_it_waits_for_has_been_compared(bench):
    """`waited` may be of what was waited for before, for `LOOK_CYCLES`; then one cycle of it is enough."""
    loader = Loader(CONFIG)
    seen = []

    async def host(ctx):
        ctx.set(loader.waited, 1)
        await bench.send(ctx, loader.i, [*words_of([(Command.WAIT.value, 5, [])])][:2], bench.pauses("none"))
        assert ctx.get(loader.wait_for) == 5
        ctx.set(loader.i.valid, 1)
        ctx.set(loader.i.payload, 0)
        for _ in range(Loader.LOOK_CYCLES):
            seen.append(ctx.get(loader.i.ready))
            await ctx.tick()
        ctx.set(loader.waited, 0)
        for _ in range(20):
            seen.append(ctx.get(loader.i.ready))
            await ctx.tick()
        ctx.set(loader.waited, 1)
        await ctx.tick()
        assert not any(seen)
        assert ctx.get(loader.i.ready)

    bench.run(loader, host)


def test_a_word_a_cycle(bench):
    """A host that never pauses and receivers that never do: as many cycles as words, one for each START, and WAIT's look."""
    packets = [draw(bench.rng, command) for command in Command for _ in range(3)]
    words = list(words_of(packets))
    rig = Rig(bench, "none")
    cycles = 0

    async def host(ctx):
        nonlocal cycles
        ctx.set(rig.loader.i.valid, 1)
        for word in words:
            ctx.set(rig.loader.i.payload, word)
            await bench.until(ctx, rig.loader.i.ready)
        ctx.set(rig.loader.i.valid, 0)

    async def clock(ctx):
        nonlocal cycles
        while True:
            cycles += ctx.get(rig.loader.i.valid)
            await ctx.tick()

    bench.run(rig.loader, host, background=(rig.receivers, clock))
    held = {Command.START.value: 1, Command.WAIT.value: 1 + Loader.LOOK_CYCLES}
    assert cycles == len(words) + sum(held.get(number, 0) for number, _, _ in packets)


def test_reset_in_mid_stream(bench, stalls):
    """Cut off in any packet, the loader takes the next word for a header."""
    rig = Rig(bench, stalls)
    dut, reset = bench.resettable(rig.loader)
    packets = [draw(bench.rng, command) for command in Command]

    async def host(ctx):
        for cut in range(1, 16, 2):
            await bench.send(ctx, rig.loader.i, list(words_of(packets))[:cut], bench.pauses("none"))
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            rig.events.clear()
            await bench.send(ctx, rig.loader.i, words_of(packets), bench.pauses(stalls))
            assert rig.events == list(events_of(packets))

    rig.run(host, dut)

"""The compact fabric's sequencer: descriptors in order, one at a time, and records that account for every cycle."""

from dataclasses import replace

from celosia.hw.compact.sequencer import CompactSequencer
from celosia.hw.isa import DESCRIPTOR_WORDS, RECORD_WORDS, Answer, Descriptor, Header, Operation
from celosia.hw.presets import preset

CONFIG = replace(preset("up5k"), program_words=16 * DESCRIPTOR_WORDS, record_depth=6)
COUNTERS = ("busy", "weights", "activations", "output")


def random_descriptor(rng, operation):
    """The bits of a descriptor of that operation, everything else noise."""
    noise = int.from_bytes(rng.bytes(4 * DESCRIPTOR_WORDS), "little")
    bits = len(Descriptor(Descriptor.const({})).operation.as_value())
    return noise >> bits << bits | operation.value


def random_program(rng, length):
    operations = [[Operation.MAC, Operation.STORE][rng.integers(2)] for _ in range(length)]
    return [random_descriptor(rng, operation) for operation in (*operations, Operation.END)]


class Rig:
    """A sequencer with units that work for random times and say what they do; its launches and its answers."""

    def __init__(self, bench, stalls):
        self.bench, self.stalls = bench, stalls
        self.unit = CompactSequencer(CONFIG)
        self.launches = []  # the descriptor's bits
        self.records = []  # what the units did, as the record should say it
        self.cycle = 0
        self.accepted, self.launched, self.ended, self.stored = [], [], [], []  # cycles

    async def load(self, ctx, address, descriptors):
        port = self.unit.program
        for at, bits in enumerate(descriptors):
            for word in range(DESCRIPTOR_WORDS):
                self.bench.put(ctx, port, enable=1, address=address + at * DESCRIPTOR_WORDS + word)
                ctx.set(port.data, bits >> 32 * word & 0xFFFFFFFF)
                await ctx.tick()
        ctx.set(port.enable, 0)

    async def units(self, ctx):
        """Works off what is launched; while nothing is, it says `activations`, as the fabric does. Sees a cycle last."""
        unit, rng = self.unit, self.bench.rng
        counts = dict.fromkeys(COUNTERS, 0)
        left, kind = 0, None
        while True:
            finished = kind is not None and left == 0
            activity = COUNTERS[rng.integers(4)] if kind is not None else "activations"
            ctx.set(unit.activity, {name: name == activity for name in COUNTERS})
            ctx.set(unit.done, finished)
            counts[activity] += 1
            launch, launch_store = ctx.get(unit.launch), ctx.get(unit.launch_store)
            if finished:
                assert ctx.get(unit.descriptor.as_value()) == self.launches[-1], "the descriptor moved"
                self.records.append(counts)
                self.ended.append(self.cycle)
                counts = dict.fromkeys(COUNTERS, 0)
                if kind == "store":
                    self.stored.append(self.cycle)
                kind = None
            if ctx.get(unit.starts.valid) and ctx.get(unit.starts.ready):
                self.accepted.append(self.cycle)
                counts = dict.fromkeys(COUNTERS, 0)
            if launch or launch_store:
                assert kind is None, "launched while the last one runs"
                assert launch != launch_store
                assert not ctx.get(unit.idle)
                self.launches.append(ctx.get(unit.descriptor.as_value()))
                self.launched.append(self.cycle)
                kind = "store" if launch_store else "compute"
                left = int(rng.choice([1, 2, 5, 70]))
            left -= kind is not None
            self.cycle += 1
            await ctx.tick()

    async def answer(self, ctx):
        """One DONE packet: its address word, and its records."""
        receive, pauses = self.bench.receive, self.bench.pauses(self.stalls)
        header, total = await receive(ctx, self.unit.o, 2, pauses)
        fields = Header.from_bits(header)
        assert fields.command == Answer.DONE.value
        assert fields.count % RECORD_WORDS == 0
        words = await receive(ctx, self.unit.o, fields.count, pauses)
        return total, [words[at : at + RECORD_WORDS] for at in range(0, len(words), RECORD_WORDS)]

    def check(self, answer, length):
        """A DONE packet against what the units did: records in order, each the sum of its counters."""
        total, records = answer
        assert len(records) == min(length, CONFIG.record_depth)
        assert len(self.records) == length
        for (cycles, *counters), counts in zip(records, self.records, strict=False):
            assert cycles == sum(counters), "a cycle is lost or counted twice"
            assert counters == [counts[name] for name in COUNTERS]
        stored = self.stored[-1] - self.accepted[-1] if self.stored else 0
        assert total == stored, "not the cycles from the start to the last result word"
        for seen in (self.launches, self.records, self.launched, self.ended, self.stored):
            seen.clear()

    def run(self, *testbenches, dut=None):
        self.bench.run(dut or self.unit, *testbenches, background=(self.units,))


def test_programs_one_after_another(bench, stalls):
    """Descriptors launch in order, bit for bit, each as soon as it is fetched; records add up, and fit or are left out."""
    rig = Rig(bench, stalls)

    async def testbench(ctx):
        for length in (1, 5, 6, 2, 0, 9, 1):
            program = random_program(bench.rng, length)
            address = int(bench.rng.integers(CONFIG.program_words - len(program) * DESCRIPTOR_WORDS + 1))
            await rig.load(ctx, address, program)
            assert ctx.get(rig.unit.idle)
            await bench.send(ctx, rig.unit.starts, [address], bench.pauses("none"))
            answer = await rig.answer(ctx)
            assert rig.launches == program[:-1]
            turns = [rig.accepted[-1], *(cycle + RECORD_WORDS for cycle in rig.ended[:-1])]
            gaps = [launched - turn for turn, launched in zip(turns, rig.launched, strict=False)]
            assert set(gaps) <= {CompactSequencer.FETCH_CYCLES}
            rig.check(answer, length)
            await bench.ticks(ctx, int(bench.rng.integers(3)))

    rig.run(testbench)


def test_a_start_that_waits_begins_anew(bench, stalls):
    """The second start is there when the first program ends: its counts begin with it, a program without STORE says 0."""
    rig = Rig(bench, stalls)
    lengths = [3, 2, 1, 4]
    operations = [Operation.STORE, Operation.MAC, Operation.STORE, Operation.MAC]
    programs = [
        [random_descriptor(bench.rng, kind) for kind in [*[operation] * length, Operation.END]]
        for length, operation in zip(lengths, operations, strict=True)
    ]
    addresses = [0, 4 * DESCRIPTOR_WORDS, 7 * DESCRIPTOR_WORDS, 9 * DESCRIPTOR_WORDS]
    loaded = []

    async def host(ctx):
        for address, program in zip(addresses, programs, strict=True):
            await rig.load(ctx, address, program)
        loaded.append(True)
        await bench.send(ctx, rig.unit.starts, addresses, bench.pauses("none"))

    async def listener(ctx):
        while not loaded:
            await ctx.tick()
        for length, program in zip(lengths, programs, strict=True):
            answer = await rig.answer(ctx)
            assert rig.launches == program[:-1]
            rig.check(answer, length)

    rig.run(host, listener)


def test_reset_in_mid_program(bench):
    """A reset leaves the sequencer idle, and the next program's counts are its own."""
    rig = Rig(bench, "none")
    dut, reset = bench.resettable(rig.unit)
    program = [random_descriptor(bench.rng, kind) for kind in (Operation.STORE, Operation.STORE, Operation.END)]

    async def testbench(ctx):
        await rig.load(ctx, 0, program)
        for ticks in (1, 10, 27, 30, 60, 200):
            await bench.send(ctx, rig.unit.starts, [0], bench.pauses("none"))
            await bench.ticks(ctx, ticks)
            ctx.set(reset, 1)
            await bench.ticks(ctx, 2)
            assert ctx.get(rig.unit.idle)
            assert not ctx.get(rig.unit.o.valid)
            ctx.set(reset, 0)
            await bench.ticks(ctx, 100)  # the units end what they had begun
            for seen in (rig.launches, rig.records, rig.launched, rig.ended, rig.stored):
                seen.clear()
            await bench.send(ctx, rig.unit.starts, [0], bench.pauses("none"))
            rig.check(await rig.answer(ctx), 2)

    rig.run(testbench, dut=dut)

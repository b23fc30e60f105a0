"""The sequencer: descriptors in order, one at a time, and records that account for every cycle."""

from dataclasses import replace

from celosia.hw.isa import DESCRIPTOR_WORDS, RECORD_WORDS, Answer, Descriptor, Header, Operation
from celosia.hw.presets import preset
from celosia.hw.sequencer import Sequencer

CONFIG = replace(preset("mini"), program_words=16 * DESCRIPTOR_WORDS, record_depth=6)
COUNTERS = ("busy", "weights", "activations", "output")
COMPUTE = [operation for operation in Operation if operation not in (Operation.END, Operation.STORE)]


def random_descriptor(rng, operation):
    """The bits of a descriptor of that operation, everything else noise."""
    noise = int.from_bytes(rng.bytes(4 * DESCRIPTOR_WORDS), "little")
    bits = len(Descriptor(Descriptor.const({})).operation.as_value())
    return noise >> bits << bits | operation.value


class Rig:
    """A sequencer with engines that work for random times and say what they do; its launches and its answers."""

    def __init__(self, bench, stalls):
        self.bench, self.stalls = bench, stalls
        self.unit = Sequencer(CONFIG)
        self.launches = []  # the descriptor's bits
        self.records = []  # what the engines did, as the record should say it
        self.cycle = 0
        self.accepted, self.stored = [], []  # cycles

    async def load(self, ctx, address, descriptors):
        port = self.unit.program
        for at, bits in enumerate(descriptors):
            for word in range(DESCRIPTOR_WORDS):
                self.bench.put(ctx, port, enable=1, address=address + at * DESCRIPTOR_WORDS + word)
                ctx.set(port.data, bits >> 32 * word & 0xFFFFFFFF)
                await ctx.tick()
        ctx.set(port.enable, 0)

    async def engines(self, ctx):
        """Works off what is launched; while nothing is, it says `activations`, as the fabric does. Sees a cycle last."""
        unit, rng = self.unit, self.bench.rng
        counts = dict.fromkeys(COUNTERS, 0)
        left, kind = 0, None
        while True:
            finished = kind is not None and left == 0
            activity = COUNTERS[rng.integers(4)] if kind is not None else "activations"
            ctx.set(unit.activity, {name: name == activity for name in COUNTERS})
            ctx.set(unit.done, finished and kind == "compute")
            ctx.set(unit.store_done, finished and kind == "store")
            counts[activity] += 1
            launch, launch_store = ctx.get(unit.launch), ctx.get(unit.launch_store)
            if finished:
                assert ctx.get(unit.descriptor.as_value()) == self.launches[-1], "the descriptor moved"
                self.records.append(counts)
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

    def check(self, answer, launched, first_record):
        """A DONE packet against what the engines did: records in order, each the sum of its counters."""
        total, records = answer
        kept = min(launched, CONFIG.record_depth)
        assert len(records) == kept
        expected = self.records[first_record : first_record + launched]
        assert len(expected) == launched
        for (cycles, *counters), counts in zip(records, expected[:kept], strict=True):
            assert cycles == sum(counters), "a cycle is lost or counted twice"
            assert counters == [counts[name] for name in COUNTERS]
        return total, records

    def run(self, *testbenches, dut=None):
        self.bench.run(dut or self.unit, *testbenches, background=(self.engines,))


def random_program(rng, length):
    operations = [[*COMPUTE, Operation.STORE][rng.integers(len(COMPUTE) + 1)] for _ in range(length)]
    return [random_descriptor(rng, operation) for operation in (*operations, Operation.END)]


def test_programs_one_after_another(bench, stalls):
    """Descriptors launch in order, bit for bit; records add up; the total is the cycles to the last STORE's end."""
    rig = Rig(bench, stalls)

    async def testbench(ctx):
        for length in (1, 5, 6, 2, 0):
            program = random_program(bench.rng, length)
            address = int(bench.rng.integers(CONFIG.program_words - len(program) * DESCRIPTOR_WORDS + 1))
            await rig.load(ctx, address, program)
            rig.launches.clear()
            rig.records.clear()
            rig.stored.clear()
            assert ctx.get(rig.unit.idle)
            await bench.send(ctx, rig.unit.starts, [address], bench.pauses("none"))
            total, records = rig.check(await rig.answer(ctx), length, 0)
            assert rig.launches == program[:-1]
            if rig.stored:
                assert total == rig.stored[-1] - rig.accepted[-1], "not the cycles from the start to the end of the last STORE"
                if program[-2] & 15 == Operation.STORE.value:
                    assert sum(record[0] for record in records) == total, "the records are of other cycles than the total"
            await bench.ticks(ctx, 3)
            assert ctx.get(rig.unit.idle)

    rig.run(testbench)


def test_queued_starts(bench, stalls):
    """Several starts wait in line: each program gives its own DONE packet, in order, and idle says that all have ended."""
    rig = Rig(bench, stalls)
    lengths = [2, 1, 3, 2]
    programs = [random_program(bench.rng, length) for length in lengths]
    addresses = []
    loaded = []

    async def host(ctx):
        address = 0
        for program in programs:
            addresses.append(address)
            await rig.load(ctx, address, program)
            address += len(program) * DESCRIPTOR_WORDS
        loaded.append(True)
        await bench.send(ctx, rig.unit.starts, addresses, bench.pauses("none"))

    async def receiver(ctx):
        first = 0
        while not loaded:
            await ctx.tick()
        for length in lengths:
            rig.check(await rig.answer(ctx), length, first)
            first += length

    rig.run(host, receiver)
    assert rig.launches == [bits for program in programs for bits in program[:-1]]


def test_idle_is_low_from_the_start_to_the_last_answer(bench):
    """A WAIT that sees `idle` may load over everything, so `idle` must not blink between a start and its end."""
    rig = Rig(bench, "bursty")
    program = random_program(bench.rng, 3)
    blinks, running = [], []

    async def testbench(ctx):
        await rig.load(ctx, 0, program)
        ctx.set(rig.unit.starts.valid, 1)
        assert not ctx.get(rig.unit.idle)
        await bench.until(ctx, rig.unit.starts.ready)
        ctx.set(rig.unit.starts.valid, 0)
        running.append(True)
        await rig.answer(ctx)
        running.clear()

    async def watch(ctx):
        while True:
            if running:
                blinks.append(ctx.get(rig.unit.idle))
            await ctx.tick()

    bench.run(rig.unit, testbench, background=(rig.engines, watch))
    # The answer's last word is taken in the state after the last record.
    assert not any(blinks[:-2])


def test_how_many_layers_have_ended(bench):
    """From none when the program begins, one more behind each layer's end, results on their way out too."""
    rig = Rig(bench, "none")
    operations = (Operation.MAC, Operation.ADD, Operation.STORE, Operation.END)
    program = [random_descriptor(bench.rng, operation) for operation in operations]
    seen = []

    async def testbench(ctx):
        await rig.load(ctx, 0, program)
        for _ in range(2):
            await bench.send(ctx, rig.unit.starts, [0], bench.pauses("none"))
            assert ctx.get(rig.unit.ended) == 0
            await rig.answer(ctx)

    async def watch(ctx):
        ends = 0
        while True:
            rests = ctx.get(rig.unit.starts.ready)
            if not rests:
                seen.append((ends, ctx.get(rig.unit.ended)))
            ends = 0 if rests else ends + (ctx.get(rig.unit.done) | ctx.get(rig.unit.store_done))
            await ctx.tick()

    bench.run(rig.unit, testbench, background=(rig.engines, watch))
    assert [counted for _, counted in seen] == [expected for expected, _ in seen]
    assert {counted for _, counted in seen} == {0, 1, 2, 3}


def test_more_layers_than_records(bench):
    """The program runs to its end all the same; the first `record_depth` layers are reported."""
    rig = Rig(bench, "none")
    program = random_program(bench.rng, CONFIG.record_depth + 4)

    async def testbench(ctx):
        await rig.load(ctx, 0, program)
        await bench.send(ctx, rig.unit.starts, [0], bench.pauses("none"))
        rig.check(await rig.answer(ctx), CONFIG.record_depth + 4, 0)

    rig.run(testbench)
    assert rig.launches == program[:-1]


def test_the_next_descriptor_is_fetched_meanwhile(bench):
    """Between layers that take longer than a fetch there are `LAUNCH_CYCLES`."""
    rig = Rig(bench, "none")
    unit = rig.unit
    program = [random_descriptor(bench.rng, Operation.MAC) for _ in range(4)]
    program.append(random_descriptor(bench.rng, Operation.END))
    gaps = []

    async def testbench(ctx):
        await rig.load(ctx, 0, program)
        ctx.set(unit.starts.valid, 1)
        await ctx.tick()
        ctx.set(unit.starts.valid, 0)
        ctx.set(unit.o.ready, 1)
        for _ in range(4):
            gap = 0
            while not ctx.get(unit.launch):
                await ctx.tick()
                gap += 1
            gaps.append(gap)
            await bench.ticks(ctx, 2 * DESCRIPTOR_WORDS)
            ctx.set(unit.done, 1)
            await ctx.tick()
            ctx.set(unit.done, 0)

    bench.run(unit, testbench)
    assert gaps == [Sequencer.FETCH_CYCLES + Sequencer.LAUNCH_CYCLES - 1] + [Sequencer.LAUNCH_CYCLES - 1] * 3


def test_reset_in_mid_program(bench):
    """Reset while it runs, reports or fetches: it is idle, and the next start runs as the first one did."""
    rig = Rig(bench, "none")
    dut, reset = bench.resettable(rig.unit)
    program = random_program(bench.rng, 2)

    async def testbench(ctx):
        await rig.load(ctx, 0, program)
        for cycles in (1, 10, DESCRIPTOR_WORDS, DESCRIPTOR_WORDS + 3, 3 * DESCRIPTOR_WORDS):
            await bench.send(ctx, rig.unit.starts, [0], bench.pauses("none"))
            await bench.ticks(ctx, cycles)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            assert ctx.get(rig.unit.idle)
            assert not ctx.get(rig.unit.o.valid)
            await bench.ticks(ctx, 100)  # the engine's model works on what was launched before
            rig.launches.clear()
            rig.records.clear()
            await bench.send(ctx, rig.unit.starts, [0], bench.pauses("none"))
            rig.check(await rig.answer(ctx), 2, 0)
            assert rig.launches == program[:-1]

    rig.run(testbench, dut=dut)

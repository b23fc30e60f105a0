"""What feeds the XNOR array: a step's activations and the addresses of its weights, one after the other from the walker.

The walker's innermost loop counts a step's turns: each brings a weight word's address, and the first ones the activations of a
pixel each. The array needs all of them before the first weights, so the addresses wait here until the step is complete:

    i_step, i_address --> queue of addresses --> o_address, when all of a step's are there
    i_activations ------> delay, as the weights take from their address -------------------> o_load
                          turns, as late ---------------------------------------------------> o_turn
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import BYTE_BITS, XNOR_TILES, FabricConfig
from ..delay import delay
from ..engine import Marks, Step
from ..isa import Descriptor, Operation
from .array import ActivationLoad, Turn

_HALF = BYTE_BITS // 2
_ONES = Array(number.bit_count() for number in range(1 << _HALF))


class _Flags(data.Struct):
    """What holds for all turns of a step."""

    first: 1
    last: 1
    marks: Marks


class XnorFeed(wiring.Component):
    """Steps to turns: `descriptor.chunks` of them each, the first `xnor_pixels` of which bring activations.

    Parameters: `word_latency`, cycles from `o_address` to the words of column 0, at least 2, and enough to count a word's ones.

    Members: i_step, i_address (its weight word), i_activations and i_inside (which of their bytes lie on the map) belong to one
    walker's step; `descriptor` holds still from two cycles before the first one. `o_address` follows the step's last one by 2
    cycles, and then comes every cycle; `o_turn` is two cycles before that word's column 0, as `XnorArray` has it.
    """

    @staticmethod
    def lag_of(config: FabricConfig) -> int:
        """Most cycles that a step's weight word waits for its turn; 0 without an engine."""
        return XNOR_TILES + 1 if config.xnor_pixels else 0

    @staticmethod
    def latency_of(word_latency: int) -> int:
        """Cycles from the last walker's step of a step to its first turn."""
        return word_latency

    def __init__(self, config: FabricConfig, *, word_latency: int):
        self._config = config
        self._word_latency = word_latency
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(Descriptor),
                "i_step": In(Step),
                "i_address": In(config.weight_address_bits),
                "i_activations": In(data.ArrayLayout(BYTE_BITS, config.rows)),
                "i_inside": In(config.rows),
                "o_address": Out(config.weight_address_bits),
                "o_turn": Out(Turn),
                "o_load": Out(ActivationLoad(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        step = self.i_step

        serial = Signal(reset_less=True)
        m.d.sync += serial.eq(self.descriptor.operation == Operation.SERIAL)

        # Where in its step a walker's step stands.
        less_two = Signal(range(XNOR_TILES), reset_less=True)
        m.d.sync += less_two.eq(self.descriptor.chunks - 2)
        place = Signal(range(XNOR_TILES))
        at_end = Signal()
        taking = Signal(config.xnor_pixels, init=1)
        with m.If(self.start):
            m.d.sync += [place.eq(0), at_end.eq(0), taking.eq(1)]
        with m.Elif(step.valid & at_end):
            m.d.sync += [place.eq(0), at_end.eq(0), taking.eq(1)]
        with m.Elif(step.valid):
            m.d.sync += [place.eq(place + 1), at_end.eq(place == less_two), taking.eq(taking << 1)]

        # The addresses wait; there are never more than those of two steps.
        m.submodules.waiting = waiting = Memory(shape=config.weight_address_bits, depth=2 * XNOR_TILES, init=[])
        write, read = waiting.write_port(), waiting.read_port(domain="comb")
        m.d.comb += [write.en.eq(step.valid), write.data.eq(self.i_address)]
        flags, coming = Signal(_Flags, reset_less=True), Signal(_Flags, reset_less=True)
        with m.If(step.valid):
            m.d.sync += write.addr.eq(write.addr + 1)
            with m.If(place == 0):
                m.d.sync += coming.first.eq(step.first)
        # The last chunk of a kernel row reaches beyond it.
        chunks_left = Signal(16, reset_less=True)
        single, tail = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += single.eq(self.descriptor.kernel_columns == 1)
        with m.If(self.start):
            m.d.sync += [chunks_left.eq(self.descriptor.kernel_columns), tail.eq(self.descriptor.kernel_columns == 1)]
        with m.Elif(step.valid & at_end & tail):
            m.d.sync += [chunks_left.eq(self.descriptor.kernel_columns), tail.eq(single)]
        with m.Elif(step.valid & at_end):
            m.d.sync += [chunks_left.eq(chunks_left - 1), tail.eq(chunks_left == 2)]
        kept = Signal(config.rows, reset_less=True)
        m.d.sync += kept.eq(Cat(self.descriptor.last_bytes > byte for byte in range(config.rows)))

        complete = Signal()
        m.d.comb += complete.eq(step.valid & at_end)
        turn = Signal(Turn)
        turning, tile = Signal(), Signal(range(XNOR_TILES))
        tile_end = Signal()
        with m.If(complete):
            m.d.sync += [turning.eq(1), tile.eq(0), tile_end.eq(0), flags.eq(coming)]
            m.d.sync += [flags.last.eq(step.last), flags.marks.eq(step.marks)]
        with m.Elif(turning):
            m.d.sync += [turning.eq(~tile_end), tile.eq(tile + 1), tile_end.eq(tile == less_two)]
        with m.If(turning):
            m.d.sync += read.addr.eq(read.addr + 1)
        m.d.comb += [
            self.o_address.eq(delay(m, read.data, 1, name="address")),
            turn.valid.eq(turning),
            turn.swap.eq(tile == 0),
            turn.first.eq(flags.first),
            turn.last.eq(flags.last),
            turn.tile.eq(tile),
            turn.corrects.eq(serial & (tile < self.descriptor.operand.planes.tiles)),
            turn.binary.eq(~serial),
            turn.end.eq(tile_end),
            turn.marks.eq(flags.marks),
            self.o_turn.eq(delay(m, turn, self._word_latency - 1, name="turn")),
        ]
        # Of numbers of several bits the padding counts: it is zero.
        load, late = Signal(ActivationLoad(config)), Signal(ActivationLoad(config))
        m.d.comb += [
            load.take.eq(taking & step.valid.replicate(config.xnor_pixels)),
            load.word.eq(self.i_activations),
            load.inside.eq((self.i_inside | serial.replicate(config.rows)) & (kept | ~tail.replicate(config.rows))),
            late.eq(delay(m, load, self._word_latency, name="load")),
            self.o_load.eq(late),
        ]
        # What the sums begin with, as late as the words.
        bits = Cat(Const(0, 3), self._total(m, list(load.inside), "counting"))
        ones = self._total(m, self._ones(m, load), "ones", stages=2)
        plain, corrected = (Signal.like(getattr(late, name), name=name, reset_less=True) for name in ("plain", "corrected"))
        m.d.sync += [plain.eq(-(bits >> 1)), corrected.eq(ones - bits)]
        m.d.comb += [self.o_load.plain.eq(plain), self.o_load.corrected.eq(corrected)]
        return m

    def _ones(self, m, load):
        """How many bits of each byte are 1 of those that count, two cycles late."""
        inside = delay(m, load.inside, 1, name="ones_inside")
        counts = []
        for byte, bits in enumerate(load.word):
            # A half of a byte is what a LUT4 looks at: no adder for it.
            halves = []
            for half in range(2):
                ones = Signal(range(_HALF + 1), name=f"ones_{byte}_{half}", reset_less=True)
                m.d.sync += ones.eq(_ONES[Value.cast(bits)[half * _HALF : (half + 1) * _HALF]])
                halves.append(ones)
            count = Signal(range(BYTE_BITS + 1), name=f"ones_{byte}", reset_less=True)
            m.d.sync += count.eq(Mux(inside[byte], halves[0] + halves[1], 0))
            counts.append(count)
        return counts

    def _total(self, m, numbers, name, stages=0):
        """The sum of numbers that are `stages` cycles late, a cycle before the words go on."""
        while len(numbers) > 1:
            sums = []
            for place, (one, other) in enumerate(zip(numbers[::2], numbers[1::2], strict=True)):
                total = Signal(len(one) + 1, name=f"{name}_{stages}_{place}", reset_less=True)
                m.d.sync += total.eq(one + other)
                sums.append(total)
            numbers = sums
            stages += 1
        return delay(m, numbers[0], self._word_latency - 1 - stages, name=name)

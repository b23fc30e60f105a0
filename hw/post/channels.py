"""Channel parameters: bias, multiplier and shift of every output channel, at the requantizer in time.

memory (a bank a lane) --> next tile's registers --> this tile's registers --> lanes
"""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..config import ACCUMULATOR_BITS, XNOR_TILES, FabricConfig
from ..delay import delay
from ..isa import CHANNEL_BIAS_PLACE
from ..primitives.bank import Bank
from ..primitives.copies import copies
from .requantize import Channel

_WORD_BITS = 36
_LANES_A_GROUP = 4
_CHANNEL_WORDS = 2


class ChannelParameters(wiring.Component):
    """Holds the parameters of all tiles and hands out those of the current one.

    Members: `i` takes three words a channel (shift, bias, multiplier) from tile entry `load_entry` on, set by `load_at`.
    `start` fetches the entries from `entry` on; `advance` moves on to the next one, which `o` is `ADVANCE_LATENCY` cycles
    later and which must be fetched by then: `FabricConfig.tile_cycles` after the last. `o` is the current tile's channels. With
    `cycle`, which holds still, the first one comes again behind so many entries.

    A start with `scan` gives biases alone instead, from `entry` on, those of `requant_lanes` channels a cycle: with `scanned`,
    the first ones `SCAN_LATENCY` cycles later. It ends behind as many tiles as the engine holds, or with the next start.
    """

    ADVANCE_LATENCY = 4

    SCAN_LATENCY = 1 + Bank.LATENCY

    @staticmethod
    def load_latency_of(config: FabricConfig) -> int:
        """Cycles from the last word on `i` until its entry may be fetched: a bank after the other gets it."""
        return config.requant_lanes + 3

    def __init__(self, config: FabricConfig):
        self._config = config
        self._channel = Channel(config.bias_bits)
        assert self._channel.size <= _CHANNEL_WORDS * _WORD_BITS
        super().__init__(
            {
                "i": In(stream.Signature(32)),
                "load_at": In(1),
                "load_entry": In(range(config.tile_depth)),
                "start": In(1),
                "scan": In(1),
                "entry": In(range(config.tile_depth)),
                "advance": In(1),
                "cycle": In(range(XNOR_TILES)),
                "o": Out(data.ArrayLayout(self._channel, config.cols)),
                "scanned": Out(1),
                "o_biases": Out(data.ArrayLayout(signed(ACCUMULATOR_BITS), config.requant_lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        beats, lanes = config.beats, config.requant_lanes
        words = _CHANNEL_WORDS * beats
        depth = config.tile_depth * words
        banks = [Bank(width=_WORD_BITS, depth=depth, site=f"channels_{lane}") for lane in range(lanes)]
        for lane, bank in enumerate(banks):
            m.submodules[f"bank_{lane}"] = bank
        self._load(m, banks)

        # Fetch `words` words into `coming`, one a cycle, as soon as what it holds has its turn: a one walks along with them.
        # The first of them comes a cycle after that turn has reached the lanes.
        pointer = Signal(range(depth))
        next_tile, begin = Signal(), Signal()
        (start,) = copies(m, platform, self.start, 1, name="start")
        fresh = Signal()  # the first entry since `start`: it becomes the current one by itself
        m.d.comb += [begin.eq(start | next_tile)]
        walk = [Signal(name=f"walk_{word}") for word in range(words + Bank.LATENCY)]
        assert Bank.LATENCY == 2
        m.d.sync += walk[0].eq(begin & ~self.start)
        for sooner, later in pairwise(walk):
            m.d.sync += later.eq(sooner & ~self.start & ~start)
        m.d.sync += next_tile.eq(self.advance | (fresh & walk[-1] & ~self.start & ~start))
        unscanned = Signal(range(XNOR_TILES * beats + 1))
        scanning = unscanned.any() if config.xnor_pixels else Const(0)
        with m.If(self.start):
            m.d.sync += [pointer.eq(self.entry << ceil_log2(words)), fresh.eq(1)]
            m.d.sync += unscanned.eq(Mux(self.scan, XNOR_TILES * beats, 0))
        with m.Elif(scanning):
            m.d.sync += [pointer.eq(pointer + _CHANNEL_WORDS), unscanned.eq(unscanned - 1)]
        with m.Else():
            m.d.sync += pointer.eq(pointer + Cat(walk[:words]).any())
            with m.If(next_tile):
                m.d.sync += fresh.eq(0)
        if config.plane_limit:
            self._begin_anew(m, pointer, walk[words - 1], ceil_log2(words))

        coming = Signal(data.ArrayLayout(self._channel, config.cols), reset_less=True)
        current = Signal.like(coming)
        turns = self._spread(m, platform, next_tile, name="turn")
        for word in range(words):
            beat, part = divmod(word, _CHANNEL_WORDS)
            # The walk's copies come two cycles late, so they are those of two places before.
            arrived = self._spread(m, platform, walk[word + Bank.LATENCY - 2], name=f"arrived_{word}")
            for lane, bank in enumerate(banks):
                target = coming[beat * lanes + lane].as_value()[part * _WORD_BITS : (part + 1) * _WORD_BITS]
                with m.If(arrived[lane]):
                    m.d.sync += target.eq(bank.o_data)
        for lane, bank in enumerate(banks):
            m.d.comb += bank.i_address.eq(pointer)
            for channel in range(lane, config.cols, lanes):
                with m.If(turns[lane]):
                    m.d.sync += current[channel].eq(coming[channel])
        m.d.comb += self.o.eq(current)
        # A bias is in the first word of its channel.
        arriving = scanning
        for stage in range(Bank.LATENCY):
            arrived = Signal(name=f"scanned_{stage}")  # not `delay`: a start ends the scan before it
            m.d.sync += arrived.eq(arriving & ~self.start)
            arriving = arrived
        m.d.comb += self.scanned.eq(arriving)
        for lane, bank in enumerate(banks):
            m.d.comb += self.o_biases[lane].eq(bank.o_data[:ACCUMULATOR_BITS].as_signed())
        return m

    def _begin_anew(self, m, pointer, fetched, shift):
        """Takes the pointer back to the first entry where `fetched` says that the last one of a cycle has come."""
        first, place, last = Signal.like(pointer), Signal(range(XNOR_TILES)), Signal()
        with m.If(self.start):
            m.d.sync += [first.eq(self.entry << shift), place.eq(0), last.eq(0)]
        with m.Elif(fetched & last):
            m.d.sync += [pointer.eq(first), place.eq(0), last.eq(0)]
        with m.Elif(fetched):
            m.d.sync += [place.eq(place + 1), last.eq(place + 2 == self.cycle)]

    def _spread(self, m, platform, bit, *, name):
        """A copy for every lane, two cycles late: the lanes lie along the whole chip, so it takes two steps to reach them."""
        lanes = self._config.requant_lanes
        groups = copies(m, platform, bit, -(-lanes // _LANES_A_GROUP), name=f"{name}_group")
        return [copies(m, platform, groups[lane // _LANES_A_GROUP], 1, name=f"{name}_{lane}")[0] for lane in range(lanes)]

    def _load(self, m, banks):
        """Collects a channel's three stream words, and writes its memory words into its lane's bank."""
        config = self._config
        beats, lanes = config.beats, config.requant_lanes
        # `load_at` sets them.
        part = Signal(range(3), reset_less=True)
        lane = Signal(range(max(lanes, 2)), reset_less=True)
        address = Signal(range(config.tile_depth * beats), reset_less=True)
        given = Signal(self._channel, reset_less=True)
        more = Signal(max(config.bias_bits - 32, 0), reset_less=True)  # of the bias, which came with the shift
        whole = Signal(reset_less=True)
        m.d.comb += self.i.ready.eq(1)
        m.d.sync += whole.eq(self.i.valid & (part == 2) & ~self.load_at)
        with m.If(self.i.valid), m.Switch(part):
            with m.Case(0):
                m.d.sync += [given.shift.eq(self.i.payload), more.eq(self.i.payload[CHANNEL_BIAS_PLACE:]), part.eq(1)]
            with m.Case(1):
                m.d.sync += [given.bias.eq(Cat(self.i.payload, more)), part.eq(2)]
            with m.Default():
                m.d.sync += [given.multiplier.eq(self.i.payload), part.eq(0)]
        with m.If(whole):
            m.d.sync += lane.eq(lane + 1)
            with m.If(lane == lanes - 1):
                m.d.sync += [lane.eq(0), address.eq(address + 1)]
        with m.If(self.load_at):
            m.d.sync += [part.eq(0), lane.eq(0), address.eq(self.load_entry << ceil_log2(beats))]

        # Both words of a channel, one after the other: the next channel takes three cycles to come.
        second = delay(m, whole, 1, name="second")
        bits = given.as_value()
        upper = delay(m, bits[_WORD_BITS:], 1, name="upper")
        target, place = delay(m, lane, 1, name="lane"), delay(m, address, 1, name="address")
        layout = data.StructLayout({"enable": 1, "lane": lane.shape(), "at": len(address) + 1, "word": _WORD_BITS})
        write = Signal(layout)
        m.d.comb += [
            write.enable.eq(whole | second),
            write.lane.eq(Mux(second, target, lane)),
            write.at.eq(Mux(second, Cat(1, place), Cat(0, address))),
            write.word.eq(Mux(second, upper, bits[:_WORD_BITS])),
        ]
        # From bank to bank, which lie along the chip.
        for index, bank in enumerate(banks):
            write = delay(m, write, 1, name=f"write_{index}")
            m.d.comb += [
                bank.write.enable.eq(write.enable & (write.lane == index)),
                bank.write.address.eq(write.at),
                bank.write.data.eq(write.word),
            ]

"""Channel parameters: bias, multiplier and shift of every output channel, at the requantizer in time.

memory (requant_lanes wide) --> next tile's registers --> this tile's registers --> lanes
"""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..config import FabricConfig
from ..isa import SHIFT_BITS
from .requantize import Channel

_SPLIT = 4  # bits of the shift that ride with the bias, so that both words of a channel fill block RAM's 36 bits


class ChannelParameters(wiring.Component):
    """Holds the parameters of all tiles and hands out those of the current one.

    Members: `i` takes three words a channel (shift, bias, multiplier) from tile entry `load_entry` on, set by `load_at`.
    `start` fetches the entries from `entry` on; `advance` moves on to the next one in the next cycle, which must be fetched
    by then: `FabricConfig.tile_cycles` after the last. `o` is the current tile's channels.
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(32)),
                "load_at": In(1),
                "load_entry": In(range(config.tile_depth)),
                "start": In(1),
                "entry": In(range(config.tile_depth)),
                "advance": In(1),
                "o": Out(data.ArrayLayout(Channel, config.cols)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        beats, lanes = config.beats, config.requant_lanes
        words = 2 * beats
        m.submodules.memory = memory = Memory(
            shape=data.ArrayLayout(unsigned(32 + _SPLIT), lanes), depth=config.tile_depth * words, init=[]
        )
        self._load(m, memory)

        # Fetch `words` words into `coming`, one a cycle, whenever it is empty.
        read = memory.read_port()
        pointer = Signal(range(config.tile_depth * words))
        index = Signal(range(words))
        fetching = Signal()
        arriving = Signal()
        arrived = Signal(range(words))
        fresh = Signal()  # the first entry since `start`: it becomes the current one by itself
        coming = Signal(data.ArrayLayout(Channel, config.cols))
        complete = Signal()
        m.d.comb += read.addr.eq(pointer)
        m.d.sync += [arriving.eq(fetching), arrived.eq(index), complete.eq(arriving & (arrived == words - 1))]
        with m.If(fetching):
            m.d.sync += [pointer.eq(pointer + 1), index.eq(index + 1)]
            with m.If(index == words - 1):
                m.d.sync += [index.eq(0), fetching.eq(0)]
        with m.If(arriving):
            for beat in range(beats):
                for lane in range(lanes):
                    channel, word = coming[beat * lanes + lane], read.data[lane]
                    with m.If(arrived == 2 * beat):
                        m.d.sync += [channel.bias.eq(word[:32]), channel.shift[:_SPLIT].eq(word[32:])]
                    with m.If(arrived == 2 * beat + 1):
                        m.d.sync += [channel.multiplier.eq(word[:31]), channel.shift[_SPLIT:].eq(word[31:])]

        next_tile = Signal()
        m.d.comb += next_tile.eq(self.advance | (fresh & complete))
        with m.If(next_tile):
            m.d.sync += [self.o.eq(coming), fetching.eq(1), fresh.eq(0)]
        with m.If(self.start):
            m.d.sync += [
                pointer.eq(self.entry << ceil_log2(words)),
                index.eq(0),
                fetching.eq(1),
                arriving.eq(0),
                complete.eq(0),
                fresh.eq(1),
            ]
        return m

    def _load(self, m, memory):
        """Writes a lane's two memory words as its three stream words come in."""
        config = self._config
        beats, lanes = config.beats, config.requant_lanes
        write = memory.write_port(granularity=1)
        part = Signal(range(3))
        lane = Signal(range(max(lanes, 2)))
        address = Signal(range(config.tile_depth * beats))
        shift = Signal(signed(SHIFT_BITS))
        m.d.comb += [
            self.i.ready.eq(1),
            write.addr.eq((address << 1) | (part == 2)),
        ]
        for index in range(lanes):
            with m.If(part == 1):
                m.d.comb += write.data[index].eq(self.i.payload | (shift[:_SPLIT] << 32))
            with m.Else():
                m.d.comb += write.data[index].eq(self.i.payload[:31] | (shift[_SPLIT:] << 31))
            m.d.comb += write.en[index].eq(self.i.valid & (part != 0) & (lane == index))
        with m.If(self.i.valid), m.Switch(part):
            with m.Case(0):
                m.d.sync += [shift.eq(self.i.payload), part.eq(1)]
            with m.Case(1):
                m.d.sync += part.eq(2)
            with m.Default():
                m.d.sync += [part.eq(0), lane.eq(lane + 1)]
                with m.If(lane == lanes - 1):
                    m.d.sync += [lane.eq(0), address.eq(address + 1)]
        with m.If(self.load_at):
            m.d.sync += [part.eq(0), lane.eq(0), address.eq(self.load_entry << ceil_log2(beats))]

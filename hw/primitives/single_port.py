"""A large memory with one port: SB_SPRAM256KA on the iCE40 UltraPlus, 16,384 words of 16 bits each."""

from amaranth.hdl import Cat, ClockSignal, Instance, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from . import is_ultra_plus

_BYTE = 8
_WIDTH = 16
_DEPTH = 16384


class SinglePortMemory(wiring.Component):
    """`depth` words of `width` bits, a multiple of 16; in a cycle it reads or writes.

    Members: `i_address`; with `i_write` the bytes of `i_data` that `i_bytes` marks are written, else `o_data` is the word in
    the next cycle. What `o_data` is after a write, and what a word holds that was never written, is not defined.
    """

    def __init__(self, *, width: int, depth: int):
        if width % _WIDTH:
            raise ValueError(f"a single-port memory's width must be a multiple of {_WIDTH}, not {width}")
        self._width = width
        self._depth = depth
        super().__init__(
            {
                "i_address": In(ceil_log2(depth)),
                "i_write": In(1),
                "i_bytes": In(width // _BYTE),
                "i_data": In(width),
                "o_data": Out(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if is_ultra_plus(platform):
            self._spram(m)
            return m
        m.submodules.memory = memory = Memory(shape=self._width, depth=self._depth, init=[])
        read, write = memory.read_port(), memory.write_port(granularity=_BYTE)
        m.d.comb += [
            read.addr.eq(self.i_address),
            read.en.eq(~self.i_write),
            write.addr.eq(self.i_address),
            write.data.eq(self.i_data),
            write.en.eq(Mux(self.i_write, self.i_bytes, 0)),
            self.o_data.eq(read.data),
        ]
        return m

    def _spram(self, m):
        banks = -(-self._depth // _DEPTH)
        place = ceil_log2(min(self._depth, _DEPTH))
        bank = Signal(range(max(banks, 2)))
        read_bank = Signal.like(bank)
        m.d.comb += bank.eq(self.i_address[place:])
        m.d.sync += read_bank.eq(bank)
        words = []
        for index in range(banks):
            lanes = []
            for low in range(0, self._width, _WIDTH):
                out = Signal(_WIDTH, name=f"out_{index}_{low}")
                strobes = self.i_bytes[low // _BYTE : (low + _WIDTH) // _BYTE]
                m.submodules[f"spram_{index}_{low}"] = Instance(
                    "SB_SPRAM256KA",
                    i_CLOCK=ClockSignal(),
                    i_ADDRESS=Cat(self.i_address[:place], *[0] * (14 - place)),
                    i_DATAIN=self.i_data[low : low + _WIDTH],
                    i_MASKWREN=Cat(strobe.replicate(2) for strobe in strobes),  # a bit for every four
                    i_WREN=self.i_write,
                    i_CHIPSELECT=bank == index,
                    i_STANDBY=0,
                    i_SLEEP=0,
                    i_POWEROFF=1,  # active low
                    o_DATAOUT=out,
                )
                lanes.append(out)
            words.append(Cat(*lanes))
        m.d.comb += self.o_data.eq(words[0])
        for index in range(1, banks):
            with m.If(read_bank == index):
                m.d.comb += self.o_data.eq(words[index])

"""A memory with an output register: DP16KD on the ECP5, whose own register counts and is not inferred.

One write port and one read port. Shallow memories become distributed RAM, as the tools infer it.
"""

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from ..delay import delay
from . import is_ecp5, placed_at

_ADDRESS_BITS = 14  # of the primitive: in bits, whatever the width
_WIDTHS = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))  # by depth
_HALF = 18
_DISTRIBUTED_DEPTH = 64


class BankWrite(wiring.Signature):
    """One write: a word, its address, and a strobe."""

    def __init__(self, *, width: int, depth: int):
        super().__init__({"enable": Out(1), "address": Out(ceil_log2(depth)), "data": Out(width)})


class Bank(wiring.Component):
    """`depth` words of `width` bits: `o_data` is the word at `i_address`, `LATENCY` cycles later.

    A word can be read in the cycle after it was written; what a read of the word gives that is written in the same cycle is
    not defined. Contents begin as zeros. `site` is the name under which a floorplan may place it; where the memory takes
    several blocks, the k-th is `site.k`.
    """

    LATENCY = 2

    def __init__(self, *, width: int, depth: int, site: str = ""):
        self._width = width
        self._depth = depth
        self._site = site
        super().__init__(
            {
                "i_address": In(ceil_log2(depth)),
                "o_data": Out(width),
                "write": In(BankWrite(width=width, depth=depth)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if is_ecp5(platform) and _DISTRIBUTED_DEPTH < self._depth <= _WIDTHS[-1][0]:
            self._ecp5(m, platform)
            return m
        m.submodules.memory = memory = Memory(shape=self._width, depth=self._depth, init=[])
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            read.addr.eq(self.i_address),
            write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
            write.en.eq(self.write.enable),
        ]
        m.d.comb += self.o_data.eq(delay(m, read.data, 1, name="read"))
        return m

    def _ecp5(self, m, platform):
        width = next(width for depth, width in _WIDTHS if self._depth <= depth)
        count = -(-self._width // width)
        for index in range(count):
            low = index * width
            bits = min(width, self._width - low)
            site = self._site if count == 1 else f"{self._site}.{index}"
            data = self._block(m, index, width, self.write.data[low : low + bits], placed_at(platform, site))
            m.d.comb += self.o_data[low : low + bits].eq(data[:bits])

    def _block(self, m, index, width, write_data, place):
        """One DP16KD: port A writes, port B reads. Gives what it reads."""
        wide = width == 2 * _HALF  # both ports' data serve one port
        unused = _ADDRESS_BITS - exact_log2(next(depth for depth, bits in _WIDTHS if bits == width))
        enables = -(-width // 9) if width >= _HALF else 0  # byte enables lie on the address bits that a wide word has not
        enable = self.write.enable
        write_address, read_address = Signal(_ADDRESS_BITS, name=f"wa_{index}"), Signal(_ADDRESS_BITS, name=f"ra_{index}")
        given = Signal(2 * _HALF, name=f"wd_{index}")
        a, b = Signal(_HALF, name=f"doa_{index}"), Signal(_HALF, name=f"dob_{index}")
        m.d.comb += [
            write_address.eq(Cat(enable.replicate(enables), Const(0, unused - enables), self.write.address)),
            read_address.eq(Cat(Const(0, unused), self.i_address)),
            given.eq(write_data),
        ]
        ports = {f"i_ADA{bit}": write_address[bit] for bit in range(_ADDRESS_BITS)}
        ports |= {f"i_ADB{bit}": read_address[bit] for bit in range(_ADDRESS_BITS)}
        for bit in range(_HALF):
            ports |= {f"i_DIA{bit}": given[bit], f"i_DIB{bit}": given[_HALF + bit] if wide else 0}
            ports |= {f"o_DOA{bit}": a[bit], f"o_DOB{bit}": b[bit]}
        for side in "AB":
            ports |= {f"p_DATA_WIDTH_{side}": width, f"p_REGMODE_{side}": "OUTREG" if wide or side == "B" else "NOREG"}
            ports |= {f"p_WRITEMODE_{side}": "NORMAL", f"p_CSDECODE_{side}": "0b000", f"p_CLK{side}MUX": f"CLK{side}"}
            ports |= {f"i_CLK{side}": ClockSignal(), f"i_CE{side}": 1, f"i_OCE{side}": 1, f"i_RST{side}": 0}
            ports |= {f"i_CS{side}{bit}": 0 for bit in range(3)}
        m.submodules[f"dp16kd_{index}"] = Instance(
            "DP16KD",
            p_RESETMODE="SYNC",
            p_ASYNC_RESET_RELEASE="SYNC",
            p_GSR="DISABLED",
            i_WEA=1 if wide else enable,
            i_WEB=0,
            **ports,
            **place,
        )
        return Cat(a, b) if wide else b

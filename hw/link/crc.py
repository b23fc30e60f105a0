"""CRC-32 (IEEE 802.3): the one of zlib, Ethernet and PNG."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

POLYNOMIAL = 0xEDB88320
"""Bit-reversed: the least significant bit of a byte goes first."""

RESIDUE = 0xFFFFFFFF


class Crc32(wiring.Component):
    """One bit a cycle: 8 cycles a byte.

    Members: `strobe` takes `byte` while `idle`, as the first one where `first` is high; `crc` is what zlib.crc32 gives for the
    bytes so far, valid while `idle`.
    """

    CYCLES = 8

    byte: In(8)
    strobe: In(1)
    first: In(1)
    idle: Out(1, init=1)
    crc: Out(32)

    def elaborate(self, platform):
        m = Module()
        state = Signal(32)
        bits = Signal(8)
        left = Signal(range(self.CYCLES))
        m.d.comb += self.crc.eq(~state)
        with m.If(self.strobe):
            m.d.sync += [bits.eq(self.byte), left.eq(self.CYCLES - 1), self.idle.eq(0)]
            with m.If(self.first):
                m.d.sync += state.eq(RESIDUE)
        with m.Elif(~self.idle):
            shifted = state[1:]
            m.d.sync += [
                state.eq(Mux(state[0] ^ bits[0], shifted ^ POLYNOMIAL, shifted)),
                bits.eq(Cat(bits[1:], bits[0])),
                left.eq(left - 1),
                self.idle.eq(left == 0),
            ]
        return m

"""Activation memory of the compact fabric: two bytes wide, one port.

Who uses the port in a cycle, first come those that cannot wait: the walker's byte, the store's word, the requantizer's byte,
the loader's word.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import FabricConfig
from ..memory.activations import ActivationWrite
from ..primitives.single_port import SinglePortMemory
from .walker import ByteRead


class ByteMemory(wiring.Component):
    """`activation_bytes` bytes.

    Members
    -------
    read, o_byte    the walker's byte, one cycle later; a byte that `read` does not need is the other half of the last word
    half, use_half, o_half   16 bits at twice `half`, one cycle later, while `use_half` is high
    write, address, byte     takes a byte, which waits until the port is free; `waiting` says that it does
    load, load_ready         takes the four bytes of a stream word
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "read": In(ByteRead(config)),
                "o_byte": Out(signed(8)),
                "half": In(config.activation_address_bits - 1),
                "use_half": In(1),
                "o_half": Out(16),
                "write": In(1),
                "address": In(config.activation_address_bits),
                "byte": In(signed(8)),
                "waiting": Out(1),
                "load": In(ActivationWrite(config)),
                "load_ready": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = SinglePortMemory(width=16, depth=self._config.activation_bytes // 2)

        # Read
        pad, inside = Signal(signed(8), reset_less=True), Signal(reset_less=True)
        fresh, odd = Signal(), Signal(reset_less=True)
        upper = Signal(8, reset_less=True)
        m.d.sync += [
            pad.eq(self.read.pad),
            inside.eq(self.read.inside),
            fresh.eq(self.read.needed),
            odd.eq(self.read.address[0]),
        ]
        with m.If(fresh):
            m.d.sync += upper.eq(memory.o_data[8:])
        stored = Mux(fresh, memory.o_data.word_select(odd, 8), upper)
        m.d.comb += [self.o_byte.eq(Mux(inside, stored, pad)), self.o_half.eq(memory.o_data)]

        # Write
        address, byte = Signal.like(self.address), Signal.like(self.byte)
        second = Signal()  # half of the loader's word
        with m.If(self.read.needed):
            m.d.comb += memory.i_address.eq(self.read.address[1:])
        with m.Elif(self.use_half):
            m.d.comb += memory.i_address.eq(self.half)
        with m.Elif(self.waiting):
            m.d.comb += [
                memory.i_address.eq(address[1:]),
                memory.i_write.eq(1),
                memory.i_bytes.eq(Cat(~address[0], address[0])),
            ]
            m.d.sync += self.waiting.eq(0)
        with m.Else():
            m.d.comb += [
                memory.i_address.eq(self.load.address[1:] | second),
                memory.i_write.eq(self.load.enable),
                memory.i_bytes.eq(0b11),
                self.load_ready.eq(second),
            ]
            with m.If(self.load.enable):
                m.d.sync += second.eq(~second)
        given = [Cat(*(value.as_unsigned() for value in self.load.data[2 * half : 2 * half + 2])) for half in range(2)]
        m.d.comb += memory.i_data.eq(Mux(self.waiting, byte.as_unsigned().replicate(2), Mux(second, given[1], given[0])))
        with m.If(self.write):
            m.d.sync += [self.waiting.eq(1), address.eq(self.address), byte.eq(self.byte)]
        return m

"""Partial sums: where a reduction waits while the weight buffer takes the rest of its weights."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import FabricConfig
from ..engine import Results


class PartialSums(wiring.Component):
    """Adds waiting sums to results (`add`), keeps the totals (`keep`) or hands them on, in the order in which they come.

    The k-th result since `start` belongs to entry k. `o` follows `i` by `LATENCY` cycles; where `keep` is high `o.valid`
    stays low and `kept` marks the layer's last result.
    """

    LATENCY = 2

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "add": In(1),
                "keep": In(1),
                "i": In(Results(config)),
                "o": Out(Results(config)),
                "kept": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        layout = data.ArrayLayout(signed(config.accumulator_bits), config.cols)
        m.submodules.memory = memory = Memory(shape=layout, depth=config.partial_depth, init=[])
        read = memory.read_port()
        write = memory.write_port()

        index = Signal(range(config.partial_depth))
        with m.If(self.start):
            m.d.sync += index.eq(0)
        with m.Elif(self.i.valid):
            m.d.sync += index.eq(index + 1)
        m.d.comb += read.addr.eq(index)

        valid, marks, place = Signal(), Signal.like(self.i.marks), Signal.like(index)
        sums = Signal(layout)
        total_place = Signal.like(index)
        total_valid = Signal()
        m.d.sync += [
            valid.eq(self.i.valid),
            marks.eq(self.i.marks),
            place.eq(index),
            sums.eq(self.i.sums),
            total_valid.eq(valid),
            self.o.marks.eq(marks),
            total_place.eq(place),
        ]
        for channel in range(config.cols):
            m.d.sync += self.o.sums[channel].eq(sums[channel] + Mux(self.add, read.data[channel], 0))
        m.d.comb += [
            self.o.valid.eq(total_valid & ~self.keep),
            self.kept.eq(total_valid & self.keep & self.o.marks.layer_end),
            write.en.eq(total_valid & self.keep),
            write.addr.eq(total_place),
            write.data.eq(self.o.sums),
        ]
        return m

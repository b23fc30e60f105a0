"""Partial sums: where a reduction waits while the weight buffer takes the rest of its weights."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import FabricConfig
from ..delay import delay
from ..engine import Results
from ..primitives.bank import Bank


class PartialSums(wiring.Component):
    """Adds waiting sums to results (`add`), keeps the totals (`keep`) or hands them on, in the order in which they come.

    The k-th result since `start` belongs to entry k. `o` follows `i` by `LATENCY` cycles; where `keep` is high `o.valid`
    stays low and `kept` marks the layer's last result.
    """

    LATENCY = Bank.LATENCY + 1

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
        m.submodules.memory = memory = Bank(width=layout.size, depth=config.partial_depth)

        index = Signal(range(config.partial_depth))
        with m.If(self.start):
            m.d.sync += index.eq(0)
        with m.Elif(self.i.valid):
            m.d.sync += index.eq(index + 1)
        m.d.comb += memory.i_address.eq(index)

        kept = layout(memory.o_data)
        sums = delay(m, self.i.sums, Bank.LATENCY, name="sums")
        total = Signal(layout, reset_less=True)
        add = delay(m, self.add, 1, name="add")
        for channel in range(config.cols):
            m.d.sync += total[channel].eq(sums[channel] + Mux(add, kept[channel], 0))
        valid = delay(m, self.i.valid, self.LATENCY, name="valid")
        marks = delay(m, self.i.marks, self.LATENCY, name="marks")
        keep = delay(m, self.keep, 1, name="keep")
        m.d.comb += [
            self.o.sums.eq(total),
            self.o.marks.eq(marks),
            self.o.valid.eq(valid & ~keep),
            self.kept.eq(valid & keep & marks.layer_end),
            memory.write.enable.eq(valid & keep),
            memory.write.address.eq(delay(m, index, self.LATENCY, name="place")),
            memory.write.data.eq(total),
        ]
        return m

"""The array of the compact fabric: a multiplier with an accumulator for each column, a row of the array a cycle.

byte (an activation, shared) --+--> multiply, accumulate --> o.sums[0]
weights of the row, [0] -------+
                               +--> multiply, accumulate --> o.sums[1]
        ...          [1] ------+
"""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import FabricConfig
from ..primitives.accumulate import Accumulator


class Columns(wiring.Component):
    """`cols` multiply-accumulates a cycle.

    Members: i_activation and i_weights belong to a cycle in which `add` is high. `last` marks a result's last ones: its sums
    are on `o_sums` for the one cycle in which `o_valid` is high, `LATENCY` cycles later. The next result may begin two cycles
    after `last`.
    """

    LATENCY = Accumulator.LATENCY

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "i_activation": In(signed(8)),
                "i_weights": In(data.ArrayLayout(signed(8), config.cols)),
                "add": In(1),
                "last": In(1),
                "o_valid": Out(1),
                "o_sums": Out(data.ArrayLayout(signed(config.accumulator_bits), config.cols)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        last = Signal()
        m.d.sync += [last.eq(self.last), self.o_valid.eq(last)]
        for column in range(self._config.cols):
            m.submodules[f"column_{column}"] = accumulator = Accumulator()
            m.d.comb += [
                accumulator.i_x.eq(self.i_activation),
                accumulator.i_y.eq(self.i_weights[column]),
                accumulator.add.eq(self.add),
                accumulator.clear.eq(self.o_valid),
                self.o_sums[column].eq(accumulator.o),
            ]
        return m

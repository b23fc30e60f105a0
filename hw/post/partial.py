"""Partial sums: where a reduction waits while the weight buffer takes the rest of its weights."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import BYTE_BITS, FabricConfig
from ..delay import delay
from ..engine import Marks, Results
from ..primitives.bank import Bank
from ..primitives.carry import add
from ..primitives.copies import copies

GROUP = 4
"""Channels that share a bank."""


class PartialSums(wiring.Component):
    """Adds waiting sums to results (`add`), keeps the totals (`keep`) or hands them on, in the order in which they come.

    The k-th result since `start` belongs to entry k. `o` follows `i` by `LATENCY` cycles; where `keep` is high `o.valid`
    stays low and `kept` marks the layer's last result; with `scale`, totals are kept times 2**8. `early` and `tile_end`: a
    result, whose marks are `early_marks`, comes on `o`, and a tile's last one, `EARLY` cycles later.
    """

    LATENCY = 1 + Bank.LATENCY + 1
    EARLY = 2

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "add": In(1),
                "keep": In(1),
                "scale": In(1),
                "i": In(Results(config)),
                "o": Out(Results(config, config.total_bits)),
                "kept": Out(1),
                "tile_end": Out(1),
                "early": Out(1),
                "early_marks": Out(Marks),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        number = signed(config.total_bits)
        index = Signal(range(config.partial_depth))
        with m.If(self.start):
            m.d.sync += index.eq(0)
        with m.Elif(self.i.valid):
            m.d.sync += index.eq(index + 1)

        # What holds still for a layer is asked a register before what comes of it.
        keep = delay(m, self.keep, 1, name="keep")
        coming = delay(m, self.i.valid, self.LATENCY - self.EARLY - 1, name="coming")
        coming_marks = delay(m, self.i.marks, self.LATENCY - self.EARLY - 1, name="coming_marks")
        m.d.comb += [
            self.early.eq(delay(m, coming & ~keep, 1, name="early")),
            self.early_marks.eq(delay(m, coming_marks, 1, name="early_marks")),
            self.tile_end.eq(delay(m, coming & ~keep & coming_marks.tile_end, 1, name="tile_end")),
        ]
        valid = delay(m, coming, 1 + self.EARLY, name="valid")
        marks = delay(m, self.early_marks, self.EARLY, name="marks")
        # Each group of channels has a bank and what drives it to itself.
        came = delay(m, self.i.valid, self.LATENCY - 2, name="came")
        groups = -(-config.cols // GROUP)
        places = copies(m, platform, index, groups, name="place")
        written = copies(m, platform, delay(m, index, self.LATENCY - 1, name="index"), groups, name="written")
        strobes = copies(m, platform, delay(m, came & keep, 1, name="kept"), groups, name="strobe")
        adds = copies(m, platform, self.add, config.cols, name="add")
        scales = copies(m, platform, self.scale, groups, name="scale") if config.doubles else None
        sums = delay(m, self.i.sums, self.LATENCY - 1, name="sums")
        for group in range(groups):
            channels = range(group * GROUP, min((group + 1) * GROUP, config.cols))
            layout = data.ArrayLayout(number, len(channels))
            bank = Bank(width=layout.size, depth=config.partial_depth, site=f"partial_{group}")
            m.submodules[f"bank_{group}"] = bank
            kept, total = layout(bank.o_data), Signal(layout, name=f"total_{group}", reset_less=True)
            for place, channel in enumerate(channels):
                name = f"sum_{channel}"
                total_now = add(m, platform, sums[channel], kept[place], number, name=name, y_gate=adds[channel])
                m.d.sync += total[place].eq(total_now)
                m.d.comb += self.o.sums[channel].eq(total[place])
            m.d.comb += [
                bank.i_address.eq(places[group]),
                bank.write.enable.eq(strobes[group]),
                bank.write.address.eq(written[group]),
                bank.write.data.eq(
                    total.as_value() if scales is None else Mux(scales[group], _scaled(total), total.as_value())
                ),
            ]
        m.d.comb += [
            self.o.marks.eq(marks),
            self.o.valid.eq(delay(m, self.early, self.EARLY, name="given")),
            self.kept.eq(valid & keep & marks.layer_end),
        ]
        return m


def _scaled(totals):
    """The bits of totals times 2**8."""
    return Cat((number << BYTE_BITS)[: len(number)] for number in totals)

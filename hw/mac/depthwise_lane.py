"""One channel of the depthwise unit: its window, its weights, its sum.

Each row of the window works a cycle behind the one above, to whose sum it adds its products.
"""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..delay import delay
from ..primitives.copies import copies
from ..primitives.products import CarryDotProduct

KERNEL = 3
"""Rows and columns of the window."""

TAPS = KERNEL * KERNEL
"""Multipliers a channel."""

_SUM_BITS = 19  # of nine products


class Control(data.Struct):
    """What the lanes do. It takes two registers to get there, so all of it is set two cycles before it counts."""

    shift: 1  # the window takes `i_column`
    rows_inside: KERNEL  # which taps of the window lie on the map; the others count as `pad`
    columns_inside: KERNEL
    take: 1  # the weights that come, this row's now and the others' behind it, become the current ones


def _products(sum_shape) -> CarryDotProduct:
    """A row of the window: its products, added to the sum of those above."""
    return CarryDotProduct(signed(8), signed(8), count=KERNEL, sum_shape=sum_shape)


class DepthwiseLane(wiring.Component):
    """One channel: its 3x3 window, its weights, nine multipliers, the sum.

    Members: `control`, which the lane registers; `i_column` (oldest row first) comes in a cycle after `shift`, the window's
    `*_inside` in the cycle after it, the three rows of i_weights one, two and three cycles after `take`. `o` is the sum of the
    window's taps, `SUM_LATENCY` cycles after its `*_inside`, with the weights that were taken up to then.
    """

    SUM_LATENCY = 2 + _products(None).latency + KERNEL - 1

    def __init__(self):
        super().__init__(
            {
                "control": In(Control),
                "i_column": In(data.ArrayLayout(signed(8), KERNEL)),
                "pad": In(signed(8)),
                "i_weights": In(data.ArrayLayout(signed(8), KERNEL)),
                "o": Out(signed(_SUM_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        (control,) = copies(m, platform, self.control, 1, name="control")
        (pad,) = copies(m, platform, self.pad, 1, name="pad")
        above: Value | None = None
        for row in range(KERNEL):
            newest = delay(m, self.i_column[row], row, name=f"column_{row}")
            window = [Signal(signed(8), name=f"window_{row}_{column}", reset_less=True) for column in range(KERNEL)]
            with m.If(control.shift):
                m.d.sync += window[-1].eq(newest)
                m.d.sync += [window[column].eq(window[column + 1]) for column in range(KERNEL - 1)]
            m.submodules[f"row_{row}"] = products = _products(None if above is None else above.shape())
            for column in range(KERNEL):
                weight, tap = (Signal(signed(8), name=f"{name}_{row}_{column}", reset_less=True) for name in ("weight", "tap"))
                with m.If(control.take):
                    m.d.sync += weight.eq(self.i_weights[column])
                inside = control.rows_inside[row] & control.columns_inside[column]
                m.d.sync += tap.eq(Mux(inside, window[column], pad))
                m.d.comb += [products.i_x[column].eq(tap), products.i_y[column].eq(weight)]
            if above is not None:
                m.d.comb += products.i_sum.eq(above)
            above = products.o
            control = delay(m, control, 1, name=f"control_{row}")
        assert above is not None
        assert above.shape() == signed(_SUM_BITS)
        m.d.comb += self.o.eq(above)
        return m

"""From results to planes: of their bits, which the XNOR engine reads of numbers of several bits, or of their two bytes."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import BYTE_BITS, FabricConfig
from ..memory.activations import ActivationWrite


class PlaneWriter(wiring.Component):
    """Writes a result's lowest bits, a plane a cycle.

    Members: `i` is a write of results, a byte each; with `planes`, 2 to `plane_limit`, its address and count are those of the
    lowest plane, in bytes of eight results, and as many writes come out on `o`, the first one at once, each `stride` bytes
    above the one before; the next one on `i` comes behind them. With 0, `o` is `i`. `planes` and `stride` hold still.
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "i": In(ActivationWrite(config)),
                "planes": In(range(config.plane_limit + 1)),
                "stride": In(config.activation_address_bits),
                "o": Out(ActivationWrite(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        limit, lanes = config.plane_limit, config.cols
        several = Signal(reset_less=True)
        m.d.sync += several.eq(self.planes != 0)
        planes = [Cat(result[plane] for result in self.i.data) for plane in range(limit)]

        left, now = Signal(range(limit)), Signal()  # planes that are left, and whether some are
        address, count = (Signal.like(getattr(self.i, name), name=f"late_{name}") for name in ("address", "count"))
        waiting = Signal((limit - 1) * lanes, reset_less=True)
        with m.If(self.i.enable & several):
            m.d.sync += [
                left.eq(self.planes - 1),
                now.eq(1),
                address.eq(self.i.address + self.stride),
                count.eq(self.i.count),
                waiting.eq(Cat(*planes[1:])),
            ]
        with m.Elif(now):
            m.d.sync += [left.eq(left - 1), now.eq(left != 1), address.eq(address + self.stride), waiting.eq(waiting >> lanes)]

        m.d.comb += [
            self.o.enable.eq(self.i.enable | now),
            self.o.address.eq(Mux(now, address, self.i.address)),
            self.o.count.eq(Mux(now, count, self.i.count)),
            Cat(self.o.data).eq(Mux(now, waiting[:lanes], Mux(several, planes[0], Cat(self.i.data)))),
        ]
        return m


class ByteWriter(wiring.Component):
    """Writes results of 16 bits: their upper bytes, and a cycle later, `stride` bytes above, their lower ones less 128.

    Members: `i` is a write of results, a byte each, `lower` what goes with it; with `double`, the next one on `i` comes two
    cycles later at the earliest. Without, `o` is `i`. `double` and `stride` hold still.
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "i": In(ActivationWrite(config)),
                "lower": In(data.ArrayLayout(BYTE_BITS, config.cols)),
                "double": In(1),
                "stride": In(config.activation_address_bits),
                "o": Out(ActivationWrite(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        again = Signal()
        m.d.sync += again.eq(self.i.enable & self.double)
        address = Signal.like(self.i.address, name="late_address", reset_less=True)
        count = Signal.like(self.i.count, name="late_count", reset_less=True)
        lower = Signal.like(Cat(self.lower), name="late_lower", reset_less=True)
        m.d.sync += [address.eq(self.i.address + self.stride), count.eq(self.i.count)]
        # Less 128: an unsigned byte's upper bit the other way round.
        m.d.sync += lower.eq(Cat(Cat(byte[: BYTE_BITS - 1], ~byte[-1]) for byte in self.lower))
        m.d.comb += [
            self.o.enable.eq(self.i.enable | again),
            self.o.address.eq(Mux(again, address, self.i.address)),
            self.o.count.eq(Mux(again, count, self.i.count)),
            Cat(self.o.data).eq(Mux(again, lower, Cat(self.i.data))),
        ]
        return m

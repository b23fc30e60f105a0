"""Registers that stay apart: one driver near each group of readers, instead of a wire across the chip.

Yosys merges registers that compute the same thing, whatever their names and attributes say. It leaves instances alone.
"""

from amaranth.hdl import Cat, ClockSignal, Instance, Module, Signal, Value

from ..delay import delay
from . import is_ecp5, placed_at


def copies(m: Module, platform, value: Value, count: int, *, name: str, site: str = "") -> list[Value]:
    """`count` registers that each hold `value`, one cycle late; they begin as zeros. `site` is the name under which a floorplan
    may place a single one: its k-th bit is `site.k`."""
    if not is_ecp5(platform):
        return [delay(m, value, 1, name=name)] * count
    bits = Value.cast(value)
    result: list[Value] = []
    for index in range(count):
        register = Signal(value.shape(), name=f"{name}_{index}")
        flops = []
        for place in range(len(bits)):
            flops.append(Signal(name=f"{name}_{index}_{place}"))
            m.submodules[f"{name}_{index}_{place}"] = Instance(
                "TRELLIS_FF",
                p_GSR="AUTO",
                p_CEMUX="1",
                p_CLKMUX="CLK",
                p_LSRMUX="LSR",
                p_REGSET="RESET",
                i_CLK=ClockSignal(),
                i_LSR=0,
                i_DI=bits[place],
                o_Q=flops[-1],
                **placed_at(platform, f"{site}.{place}"),
            )
        m.d.comb += register.eq(Cat(*flops))
        result.append(register)
    return result

"""Registers in a row."""

from amaranth.hdl import Module, Signal


def delay(m: Module, value, cycles: int, *, name: str, ones: bool = False):
    """`value` after `cycles` registers of module `m`, which are called `name_d0`, `name_d1`, ...

    A reset leaves them alone, which keeps it off most of the chip: whoever resets a fabric holds it in reset until they have
    run empty.

    With `ones` the registers of a plain value begin as all ones instead of zeros: Yosys merges registers that compute the
    same thing, and turns copies that were meant to stay near their readers into wires across the chip; registers that begin
    differently are not the same thing.
    """
    for stage in range(cycles):
        init = {"init": -1} if ones else {}
        register = Signal(value.shape(), name=f"{name}_d{stage}", reset_less=True, **init)
        m.d.sync += register.eq(value)
        value = register
    return value

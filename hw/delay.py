"""Registers in a row."""

from amaranth.hdl import Module, Signal


def delay(m: Module, value, cycles: int, *, name: str):
    """`value` after `cycles` registers of module `m`, which are called `name_d0`, `name_d1`, ..."""
    for stage in range(cycles):
        register = Signal(value.shape(), name=f"{name}_d{stage}")
        m.d.sync += register.eq(value)
        value = register
    return value

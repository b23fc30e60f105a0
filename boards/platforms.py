"""Amaranth platforms with what amaranth-boards leaves out."""

from amaranth.build import Attrs
from amaranth_boards.orangecrab_r0_2 import OrangeCrabR0_2_25FPlatform, OrangeCrabR0_2_85FPlatform
from amaranth_boards.resources import UARTResource

_FEATHER_UART = [UARTResource(0, rx="0", tx="1", conn=("io", 0), attrs=Attrs(IO_TYPE="LVCMOS33"))]


class OrangeCrab25F(OrangeCrabR0_2_25FPlatform):
    """With a serial port where a Feather has it."""

    resources = OrangeCrabR0_2_25FPlatform.resources + _FEATHER_UART


class OrangeCrab85F(OrangeCrabR0_2_85FPlatform):
    """With a serial port where a Feather has it."""

    resources = OrangeCrabR0_2_85FPlatform.resources + _FEATHER_UART

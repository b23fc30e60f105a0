"""What a chip has: the totals that a fabric must fit into."""

from dataclasses import dataclass

from ..host.cost.resources import Resources


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One FPGA.

    name            the vendor's
    family          `ecp5`, `ice40` or `gowin`: which tools build for it
    resources       LUT4, flip-flops, multipliers and block RAMs that are there
    dsp, bram       what a multiplier and a block RAM are called there
    bram_bits       bits of one block RAM
    """

    name: str
    family: str
    resources: Resources
    dsp: str
    bram: str
    bram_bits: int


def _ecp5(name: str, lut4: int, dsp: int, bram: int) -> Chip:
    resources = Resources(lut4=lut4, ff=lut4, dsp=dsp, bram=bram)
    return Chip(name=name, family="ecp5", resources=resources, dsp="MULT18X18D", bram="DP16KD", bram_bits=18432)


# The 12F is the die of the 25F under another identification code: the tools give the whole of it.
LFE5U_12F = _ecp5("LFE5U-12F", 24_288, 28, 56)
LFE5U_25F = _ecp5("LFE5U-25F", 24_288, 28, 56)
LFE5U_45F = _ecp5("LFE5U-45F", 43_848, 72, 108)
LFE5U_85F = _ecp5("LFE5U-85F", 83_640, 156, 208)
LFE5UM5G_85F = _ecp5("LFE5UM5G-85F", 83_640, 156, 208)

ICE40UP5K = Chip(
    name="iCE40UP5K",
    family="ice40",
    resources=Resources(lut4=5_280, ff=5_280, dsp=8, bram=30),
    dsp="SB_MAC16",
    bram="SB_RAM40_4K",
    bram_bits=4096,
)
"""It also has four SB_SPRAM256KA of 256 Kbit, which are not counted here."""

GW2A_18 = Chip(
    name="GW2A-18",
    family="gowin",
    resources=Resources(lut4=20_736, ff=15_552, dsp=48, bram=46),
    dsp="MULT18X18",
    bram="BSRAM",
    bram_bits=18432,
)

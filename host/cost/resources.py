"""What a fabric takes of a chip: LUT4, flip-flops, multipliers, block RAMs, before any tool runs.

Multipliers and block RAMs follow from the elaborated gateware by the rules with which yosys maps products and memories. LUT4
and flip-flops are fitted to what the placer counts of real syntheses:

    LUT4 = carry weight * carry bits + logic weight * (choices, shifts, bitwise logic, comparisons) + distributed memory
    FF   = register weight * registers

with weights a family in `weights.json`, which `python tests/calibrate.py` makes.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from ...hw.config import FabricConfig

if TYPE_CHECKING:
    from .netlist import Netlist


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Counts of LUT4, flip-flops, multipliers and block RAMs, of a chip or of a design."""

    lut4: int
    ff: int
    dsp: int
    bram: int


@dataclass(frozen=True, kw_only=True)
class _Family:
    """How a family's synthesis maps products and memories.

    multiplier      operand bits of one multiplier, and of a slice of a wider product
    least_product   operand and product bits from which a multiplier is taken
    multipliers     their primitives, where the gateware instances them
    memories        primitives of block RAM, where the gateware instances them
    shapes          depth and width of one block RAM
    has_distributed whether a LUT4 can be a memory
    small           bits up to which a memory becomes logic, for each block RAM that it would take
    """

    multiplier: tuple[int, int]
    least_product: tuple[int, int]
    multipliers: tuple[str, ...]
    memories: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    small: int
    has_distributed: bool


_CLOCK, _BAUD = 100e6, 3e6  # of a serial port; others change a few bits of a counter

_FAMILIES = {
    "ecp5": _Family(
        multiplier=(18, 17),
        least_product=(2, 0),
        multipliers=("MULT18X18D",),
        memories=("DP16KD",),
        shapes=((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
        small=1024,
        has_distributed=True,
    ),
    "ice40": _Family(
        multiplier=(16, 15),
        least_product=(64, 64),  # none is inferred: the gateware instances them
        multipliers=("SB_MAC16",),
        memories=("SB_RAM40_4K", "SB_RAM40_4KNR"),
        shapes=((256, 16), (512, 8), (1024, 4), (2048, 2)),
        small=128,
        has_distributed=False,
    ),
    "gowin": _Family(
        multiplier=(18, 17),
        least_product=(2, 0),
        multipliers=("MULT18X18",),
        memories=("SDPB", "DPB", "SDPX9B", "DPX9B"),
        shapes=((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
        small=1024,
        has_distributed=True,
    ),
}


def families() -> tuple[str, ...]:
    """The families that there is an estimate for."""
    return tuple(_FAMILIES)


@lru_cache(maxsize=128)
def estimate_resources(config: FabricConfig, family: str) -> Resources:
    """What a fabric takes of a chip of `family`, its serial port included. Takes up to two seconds, the second time none."""
    from ...hw.link.device import UartFabric  # loads Amaranth
    from .netlist import Target, count

    return resources_of(count(UartFabric(config, clock_hz=_CLOCK, baud=_BAUD), Target(family)), family)


def resources_of(netlist: "Netlist", family: str) -> Resources:
    """What a counted design takes."""
    rules = _FAMILIES[family]
    weights = json.loads(resources.files(__package__).joinpath("weights.json").read_text())[family]
    blocks = sum(_blocks(memory, rules) for memory in netlist.memories)
    return Resources(
        lut4=round(
            weights["carry"] * carry_bits(netlist) + weights["logic"] * logic_bits(netlist) + distributed_luts(netlist, family)
        ),
        ff=round(weights["register"] * netlist.registers),
        dsp=sum(_multipliers(product, rules) for product in netlist.products) + _counted(netlist, rules.multipliers),
        bram=blocks + _counted(netlist, rules.memories),
    )


def carry_bits(netlist: "Netlist") -> int:
    """Bits of a design that take a carry: those of its sums, and two for every carry cell that it instances."""
    return netlist.carry + 2 * netlist.instances["CCU2C"]


def logic_bits(netlist: "Netlist") -> float:
    """Bits of a design that become LUTs without a carry; two bits compared share one."""
    return netlist.select + netlist.shift + netlist.choose + netlist.logic + netlist.equal / 2


def distributed_luts(netlist: "Netlist", family: str) -> int:
    """LUT4 of the memories that are too small for a block RAM: each gives 16 bits, where the family has such LUTs."""
    rules = _FAMILIES[family]
    small = (memory for memory in netlist.memories if not _blocks(memory, rules))
    return sum(-(-depth // 16) * width for width, depth, _ in small) if rules.has_distributed else 0


def _counted(netlist: "Netlist", names: tuple[str, ...]) -> int:
    return sum(netlist.instances[name] for name in names)


def _multipliers(product: tuple[int, int], rules: _Family) -> int:
    operand, total = rules.least_product
    if min(product) < operand or sum(product) < total:
        return 0
    whole, part = rules.multiplier
    first, second = (1 if bits <= whole else -(-(bits - whole) // part) + 1 for bits in product)
    return first * second


def _blocks(memory: tuple[int, int, int], rules: _Family) -> int:
    width, depth, _ = memory
    blocks = min(-(-width // bits) * -(-depth // words) for words, bits in rules.shapes)
    words = -(-depth // 16) * 16
    return 0 if words * width <= rules.small * blocks else blocks

"""The floorplan of the LFE5U-85F: every multiplier and block RAM of the whole fabric has a place of its own on the chip."""

import itertools
import re
from collections import Counter

import pytest
from amaranth.hdl import Fragment, Instance
from celosia.boards.floorplan import lfe5u_85
from celosia.hw.link.device import UartFabric
from celosia.hw.presets import preset

REGISTER = r"X\d+/Y(21|23|45|47|69|71)/SLICE[ABCD]\.FF[01]"
SITES = {"MULT18X18D": r"X\d+/Y(10|34|58)/MULT18_[0145]", "DP16KD": r"X\d+/Y(22|46|70|82)/EBR[0-3]"}


def _instances(fragment):
    for child, *_ in fragment.subfragments:
        if isinstance(child, Instance):
            yield child
        yield from _instances(child)


class Platform:
    """As much of one as the gateware asks for."""

    family = "ecp5"

    def __init__(self, floorplan):
        self.floorplan = floorplan


@pytest.mark.parametrize("name", ["ecp5-85", "ecp5-85-xnor2", "ecp5-85-16"])
def test_everything_has_a_place_of_its_own(name):
    config = preset(name)
    design = Fragment.get(UartFabric(config, clock_hz=75e6, baud=3e6), Platform(lfe5u_85(config)))
    placed = {kind: [] for kind in SITES}
    registers = []
    for instance in _instances(design):
        if instance.type in SITES:
            placed[instance.type].append(instance.attrs.get("BEL", f"no place for a {instance.type}"))
        elif instance.type == "TRELLIS_FF" and "BEL" in instance.attrs:
            registers.append(instance.attrs["BEL"])
    for kind, places in placed.items():
        assert all(re.fullmatch(SITES[kind], place) for place in places), places
    assert max(Counter(itertools.chain(*placed.values())).values()) == 1
    assert all(re.fullmatch(REGISTER, place) for place in registers), registers
    assert len(registers) == len(set(registers)) == (config.rows * config.pairs * 16 if config.xnor_pixels else 0)
    assert len(placed["MULT18X18D"]) == config.rows * config.pairs + config.requant_lanes


def test_an_array_of_another_shape_has_none():
    with pytest.raises(ValueError, match="does not fit the LFE5U-85F.s 3 rows of 52 multipliers"):
        lfe5u_85(preset("ecp5-25"))

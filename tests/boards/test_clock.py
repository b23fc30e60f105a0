"""PLLs: the dividers are within the data sheets' ranges for every board, and the gateware holds them."""

import re

import pytest
from amaranth.build import Clock as ClockConstraint
from amaranth.hdl import Elaboratable, Module, Signal
from celosia import CapacityError
from celosia.boards import catalogue, clock
from celosia.hw.presets import preset
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

BOARDS = catalogue.boards()
VCO = {"ecp5": (400e6, 800e6), "ice40": (533e6, 1066e6), "gowin": (500e6, 1250e6)}  # from the data sheets


class Blink(Elaboratable):
    """A clock, and one register."""

    def __init__(self, settings, oscillator):
        self._clock = clock.Clock(settings, oscillator)

    def elaborate(self, platform):
        m = Module()
        m.submodules.clock = self._clock
        m.domains += self._clock.sync
        beat = Signal()
        m.d.sync += beat.eq(~beat)
        return m


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_every_board_has_a_clock_near_the_wanted_one(board):
    settings = clock.solve(board.chip.family, board.oscillator[1], board.clock_hz)
    assert 0.98 * board.clock_hz <= settings.clock_hz <= board.clock_hz
    low, high = VCO[board.chip.family]
    assert low <= settings.vco_hz <= high


@hypothesis_settings(deadline=None)
@given(
    family=st.sampled_from(sorted(VCO)),
    oscillator=st.integers(10, 130).map(lambda mega: mega * 1_000_000),
    wanted=st.floats(1e6, 600e6),
)
def test_whatever_is_solved_is_within_the_limits(family, oscillator, wanted):
    try:
        settings = clock.solve(family, oscillator, round(wanted))
    except CapacityError:
        return
    limits = clock.LIMITS[family]
    assert settings.reference in limits.reference
    assert settings.feedback in limits.feedback
    assert settings.output in limits.output
    assert limits.detector[0] <= settings.detector_hz <= limits.detector[1]
    assert VCO[family][0] <= settings.vco_hz <= VCO[family][1]
    assert limits.clock[0] <= settings.clock_hz <= limits.clock[1]
    assert 0.95 * round(wanted) <= settings.clock_hz <= round(wanted) * (1 + 1e-6)


def test_known_settings():
    """As `icepll -i 12 -o 24` and the vendors' generators have them."""
    ice = clock.solve("ice40", 12_000_000, 24_000_000)
    assert (ice.reference, ice.feedback, ice.output, ice.vco_hz) == (1, 64, 32, 768e6)
    ecp = clock.solve("ecp5", 25_000_000, 140_000_000)
    assert (ecp.clock_hz, ecp.vco_hz / ecp.output, ecp.feedback * 25_000_000 / ecp.reference) == (140e6, 140e6, 140e6)


@pytest.mark.parametrize("wanted", [1_000_000, 700_000_000])
def test_a_clock_that_no_pll_makes_is_refused(wanted):
    with pytest.raises(
        CapacityError, match=rf"no clock near {wanted / 1e6:g} MHz from 25 MHz: choose one between 3.125 and 400"
    ):
        clock.solve("ecp5", 25_000_000, wanted)


@pytest.mark.parametrize("name", ["ulx3s-85f", "icebreaker", "tang-primer-20k"])
def test_the_gateware_holds_the_dividers(name):
    board = catalogue.find(name)
    settings = clock.solve(board.chip.family, board.oscillator[1], board.clock_hz)
    platform = board.make_platform(preset(board.preset))
    files = platform.build(Blink(settings, (board.oscillator[0], 0)), name="top", do_build=False).files
    design = files["top.il"]
    design = design if isinstance(design, str) else design.decode()
    expected = {
        "ecp5": {"CLKI_DIV": settings.reference, "CLKFB_DIV": settings.feedback, "CLKOP_DIV": settings.output},
        "ice40": {"DIVR": settings.reference - 1, "DIVF": settings.feedback - 1, "DIVQ": settings.output.bit_length() - 1},
        "gowin": {"IDIV_SEL": settings.reference - 1, "FBDIV_SEL": settings.feedback - 1, "ODIV_SEL": settings.output},
    }[board.chip.family]
    for parameter, value in expected.items():
        assert re.search(rf"parameter (signed )?\\{parameter} {value}\n", design), parameter
    constraint = {"ecp5": "top.lpf", "ice40": "top.pcf"}.get(board.chip.family)
    if constraint:
        assert f"{settings.clock_hz:.1f}" in files[constraint] or f"{settings.clock_hz / 1e6}" in files[constraint]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_oscillator_is_the_platforms(board):
    platform = board.make_platform(preset("mini"))
    resource = platform.lookup(board.oscillator[0], 0)
    assert resource.clock == ClockConstraint(board.oscillator[1]) or resource.clock.frequency == board.oscillator[1]

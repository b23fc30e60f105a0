"""When a router is believed never to reach its clock, read from nextpnr's own lines."""

import pytest
from celosia.boards import find
from celosia.boards.flows.ecp5 import FLOW
from celosia.boards.flows.flow import Choices
from celosia.hw.presets import preset


@pytest.fixture(scope="module")
def patience():
    ulx3s = find("ulx3s-12f")
    platform = ulx3s.make_platform(preset(ulx3s.preset))
    _, place, _ = FLOW.stages(ulx3s, platform, Choices(seed=1, clock_hz=50e6))
    assert set(place.patience.without) <= set(place.arguments)
    return place.patience


@pytest.mark.parametrize(
    ("said", "over"),
    [
        ("    iter=251 wires=1234567 overused=0 overuse=0 tmgfail=3 archfail=NA", True),
        ("    iter=250 wires=1234567 overused=0 overuse=0 tmgfail=3 archfail=NA", False),
        ("    iter=400 wires=1234567 overused=2 overuse=2 tmgfail=0 archfail=NA", False),  # of space, not of time
        ("    iter=400 wires=1234567 overused=2 overuse=2 archfail=NA", False),  # without the option
        ("Routing..", False),
        ("", False),
    ],
)
def test_too_many_iterations_with_connections_too_slow(patience, said, over):
    assert patience.over(said) == over

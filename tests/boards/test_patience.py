"""When a router is believed never to reach its clock, read from nextpnr's own lines, and what is asked for then."""

import json

import pytest
from celosia.boards.flows.ecp5 import Gain, place_and_route

STAGE = place_and_route("--seed", "1")
LPF = (
    'BLOCK ASYNCPATHS;\nFREQUENCY NET "device.linked.core.fabric.clk" 140000000.0 HZ;\nLOCATE COMP "clk25_0__io" SITE "G2";\n'
    'FREQUENCY PORT "clk25_0__io" 25000000.0 HZ;\n'
)


def line(iteration, overused, slow):
    return f"    iter={iteration} wires=1234567 overused={overused} overuse={overused} tmgfail={slow} archfail=NA"


@pytest.mark.parametrize(
    ("left", "ends"),
    [
        ([(900, 40), (20, 7), (0, 3)], 3 + 81),  # what remains is too slow
        ([(900, 40), (1, 0), (0, 3), (1, 0)], 2 + 81),  # one wire too many or three connections too slow, in turns
        ([(900, 40), (20, 0), (2, 0)], None),  # of space, not of time
        ([(900 - gained, 40) for gained in range(300)], None),  # slowly, but it goes on
    ],
)
def test_too_many_iterations_without_gain(left, ends):
    is_over = Gain()
    said = [line(number, *counts) for number, counts in enumerate([*left, *[left[-1]] * (300 - len(left))], 1)]
    over = [number for number, text in enumerate(said, 1) if is_over(text)]
    assert (over[0] if over else None) == ends


def test_other_lines_say_nothing():
    is_over = Gain()
    assert not any(is_over(said) for said in ("", "Routing..", "    iter=400 wires=1234567 overused=2 overuse=2 archfail=NA"))


def test_every_attempt_does_the_same_work():
    attempts = [STAGE, *STAGE.patience.others]
    assert len({frozenset(attempt.arguments) - {"--tmg-ripup"} for attempt in attempts}) == 1
    assert [("--tmg-ripup" in attempt.arguments) for attempt in attempts] == [True, True, True, False]


@pytest.mark.parametrize(("attempt", "part"), [*zip([STAGE, *STAGE.patience.others], [1.005, 0.98, 0.92, 1], strict=True)])
def test_what_is_asked_for_and_the_clock_in_the_report(tmp_path, attempt, part):
    (tmp_path / "top.lpf").write_text(LPF)
    attempt.prepare(tmp_path)
    asked = LPF.replace("140000000.0", f"{140e6 * part:.1f}").replace("25000000.0", f"{25e6 * part:.1f}")
    assert (tmp_path / "top.asked.lpf").read_text() == asked
    assert (tmp_path / "top.lpf").read_text() == LPF
    (tmp_path / "top.report.json").write_text(json.dumps({"fmax": {"clk": {"achieved": 137.25, "constraint": 140 * part}}}))
    attempt.then(tmp_path)
    report = json.loads((tmp_path / "top.report.json").read_text())
    assert report["fmax"]["clk"]["achieved"] == 137.25
    assert report["fmax"]["clk"]["constraint"] == pytest.approx(140)

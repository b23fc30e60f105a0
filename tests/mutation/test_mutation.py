"""The tool that plants faults: it knows where to plant them, its faults are faults, and its tests see them."""

import ast
import subprocess
import sys

import pytest
from mutation import plan, report
from mutation.gateware import HW, Fault, PatternError, planted
from mutation.operators import all_mutants, mutants_of, sample
from mutation.run import Outcome

SOURCE = """
class Block:
    LATENCY = 1 + 2

    def elaborate(self, platform):
        \"\"\"No fault in 1 + 1.\"\"\"
        m.d.comb += self.o.eq(a + b)
        m.d.sync += [x.eq(~y & z), w.eq(Mux(c, d, 5))]
        with m.If(count == 3):
            m.d.sync += [item.eq(0) for item in items]
"""


def test_places_of_faults():
    found = [(mutant.kind, mutant.apply(SOURCE)) for mutant in mutants_of("x.py", SOURCE)]
    texts = [text for _, text in found]
    for kind, expected in [
        ("sign", "self.o.eq(a - b)"),
        ("assignment", "m.d.comb += []"),
        ("assignment", "[*(), w.eq"),
        ("logic", "x.eq(~y | z)"),
        ("logic", "x.eq(y & z)"),
        ("choice", "Mux(c, 5, d)"),
        ("constant", "Mux(c, d, 6)"),
        ("condition", "m.If((count == 3) == 0)"),
        ("compare", "m.If(count != 3)"),
        ("constant", "count == 4"),
        ("sign", "LATENCY = 1 - 2"),
    ]:
        assert sum(name == kind and expected in text for name, text in found) == 1, expected
    assert all("No fault in 1 + 1." in text for text in texts)
    for text in texts:
        ast.parse(text)
    assert len(set(texts)) == len(texts)


def test_an_edit_elsewhere_leaves_the_sample_alone():
    edited = SOURCE.replace("class Block", "# a line more\nclass Block").replace("[x.eq", "[other.eq(x ^ 1), x.eq")
    before, after = ({mutant.key for mutant in mutants_of("x.py", source)} for source in (SOURCE, edited))
    assert before < after
    drawn = sample(list(mutants_of("x.py", SOURCE)), 6, "seed")
    assert [mutant.key for mutant in drawn] == [mutant.key for mutant in sample(list(mutants_of("x.py", SOURCE)), 6, "seed")]
    assert len({mutant.kind for mutant in drawn}) == 6


def test_enough_faults_in_every_block():
    plantings = [*plan.declared(), *plan.drawn()]
    assert len(plantings) >= 100
    assert len({item.number for item in plantings}) == len(plantings)
    assert {item.file for item in plan.drawn()} == set(all_mutants())
    for item in plantings:
        compile(item.source(), item.file, "exec")


def test_every_file_has_tests():
    assert set(plan.TESTS) == set(all_mutants())
    for file in plan.TESTS:
        for name in plan.tests_of(file):
            assert (HW.parent / name.partition("::")[0]).is_file(), name


def test_a_fault_follows_the_gateware():
    fault = Fault(file="link/crc.py", old="no such text", new="", what="nothing")
    with pytest.raises(PatternError, match="stands 0 times in hw/link/crc.py, not once: adapt it"), planted(fault):
        pass


def test_explanations_are_of_faults_that_are_planted():
    keys = {report.key_of(item) for item in (*plan.declared(), *plan.drawn())}
    stale = [key for key in plan.explanations() if key not in keys]
    assert not stale, "tests/mutation/explained.json explains faults that are not planted any more"


def test_report_counts():
    """An equivalent fault counts neither as planted nor as found, one that is merely explained counts as planted."""
    plantings = plan.declared()[:3]
    outcomes = [
        Outcome(planting=item, killed=index == 0, by="t" * (index == 0), seconds=1) for index, item in enumerate(plantings)
    ]
    records = {outcome.planting.number: report.record(outcome) for outcome in outcomes}
    explained = {plantings[1].number: "same: nothing changes", plantings[2].number: "open: nobody looks"}
    assert report.totals(records, explained) == {"planted": 2, "killed": 1, "equivalent": 1}
    text = report.markdown(records, explained)
    assert "1 of 2 faults were found (50.0 %); 1 more" in text
    assert "same: nothing changes" in text
    assert report.unexplained(records.values(), {}) == [plantings[1].number, plantings[2].number]


def test_a_few_faults_are_found_and_none_is_not():
    """In a process of its own, as the real run is: here the gateware is loaded."""
    command = [sys.executable, "-m", "tests.mutation", "--sample", "--workers", "1"]
    result = subprocess.run(command, cwd=HW.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "none: not found" in result.stdout
    assert result.stdout.count("test_") >= len(plan.SAMPLE)

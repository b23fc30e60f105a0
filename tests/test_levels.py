"""The table of blocks and levels is of the tests as they are."""

import re

import levels


def test_the_table_is_up_to_date():
    """It changes with the blocks, the benches, the proofs, and the mutation report."""
    assert levels.LEVELS.read_text() == levels.table(), "make it anew: python -m tests.levels --write"


def test_each_block_has_tests_and_more():
    """What is in none of the other columns is run with the whole fabrics."""
    rows = re.findall(r"^\| `(\S+)` \| (.*) \|$", levels.LEVELS.read_text(), flags=re.MULTILINE)
    assert len(rows) > 50
    for file, cells in rows:
        unit, *_, mutation = (cell.strip() for cell in cells.split(" | "))
        assert unit.startswith("test_"), file
        assert re.fullmatch(r"\d+ of \d+", mutation), file

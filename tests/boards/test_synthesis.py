"""Yosys gives the netlist of the design that it was given."""

import json

from celosia.boards.flows.flow import NAME, synthesis

DESIGN = r"""
attribute \top 1
module \top
  wire input 1 \clk
  wire width 2 input 2 \d
  wire width 2 input 3 \e
  wire width 2 output 4 \q
  wire width 2 \x
  wire width 2 \x[1]
  cell $dff $1
    parameter \WIDTH 2
    parameter \CLK_POLARITY 1
    connect \CLK \clk
    connect \D \d
    connect \Q \x
  end
  cell $dff $2
    parameter \WIDTH 2
    parameter \CLK_POLARITY 1
    connect \CLK \clk
    connect \D \e
    connect \Q \x[1]
  end
  cell $xor $3
    parameter \A_SIGNED 0
    parameter \B_SIGNED 0
    parameter \A_WIDTH 2
    parameter \B_WIDTH 2
    parameter \Y_WIDTH 2
    connect \A \x[1]
    connect \B \x
    connect \Y \q
  end
end
"""
"""q is the XOR of two registers, one of whose names is what the other's bit 1 is called where logic is mapped."""


def test_a_bit_is_not_taken_for_the_element_of_an_array(tmp_path):
    (tmp_path / f"{NAME}.il").write_text(DESIGN)
    synthesis(f"synth_ecp5 -noiopad -top {NAME}").run(tmp_path, tmp_path)
    cells = json.loads((tmp_path / f"{NAME}.json").read_text())["modules"][NAME]["cells"].values()
    assert sum(cell["type"] == "TRELLIS_FF" for cell in cells) == 4

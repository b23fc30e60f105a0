"""Fits the weights of `host/cost/luts.json` to real syntheses: `python tests/calibrate.py [FAMILY...]`, minutes a family.

Prints estimate against synthesis for every fabric, so that the error of the estimate is known.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from celosia.boards import catalogue
from celosia.boards.build import elaborate
from celosia.boards.flows.flow import NAME, Choices, flow_of
from celosia.host.cost.netlist import Target, count
from celosia.host.cost.resources import carry_bits, families, logic_bits, resources_of
from celosia.hw.config import preset
from celosia.hw.fabric import Fabric

WEIGHTS = Path(__file__).parents[1] / "host" / "cost" / "luts.json"
BOARDS = {"ecp5": "ulx3s-85f", "ice40": "icebreaker", "gowin": "tang-primer-20k"}
FABRICS = {
    "ecp5": ("mini,depthwise_tiles=0", "mini", "ecp5-25", "ecp5-45"),
    "ice40": ("mini,depthwise_tiles=0", "mini"),
    "gowin": ("mini,depthwise_tiles=0", "mini"),
}


def synthesise(board, config):
    """LUT4 of a board's whole design after synthesis, carries among them."""
    settings = board.pll()
    platform = board.make_platform(config)
    stage = flow_of(board.chip.family).stages(board, platform, Choices(seed=1, clock_hz=settings.clock_hz))[0]
    with tempfile.TemporaryDirectory(dir=".", prefix=".calibrate-") as name:
        folder = Path(name)
        elaborate(board, config, settings, platform, folder)
        stage.run(folder, folder)
        cells = json.loads((folder / f"{NAME}.stat.json").read_text())["design"]["num_cells_by_type"]
    pairs = {"CCU2C": 2, "TRELLIS_DPR16X4": 6, "LUT4": 1, "ALU": 1, "SB_LUT4": 1, "SB_CARRY": 0}
    small = sum(cells.get(f"LUT{inputs}", 0) for inputs in (1, 2, 3))
    return sum(weight * cells.get(cell, 0) for cell, weight in pairs.items()) + small, cells


def main(chosen):
    weights = json.loads(WEIGHTS.read_text()) if WEIGHTS.exists() else {}
    for family in chosen:
        board = catalogue.find(BOARDS[family])
        rows, counts, netlists = [], [], []
        for name in FABRICS[family]:
            config = preset(name)
            netlist = count(Fabric(config), Target(family))
            luts, cells = synthesise(board, config)
            print(f"{family} {name}: {luts} LUT4, {cells}", flush=True)
            rows.append((carry_bits(netlist), logic_bits(netlist)))
            counts.append(luts)
            netlists.append(netlist)
        relative = np.array(rows) / np.array(counts)[:, None]
        carry, logic = np.linalg.lstsq(relative, np.ones(len(counts)), rcond=None)[0]
        if len(counts) < 3 or carry < 0.5 or logic < 0:  # too alike to tell the two apart: one factor for both
            carry = logic = 1 / relative.sum(axis=1).mean()
        weights[family] = {"carry": round(float(carry), 4), "logic": round(float(logic), 4)}
        WEIGHTS.write_text(json.dumps(weights, indent=2) + "\n")
        for name, netlist, luts in zip(FABRICS[family], netlists, counts, strict=True):
            estimate = resources_of(netlist, family)
            print(f"{family} {name}: {estimate}, LUT4 {estimate.lut4 / luts - 1:+.1%}")


if __name__ == "__main__":
    main(sys.argv[1:] or families())

"""Fits the weights of `host/cost/weights.json` to real syntheses: `python tests/calibrate.py [FAMILY...]`, minutes a family.

What is fitted to is what the placer counts after packing. Prints the estimate's error for every fabric.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from celosia.boards import find
from celosia.boards.build import elaborate
from celosia.boards.flows.flow import NAME, Choices, flow_of
from celosia.host.cost.netlist import Target, count
from celosia.host.cost.resources import carry_bits, distributed_luts, families, logic_bits, resources_of
from celosia.hw.link.device import UartFabric
from celosia.hw.presets import preset

WEIGHTS = Path(__file__).parents[1] / "host" / "cost" / "weights.json"
BOARDS = {"ecp5": "ulx3s-85f", "ice40": "icebreaker", "gowin": "tang-primer-20k"}
FABRICS = {
    "ecp5": ("mini,depthwise_tiles=0", "mini", "ecp5-25", "ecp5-45"),
    "ice40": ("up5k",),
    "gowin": ("gw2a-18",),
}


def packed(board, config):
    """What the placer counts of a board's whole design, without placing it."""
    settings = board.pll()
    platform = board.make_platform(config)
    flow = flow_of(board.chip.family)
    synthesis, place, _ = flow.stages(board, platform, Choices(seed=1, clock_hz=settings.clock_hz))
    pairs = zip(("", *place.arguments), place.arguments, strict=False)
    arguments = [item for before, item in pairs if not {before, item} & {"--textcfg", "--asc", "--write"}]
    place = replace(
        place,
        arguments=(*arguments, "--no-place", "--no-route"),
        outputs={f"{NAME}.report.json": place.outputs[f"{NAME}.report.json"]},
    )
    with tempfile.TemporaryDirectory(dir=".", prefix=".calibrate-") as name:
        folder = Path(name)
        elaborate(board, config, settings, platform, folder)
        for stage in (synthesis, place):
            stage.run(folder, folder)
        cells = json.loads((folder / f"{NAME}.stat.json").read_text())["design"]["num_cells_by_type"]
        utilization = json.loads((folder / f"{NAME}.report.json").read_text())["utilization"]
    return flow.used({name: entry["used"] for name, entry in utilization.items()}, cells)


def main(chosen):
    weights = json.loads(WEIGHTS.read_text()) if WEIGHTS.exists() else {}
    for family in chosen:
        board = find(BOARDS[family])
        netlists, truths = [], []
        for name in FABRICS[family]:
            netlists.append(count(UartFabric(preset(name), clock_hz=100e6, baud=3e6), Target(family)))
            truths.append(packed(board, preset(name)))
            print(f"{family} {name}: {truths[-1]}", flush=True)
        rows = np.array([(carry_bits(netlist), logic_bits(netlist)) for netlist in netlists], float)
        rest = [truth.lut4 - distributed_luts(netlist, family) for netlist, truth in zip(netlists, truths, strict=True)]
        relative = rows / np.array(rest, float)[:, None]
        carry, logic = np.linalg.lstsq(relative, np.ones(len(rest)), rcond=None)[0]
        if len(rest) < 3 or carry < 0.5 or logic < 0.1:  # too alike to tell the two apart: one factor for both
            carry = logic = len(rest) / relative.sum()
        register = np.mean([truth.ff / netlist.registers for netlist, truth in zip(netlists, truths, strict=True)])
        fitted = {"carry": carry, "logic": logic, "register": register}
        weights[family] = {name: round(float(value), 4) for name, value in fitted.items()}
        WEIGHTS.write_text(json.dumps(weights, indent=2) + "\n")
        for name, netlist, truth in zip(FABRICS[family], netlists, truths, strict=True):
            estimate = resources_of(netlist, family)
            errors = ", ".join(f"{item} {getattr(estimate, item) / getattr(truth, item) - 1:+.1%}" for item in ("lut4", "ff"))
            exact = ", ".join(f"{item} {getattr(estimate, item)} of {getattr(truth, item)}" for item in ("dsp", "bram"))
            print(f"{family} {name}: {errors}; {exact}")


if __name__ == "__main__":
    main(sys.argv[1:] or families())

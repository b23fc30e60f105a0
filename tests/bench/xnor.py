"""The XNOR engine alone, placed and routed on an LFE5U-85F: `python -m tests.bench.xnor [PIXELS [SEED]]`, minutes.

It stands beside the weight banks that it has in a fabric, at their places and with the systolic array's way for addresses. What
comes in besides is noise, a function of its own for every bit: yosys merges registers that compute the same thing, and would
measure another circuit. LUT4 and flip-flops of the noise and of the banks' addresses count too.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Cat, ClockDomain, Fragment, Module, Signal, Value
from celosia.boards.floorplan import lfe5u_85
from celosia.boards.flows.carries import open_carries
from celosia.boards.flows.ecp5 import place_and_route
from celosia.boards.flows.flow import synthesis
from celosia.hw.config import FabricConfig
from celosia.hw.delay import delay
from celosia.hw.mac.array import SystolicArray
from celosia.hw.mac.cell import PACKED_BITS
from celosia.hw.presets import preset
from celosia.hw.primitives.bank import Bank
from celosia.hw.primitives.copies import copies
from celosia.hw.xnor.engine import XnorEngine
from rich.table import Table

from .workloads import Figures

FABRIC = preset("ecp5-85-xnor")
TARGET_MHZ = 175

_SHIFTED = 2048  # registers that the noise is made of


class Chip:
    """As much of a platform as the gateware asks for."""

    family = "ecp5"

    def __init__(self, config: FabricConfig):
        self.floorplan = lfe5u_85(config)


class _Noise:
    """Random bits for signals, a function of their own for each."""

    def __init__(self, m: Module, source: Signal):
        self._m = m
        self._shifted = Signal(_SHIFTED)
        self._taken = 0
        m.d.sync += self._shifted.eq(Cat(source, self._shifted))

    def drive(self, target):
        """Drives a signal or a structure."""
        bits = Value.cast(target)
        register = Signal(len(bits), name=f"noise_{self._taken}")
        for bit in range(len(bits)):
            place = self._taken + bit
            taps = [self._shifted[(place + lag) % _SHIFTED] for lag in (0, 5, 13)]
            self._m.d.sync += register[bit].eq(taps[0] ^ (taps[1] & taps[2]))
        self._m.d.comb += bits.eq(register)
        self._taken += len(bits)


def alone(config: FabricConfig, platform: Chip) -> tuple[Module, list[Signal]]:
    """The engine between banks and noise, and its pins: a bit in, a bit out."""
    m = Module()
    i, o = Signal(name="i"), Signal(name="o")
    noise = _Noise(m, i)
    m.submodules.engine = engine = XnorEngine(config, word_latency=SystolicArray.LEVEL_LATENCY)
    load = Signal(config.weight_address_bits + PACKED_BITS + config.rows)
    inputs = ("start", "descriptor", "i_step", "i_address", "i_activations", "i_inside", "scanned", "biases")
    for target in (load, *(getattr(engine, name) for name in inputs)):
        noise.drive(target)
    way = delay(m, engine.o_address, SystolicArray.INPUT_LATENCY - 1, name="way")
    ways = copies(m, platform, way, config.row_groups, name="address")
    rows = [delay(m, ways[config.group_of(row)], 1, name=f"address_{row}", ones=bool(row % 2)) for row in range(config.rows)]
    for pair in range(config.pairs):
        load = delay(m, load, 1, name=f"load_{pair}")
        loads = copies(m, platform, load, config.row_groups, name=f"loads_{pair}")
        for row in range(config.rows):
            bank = Bank(width=PACKED_BITS, depth=config.weight_depth, site=f"cell_{row}_{pair}.bank")
            m.submodules[f"bank_{row}_{pair}"] = bank
            m.d.comb += [
                bank.i_address.eq(rows[row]),
                Cat(bank.write.address, bank.write.data).eq(loads[config.group_of(row)]),
                bank.write.enable.eq(loads[config.group_of(row)][len(load) - 1 - row]),
                engine.i_words[row][pair].eq(delay(m, bank.o_data, 1, name=f"word_{row}_{pair}")),
            ]
            rows[row] = delay(m, rows[row], 1, name=f"address_{row}_{pair}", ones=bool(row % 2))
    write = engine.write
    seen = delay(m, Cat(write.enable, write.address, write.count, write.data, engine.done), 1, name="seen")
    folded = Signal(-(-len(seen) // 4))
    m.d.sync += [folded.eq(Cat(seen[place :: len(folded)].xor() for place in range(len(folded)))), o.eq(folded.xor())]
    return m, [i, o]


def measure(pixels: int, seed: int) -> dict[str, Any]:
    """Binary MAC a cycle, LUT4 and flip-flops of the whole, LUT4 a MAC, and the clock. Raises ToolError."""
    config = replace(FABRIC, name=f"{FABRIC.name},xnor_pixels={pixels}", xnor_pixels=pixels, adder_levels=1)
    platform = Chip(config)
    m, pins = alone(config, platform)
    fragment = Fragment.get(m, platform)
    fragment.add_domains(clock := ClockDomain("sync", reset_less=True))
    with tempfile.TemporaryDirectory(prefix="celosia-xnor-") as name:
        folder = Path(name)
        (folder / "top.il").write_text(rtlil.convert(fragment, name="top", ports=[clock.clk, *pins], emit_src=False))
        synthesis("synth_ecp5 -nowidelut -top top", then=lambda folder: open_carries(folder / "top.json")).run(folder, folder)
        (folder / "top.lpf").write_text(f'FREQUENCY PORT "{clock.clk.name}" {TARGET_MHZ * 1e6:.1f} HZ;\n')
        chip = ("--85k", "--package", "CABGA381", "--speed", "6")
        place_and_route(*chip, "--lpf-allow-unconstrained", "--seed", str(seed)).run(folder, folder)
        report = json.loads((folder / "top.report.json").read_text())
    used = {cell: entry["used"] for cell, entry in report["utilization"].items()}
    macs = config.binary_macs_per_cycle
    return {
        "macs_per_cycle": macs,
        "lut4": used["TRELLIS_COMB"],
        "ff": used["TRELLIS_FF"],
        "lut4_per_mac": used["TRELLIS_COMB"] / macs,
        "fmax_mhz": min(clock["achieved"] for clock in report["fmax"].values()),
        "pixels": pixels,
        "seed": seed,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }


RESULT = Path(__file__).parent / "xnor.json"
_COLUMNS = {"pixels": "", "macs_per_cycle": ",", "lut4": ",", "ff": ",", "lut4_per_mac": ".2f", "fmax_mhz": ".1f"}  # and forms
_FIGURES = ("macs_per_cycle", "lut4_per_mac", "fmax_mhz")


def last(figures: Figures) -> Table:
    """What the last measurement gave, which is kept beside this file: place and route is not run again."""
    measured = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    figures.update({f"xnor.{name}": measured[name] for name in _FIGURES if name in measured})
    shown = Table(title=f"XNOR engine alone on an LFE5U-85F, speed 6, {measured.get('date', 'never measured')}")
    for name in _COLUMNS:
        shown.add_column(name, justify="right")
    if measured:
        shown.add_row(*(format(measured[name], form) for name, form in _COLUMNS.items()))
    return shown


if __name__ == "__main__":
    from rich.console import Console

    parser = argparse.ArgumentParser(prog="python -m tests.bench.xnor", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pixels", nargs="?", type=int, default=FABRIC.xnor_pixels)
    parser.add_argument("seed", nargs="?", type=int, default=1)
    chosen = parser.parse_args()
    RESULT.write_text(json.dumps(measure(chosen.pixels, chosen.seed), indent=1) + "\n")
    Console().print(last({}))

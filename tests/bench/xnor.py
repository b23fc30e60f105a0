"""The XNOR engine alone, placed and routed on an LFE5U-85F: `python -m tests.bench.xnor [PIXELS [SEED]]`, minutes.

It stands beside the weight banks that it has in a fabric, at their places and with the systolic array's way for addresses. What
comes in besides is noise, a function of its own for every bit: yosys merges registers that compute the same thing, and would
measure another circuit.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Cat, ClockDomain, Fragment, Module, Signal, Value
from celosia.boards.floorplan import lfe5u_85
from celosia.boards.flows.carries import open_carries
from celosia.boards.stage import Stage, ends_like_json
from celosia.boards.tools import NEXTPNR_ECP5, YOSYS
from celosia.hw.config import FabricConfig, preset
from celosia.hw.delay import delay
from celosia.hw.mac.cell import PACKED_BITS
from celosia.hw.primitives.bank import Bank
from celosia.hw.primitives.copies import copies
from celosia.hw.xnor.array import XnorArray

FABRIC = preset("ecp5-85")
TARGET_MHZ = 200


class Chip:
    """As much of a platform as the gateware asks for."""

    family = "ecp5"

    def __init__(self, config: FabricConfig):
        self.floorplan = lfe5u_85(config)


def alone(config: FabricConfig, platform: Chip) -> tuple[Module, list[Signal]]:
    """The engine between banks and noise, and its pins: a bit in, a bit out."""
    m = Module()
    i, o = Signal(name="i"), Signal(name="o")
    shifted = Signal(1024)
    m.d.sync += shifted.eq(Cat(i, shifted))
    taken = 0

    def noise(value):
        nonlocal taken
        bits = Value.cast(value)
        register = Signal(len(bits), name=f"noise_{taken}")
        for bit in range(len(bits)):
            k = taken + bit
            m.d.sync += register[bit].eq(shifted[k] ^ (shifted[(k + 5) % 1024] & shifted[(k + 13) % 1024]))
        m.d.comb += bits.eq(register)
        taken += len(bits)

    m.submodules.engine = engine = XnorArray(config)
    address = Signal(config.weight_address_bits)
    load = Signal(config.weight_address_bits + PACKED_BITS + config.rows)
    for value in (engine.i_turn, engine.i_load, engine.threshold, address, load):
        noise(value)
    ways = copies(m, platform, address, config.row_groups, name="address")
    rows = [delay(m, ways[config.group_of(row)], 1, name=f"address_{row}", ones=bool(row % 2)) for row in range(config.rows)]
    for pair in range(config.pairs):
        load = delay(m, load, 1, name=f"load_{pair}")
        for row in range(config.rows):
            bank = Bank(width=PACKED_BITS, depth=config.weight_depth, site=f"cell_{row}_{pair}.bank")
            m.submodules[f"bank_{row}_{pair}"] = bank
            m.d.comb += [
                bank.i_address.eq(rows[row]),
                Cat(bank.write.address, bank.write.data).eq(load),
                bank.write.enable.eq(load[len(load) - 1 - row]),
                engine.i_words[row][pair].eq(delay(m, bank.o_data, 1, name=f"word_{row}_{pair}")),
            ]
            rows[row] = delay(m, rows[row], 1, name=f"address_{row}_{pair}", ones=bool(row % 2))
    seen = delay(m, engine.o.as_value(), 1, name="seen")
    folded = Signal(-(-len(seen) // 4))
    m.d.sync += [folded.eq(Cat(seen[place :: len(folded)].xor() for place in range(len(folded)))), o.eq(folded.xor())]
    return m, [i, o]


def measure(pixels: int, seed: int = 1) -> dict[str, float]:
    """MAC a cycle, LUT4 and flip-flops of the whole, LUT4 a MAC, and the clock."""
    config = replace(FABRIC, name=f"{FABRIC.name},xnor_pixels={pixels}", xnor_pixels=pixels)
    platform = Chip(config)
    m, pins = alone(config, platform)
    fragment = Fragment.get(m, platform)
    fragment.add_domains(clock := ClockDomain("sync", reset_less=True))
    with tempfile.TemporaryDirectory(dir=".", prefix=".xnor-") as name:
        folder = Path(name)
        (folder / "top.il").write_text(rtlil.convert(fragment, name="top", ports=[clock.clk, *pins], emit_src=False))
        Stage(
            title="synthesis",
            tool=YOSYS,
            arguments=("-q", "-p", "read_rtlil top.il; synth_ecp5 -nowidelut -top top -json top.json"),
            outputs={"top.json": ends_like_json},
            then=lambda folder: open_carries(folder / "top.json"),
        ).run(folder, folder)
        Stage(
            title="place and route",
            tool=NEXTPNR_ECP5,
            arguments=(
                *("--85k", "--package", "CABGA381", "--speed", "6", "--json", "top.json", "--report", "report.json"),
                *("--freq", str(TARGET_MHZ), "--seed", str(seed), "--placer", "static", "--router", "router2"),
                *("--lpf-allow-unconstrained", "--timing-allow-fail"),
            ),
            outputs={"report.json": ends_like_json},
        ).run(folder, folder)
        report = json.loads((folder / "report.json").read_text())
        for log in folder.glob("*.log"):
            Path(f"/tmp/xnor_{log.name}").write_bytes(log.read_bytes())
        Path("/tmp/xnor_report.json").write_text(json.dumps(report))
    used = {cell: entry["used"] for cell, entry in report["utilization"].items()}
    macs = config.binary_macs_per_cycle
    return {
        "macs_per_cycle": macs,
        "lut4": used["TRELLIS_COMB"],
        "ff": used["TRELLIS_FF"],
        "lut4_per_mac": used["TRELLIS_COMB"] / macs,
        "fmax_mhz": min(clock["achieved"] for clock in report["fmax"].values()),
    }


if __name__ == "__main__":
    print(measure(*map(int, sys.argv[1:])) if sys.argv[1:] else measure(4))

"""A pipeline's gates, as Yosys makes them, evaluated by NumPy on many inputs at once.

What is instanced from a vendor's library is replaced by that library's simulation model, so that this proves what the
portable twin cannot: that the primitives compute the same.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Fragment
from celosia.sim import toolchain

_GATES = {
    "$_NOT_": lambda a: ~a,
    "$_AND_": lambda a, b: a & b,
    "$_NAND_": lambda a, b: ~(a & b),
    "$_OR_": lambda a, b: a | b,
    "$_NOR_": lambda a, b: ~(a | b),
    "$_XOR_": lambda a, b: a ^ b,
    "$_XNOR_": lambda a, b: ~(a ^ b),
    "$_ANDNOT_": lambda a, b: a & ~b,
    "$_ORNOT_": lambda a, b: a | ~b,
    "$_MUX_": lambda a, b, s: np.where(s, b, a),
    "$_DFF_P_": lambda d: d,
}


class Ecp5:
    """As much of a platform as the primitives ask for."""

    family = "ecp5"


class Netlist:
    """A component without feedback, elaborated for the ECP5 and mapped to gates.

    `ports` are its inputs and outputs by name, as Amaranth signals.
    """

    def __init__(self, component, ports):
        fragment = Fragment.get(component, Ecp5())
        fragment.add_domains(clock := ClockDomain("sync", reset_less=True))
        source = rtlil.convert(fragment, ports=[clock.clk, *ports.values()], emit_src=False)
        script = (
            "read_rtlil design.il; read_verilog -lib -nooverwrite +/ecp5/cells_bb.v; read_verilog -overwrite +/ecp5/cells_sim.v; "
            "hierarchy -top top; proc; flatten -noscopeinfo; delete t:$specify*; opt -full; techmap; opt -full; clean; write_json design.json"
        )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "design.il").write_text(source)
            toolchain.run([*toolchain.yosys(), "-q", "-p", script], "Yosys", folder)
            top = json.loads((folder / "design.json").read_text())["modules"]["top"]
        self._ports = {name: top["ports"][signal.name]["bits"] for name, signal in ports.items()}
        self._drivers = {}
        for cell in top["cells"].values():
            output = "Q" if cell["type"] == "$_DFF_P_" else "Y"
            pins = [pin for pin in ("D", "A", "B", "S") if pin in cell["connections"]]
            (driven,) = cell["connections"][output]
            self._drivers[driven] = cell["type"], [cell["connections"][pin][0] for pin in pins]

    def evaluate(self, outputs, **inputs):
        """({output: array of int64}, {output: set of the registers that its bits' paths pass}), for arrays of inputs."""
        known = {"0": (np.bool_(False), None), "1": (np.bool_(True), None), "x": (np.bool_(False), None)}
        for name, values in inputs.items():
            for place, bit in enumerate(self._ports[name]):
                known[bit] = (np.asarray(values) >> place & 1).astype(bool), frozenset([0])
        results, depths = {}, {}
        for name, signed in outputs.items():
            bits = self._ports[name]
            found = [self._bit(bit, known) for bit in bits]
            total = sum(value.astype(np.int64) << place for place, (value, _) in enumerate(found))
            if signed:
                total = total - (found[-1][0].astype(np.int64) << len(bits))
            results[name] = total
            depths[name] = set().union(*(depth for _, depth in found if depth))
        return results, depths

    def _bit(self, wanted, known):
        """(values, registers on the paths to it) of a net; constants have no path."""
        waiting = [wanted]
        while waiting:
            net = waiting[-1]
            if net in known:
                waiting.pop()
                continue
            kind, sources = self._drivers[net]
            missing = [source for source in sources if source not in known]
            if missing:
                waiting += missing
                continue
            values = _GATES[kind](*(known[source][0] for source in sources))
            paths = [known[source][1] for source in sources if known[source][1]]
            depth = frozenset().union(*paths) if paths else None
            if kind == "$_DFF_P_" and depth:
                depth = frozenset(count + 1 for count in depth)
            known[net] = values, depth
        return known[wanted]

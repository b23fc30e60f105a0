"""Carry chains without the cells that nextpnr-ecp5 would add at their ends.

Where a chain's first CIN or last COUT has a net, nextpnr adds a carry cell (two LUT4) that brings the one in from, the other
out to the routing. Yosys gives a net to both: CIN gets the constant that an instance left open, and COUT the carry that nothing
reads. In a design of many short sums that is every eighth LUT4.

A CIN can go where it does not matter: the first half of the cell ignores it, because its LUT4 is 0 whatever the inputs that are
not constant (COUT = LUT4 ? CIN : LUT2). That is how `hw.primitives.carry` begins its chains, and nextpnr its own.
"""

import json
from pathlib import Path
from typing import Any

_OPEN = ["x"]  # nextpnr gives this no net; a port that is missing it does not expect


def open_carries(path: Path) -> int:
    """Takes needless nets off the carry cells of a netlist, JSON of Yosys; gives the LUT4 that this saves."""
    netlist = json.loads(path.read_bytes())
    saved = sum(_open_carries(module) for module in netlist.get("modules", {}).values())
    path.write_text(json.dumps(netlist))
    return saved


def _open_carries(module: dict[str, Any]) -> int:
    read = {bit for port in module.get("ports", {}).values() for bit in port["bits"]}
    for cell in module.get("cells", {}).values():
        directions = cell.get("port_directions", {})
        for port, bits in cell["connections"].items():
            if directions.get(port) != "output":
                read.update(bits)
    saved = 0
    for cell in module.get("cells", {}).values():
        if cell["type"] != "CCU2C":
            continue
        connections = cell["connections"]
        carry_out, carry_in = connections.get("COUT", _OPEN), connections.get("CIN", _OPEN)
        if carry_out != _OPEN and carry_out[0] not in read:
            connections["COUT"] = _OPEN
            saved += 2
        if carry_in in (["0"], ["1"]) and _ignores_carry(cell):
            connections["CIN"] = _OPEN
            saved += 2
    return saved


def _ignores_carry(cell: dict[str, Any]) -> bool:
    """Whether the LUT4 of a carry cell's first half is 0 for everything that its inputs can be."""
    init = int(cell["parameters"]["INIT0"], 2)
    inputs = [cell["connections"][f"{pin}0"][0] for pin in "ABCD"]
    fixed = [(place, int(bit)) for place, bit in enumerate(inputs) if bit in ("0", "1")]
    return not any(init >> index & 1 for index in range(16) if all(index >> place & 1 == bit for place, bit in fixed))

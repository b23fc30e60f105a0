"""Registers that few read: those of a netlist that have many readers are split, into copies with at most four readers each.

nextpnr's static placer weights the wire from a register's driver by its timing always, the wire to its readers only where they
are fewer than five. So one with more readers stays where its driver is, a whole row of registers with it, and the wire behind
the last of them is as long as the way of all. Of copies that few read, each goes to its readers, and a row becomes a tree.

That helps where a register takes the value of another as it is. Copies behind logic would only drive that logic apart.

Yosys has no such pass: it merges registers that hold the same.
"""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

_EACH = 4  # readers of a copy
_REGISTER = "TRELLIS_FF"
_REGISTERED = (_REGISTER, "DP16KD", "MULT18X18D")  # what gives a value without logic
_APART = ("DCCA", "EHXPLLL", "TRELLIS_IO")  # what reads a clock, or lies at a pin

_Reader = tuple[str, str, int]  # cell, port, bit of the port


def split_registers(path: Path, most: int, room: int) -> int:
    """Splits the registers of a netlist, JSON of Yosys, that more than `most` inputs read and that take what they hold from
    another register; gives how many this adds. Where all would be more than `room`, those with fewer readers stay whole.
    """
    content = path.read_bytes()
    while True:
        netlist = json.loads(content)
        modules = [_Netlist(module) for module in netlist.get("modules", {}).values()]
        before = sum(module.registers for module in modules)
        added = sum(module.split(most) for module in modules)
        if not added or before + added <= room:
            break
        most *= 2
    path.write_text(json.dumps(netlist))
    return added


class _Netlist:
    """A module's cells, and who drives and who reads which bit."""

    def __init__(self, module: dict[str, Any]) -> None:
        self._cells: dict[str, dict[str, Any]] = module.get("cells", {})
        self._names: dict[str, Any] = module.setdefault("netnames", {})
        self._drivers: dict[int, str] = {}
        self._readers: dict[int, list[_Reader]] = {}
        self._outside = {bit for port in module.get("ports", {}).values() for bit in port["bits"]}
        for name, cell in self._cells.items():
            self._join(name, cell)
        self._bits = max((*self._drivers, *self._readers), default=0)

    @property
    def registers(self) -> int:
        """How many there are."""
        return sum(cell["type"] == _REGISTER for cell in self._cells.values())

    def split(self, most: int) -> int:
        """Splits; gives how many registers this adds."""
        return sum(self._split(name) for name in list(self._last_first()) if self._has_many(name, most))

    def _join(self, name: str, cell: dict[str, Any]) -> None:
        for port, bits in cell["connections"].items():
            drives = cell.get("port_directions", {}).get(port) == "output"
            for index, bit in enumerate(bits):
                if not isinstance(bit, int):
                    continue
                if drives:
                    self._drivers[bit] = name
                else:
                    self._readers.setdefault(bit, []).append((name, port, index))

    def _of(self, name: str) -> list[_Reader]:
        return self._readers.get(self._cells[name]["connections"]["Q"][0], [])

    def _has_many(self, name: str, most: int) -> bool:
        connections, readers = self._cells[name]["connections"], self._of(name)
        (given,) = connections.get("DI", ["x"])
        return (
            len(readers) > most
            and connections["Q"][0] not in self._outside
            and given in self._drivers
            and self._cells[self._drivers[given]]["type"] in _REGISTERED
            and not any(port == "CLK" or self._cells[reader]["type"] in _APART for reader, port, _ in readers)
        )

    def _last_first(self) -> Iterator[str]:
        """Every register, behind the registers that read it, but for circles: copies of these are readers more."""
        seen: set[str] = set()
        for begin, cell in self._cells.items():
            if cell["type"] != _REGISTER or begin in seen:
                continue
            seen.add(begin)
            way = [(begin, self._followers(begin))]
            while way:
                name, followers = way[-1]
                following = next((each for each in followers if each not in seen), None)
                if following is None:
                    yield name
                    way.pop()
                else:
                    seen.add(following)
                    way.append((following, self._followers(following)))

    def _followers(self, name: str) -> Iterator[str]:
        return iter([reader for reader, _, _ in self._of(name) if self._cells[reader]["type"] == _REGISTER])

    def _split(self, name: str) -> int:
        cell = self._cells[name]
        # Readers of similar names lie side by side.
        readers = sorted(self._of(name), key=lambda reader: (_natural(reader[0]), reader[1:]))
        count = -(-len(readers) // _EACH)
        each = -(-len(readers) // count)
        self._readers[cell["connections"]["Q"][0]] = readers[:each]
        for index in range(1, count):
            copy = deepcopy(cell)
            self._bits += 1
            copy["connections"]["Q"] = [self._bits]
            copy_name = f"{name}_copy_{index}"
            self._names[f"{copy_name}_Q"] = {"hide_name": 1, "bits": [self._bits], "attributes": {}}
            self._readers[self._bits] = readers[index * each : (index + 1) * each]
            for reader, port, place in self._readers[self._bits]:
                self._cells[reader]["connections"][port][place] = self._bits
            self._cells[copy_name] = copy
            self._join(copy_name, copy)
        return count - 1


def _natural(name: str) -> list[tuple[int, str]]:
    """A name's parts, its numbers by their value."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]

"""Registers of a netlist are split until few read each, and hold what they held."""

import json

import pytest
from celosia.boards.flows.readers import split_readers


def cell(kind, output, **inputs):
    (pin, bit), *_ = output.items()
    directions = {pin: "output", **dict.fromkeys(inputs, "input")}
    connections = {pin: [bit], **{port: bits if isinstance(bits, list) else [bits] for port, bits in inputs.items()}}
    return {"type": kind, "parameters": {"REGSET": "RESET"}, "connections": connections, "port_directions": directions}


def register(output, given, **more):
    return cell("TRELLIS_FF", {"Q": output}, DI=given, CLK=1, **more)


def write(folder, cells, outputs):
    ports = {"clk": {"direction": "input", "bits": [1]}, "o": {"direction": "output", "bits": outputs}}
    path = folder / "top.json"
    path.write_text(json.dumps({"modules": {"top": {"ports": ports, "cells": cells, "netnames": {}}}}))
    return path


def cells_of(path):
    return json.loads(path.read_text())["modules"]["top"]["cells"]


def readers(cells):
    """By driver: how many inputs read it."""
    drivers = {
        bit: name for name, each in cells.items() for bit in each["connections"].get("Q", each["connections"].get("Z", []))
    }
    counts = dict.fromkeys(drivers.values(), 0)
    for each in cells.values():
        for port, bits in each["connections"].items():
            if each["port_directions"][port] == "input":
                for bit in bits:
                    if bit in drivers:
                        counts[drivers[bit]] += 1
    return counts


def root(cells, bit):
    """What a bit holds, through registers: the first driver that is none, and the cycles since."""
    drivers = {each["connections"]["Q"][0]: each for each in cells.values() if each["type"] == "TRELLIS_FF"}
    cycles = 0
    while bit in drivers:
        bit, cycles = drivers[bit]["connections"]["DI"][0], cycles + 1
    return bit, cycles


def row(length, leaves):
    """`length` registers in a row behind input 2, of whose last one `leaves` LUT4 read."""
    cells = {f"r_{index}": register(10 + index, 9 + index if index else 2) for index in range(length)}
    cells |= {f"leaf_{index}": cell("LUT4", {"Z": 100 + index}, A=9 + length) for index in range(leaves)}
    return cells


@pytest.mark.parametrize(("leaves", "sizes"), [(16, [1, 1, 1]), (17, [1, 2, 5]), (64, [1, 4, 16]), (65, [5, 5, 17])])
def test_a_row_becomes_a_tree(tmp_path, leaves, sizes):
    path = write(tmp_path, row(3, leaves), [100 + index for index in range(leaves)])
    sizes = [1, 1, 1] if leaves <= 16 else [-(-leaves // 4**level) for level in (3, 2, 1)]
    added = split_readers(path, 4 if leaves > 16 else 16, 1000)
    cells = cells_of(path)
    assert added == sum(sizes) - 3
    assert sum(each["type"] == "TRELLIS_FF" for each in cells.values()) == sum(sizes)
    for index in range(leaves):
        assert root(cells, cells[f"leaf_{index}"]["connections"]["A"][0]) == (2, 3)
    assert max(readers(cells).values()) <= (4 if leaves > 16 else 16)


def test_enable_and_reset_go_with_a_copy(tmp_path):
    cells = row(1, 20)
    cells["r_0"] = register(10, 2, CE=3, LSR=4)
    path = write(tmp_path, cells, [])
    assert split_readers(path, 16, 1000) == 4
    for each in cells_of(path).values():
        if each["type"] == "TRELLIS_FF":
            assert [each["connections"][port] for port in ("DI", "CE", "LSR", "CLK")] == [[2], [3], [4], [1]]
            assert each["parameters"] == {"REGSET": "RESET"}


def test_neighbours_share_a_copy(tmp_path):
    path = write(tmp_path, row(1, 20), [])
    split_readers(path, 16, 1000)
    cells = cells_of(path)
    assert [len({cells[f"leaf_{index}"]["connections"]["A"][0] for index in range(at, at + 4)}) for at in range(0, 20, 4)] == [
        1
    ] * 5


def test_a_counter_counts_in_every_copy(tmp_path):
    cells = row(1, 20)
    cells["r_0"] = register(10, 50)
    cells["next"] = cell("LUT4", {"Z": 50}, A=10)
    path = write(tmp_path, cells, [])
    split_readers(path, 16, 1000)
    assert all(each["connections"]["DI"] == [50] for each in cells_of(path).values() if each["type"] == "TRELLIS_FF")


@pytest.mark.parametrize("kept", ["port", "clock", "pin"])
def test_what_stays_whole(tmp_path, kept):
    cells = row(1, 20)
    if kept == "clock":
        cells["other"] = cell("TRELLIS_FF", {"Q": 60}, DI=2, CLK=10)
    if kept == "pin":
        cells["other"] = cell("TRELLIS_IO", {"O": 60}, I=10)
    path = write(tmp_path, cells, [10] if kept == "port" else [])
    before = cells_of(path)
    assert split_readers(path, 16, 1000) == 0
    assert cells_of(path) == before


def test_no_more_than_there_is_room_for(tmp_path):
    """With room for few, those with most readers are split alone."""
    cells = row(1, 20)
    cells |= {"r_1": register(80, 2)}
    cells |= {f"other_{index}": cell("LUT4", {"Z": 200 + index}, A=80) for index in range(40)}
    path = write(tmp_path, cells, [])
    content = path.read_text()
    for room, added in ((15, 13), (14, 9), (10, 0)):
        path.write_text(content)
        assert split_readers(path, 16, room) == added

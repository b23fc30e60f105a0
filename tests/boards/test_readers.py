"""Registers of a netlist are split until few read each, and hold what they held."""

import json

import pytest
from celosia.boards.flows.readers import split_registers

MOST = 16


def cell(kind, output, **inputs):
    ((pin, bit),) = output.items()
    connections = {pin: [bit], **{port: [given] for port, given in inputs.items()}}
    directions = {pin: "output", **dict.fromkeys(inputs, "input")}
    return {"type": kind, "parameters": {"REGSET": "RESET"}, "connections": connections, "port_directions": directions}


def register(output, given, **more):
    return cell("TRELLIS_FF", {"Q": output}, DI=given, CLK=1, **more)


def row(length, leaves, *, at=10):
    """`length` registers in a row behind one of input 2, of whose last one `leaves` LUT4 read."""
    cells = {f"r_{at + index}": register(at + index, at + index - 1 if index else 2) for index in range(length + 1)}
    return cells | {f"leaf_{at}_{index}": cell("LUT4", {"Z": 1000 * at + index}, A=at + length) for index in range(leaves)}


def write(folder, cells, outputs=()):
    ports = {"clk": {"direction": "input", "bits": [1]}, "o": {"direction": "output", "bits": list(outputs)}}
    path = folder / "top.json"
    path.write_text(json.dumps({"modules": {"top": {"ports": ports, "cells": cells, "netnames": {}}}}))
    return path


def cells_of(path):
    return json.loads(path.read_text())["modules"]["top"]["cells"]


def registers_of(cells):
    return {each["connections"]["Q"][0]: each["connections"] for each in cells.values() if each["type"] == "TRELLIS_FF"}


def root(cells, bit):
    """What a bit holds: the input behind its registers, and how many these are."""
    registers = registers_of(cells)
    cycles = 0
    while bit in registers:
        (bit,), cycles = registers[bit]["DI"], cycles + 1
    return bit, cycles


def most_readers(cells):
    read = [
        bit for each in cells.values() for port, bits in each["connections"].items() if port not in ("Q", "Z") for bit in bits
    ]
    return max(read.count(bit) for bit in registers_of(cells))


@pytest.mark.parametrize(("leaves", "sizes"), [(16, (1, 1, 1)), (17, (1, 1, 5)), (68, (1, 5, 17)), (272, (5, 17, 68))])
def test_a_row_becomes_a_tree(tmp_path, leaves, sizes):
    path = write(tmp_path, row(3, leaves))
    assert split_registers(path, MOST, 1000) == sum(sizes) - 3
    cells = cells_of(path)
    assert len(registers_of(cells)) == 1 + sum(sizes)
    assert {root(cells, cells[f"leaf_10_{index}"]["connections"]["A"][0]) for index in range(leaves)} == {(2, 4)}
    assert most_readers(cells) <= MOST


def test_enable_and_reset_go_with_a_copy(tmp_path):
    cells = row(1, 20)
    cells["r_11"] = register(11, 10, CE=3, LSR=4)
    path = write(tmp_path, cells)
    assert split_registers(path, MOST, 1000) == 4
    copies = [each for each in cells_of(path).values() if "CE" in each["connections"]]
    assert len(copies) == 5
    for each in copies:
        assert [each["connections"][port] for port in ("DI", "CE", "LSR", "CLK")] == [[10], [3], [4], [1]]
        assert each["parameters"] == {"REGSET": "RESET"}


def test_neighbours_share_a_copy(tmp_path):
    path = write(tmp_path, row(1, 20))
    split_registers(path, MOST, 1000)
    read = [cells_of(path)[f"leaf_10_{index}"]["connections"]["A"][0] for index in range(20)]
    assert [len(set(read[at : at + 4])) for at in range(0, 20, 4)] == [1] * 5
    assert len(set(read)) == 5


@pytest.mark.parametrize("kept", ["port", "clock", "pin", "input", "logic"])
def test_what_stays_whole(tmp_path, kept):
    """What the outside reads, a clock, what comes from a pin or from logic."""
    cells = row(1, 20)
    if kept == "clock":
        cells["other"] = cell("TRELLIS_FF", {"Q": 60}, DI=2, CLK=11)
    if kept == "pin":
        cells["other"] = cell("TRELLIS_IO", {"O": 60}, I=11)
    if kept == "input":
        del cells["r_10"]
    if kept == "logic":
        cells["r_10"] = cell("LUT4", {"Z": 10}, A=11)
    path = write(tmp_path, cells, [11] if kept == "port" else [])
    before = cells_of(path)
    assert split_registers(path, MOST, 1000) == 0
    assert cells_of(path) == before


def test_no_more_than_there_is_room_for(tmp_path):
    """With room for few, those with most readers are split alone."""
    path = write(tmp_path, row(1, 20) | row(1, 40, at=20))
    content = path.read_text()
    for room, added in ((17, 13), (16, 9), (12, 0)):
        path.write_text(content)
        assert split_registers(path, MOST, room) == added

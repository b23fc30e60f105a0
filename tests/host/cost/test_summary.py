"""What `celosia estimate` says: parts that add up, the same in the table, the lines and the JSON."""

import json
from dataclasses import replace

import networks
import pytest
import tiny
import zoo
from celosia.host import cli
from celosia.host.cost.bounds import bounds_of
from celosia.host.cost.model import estimate
from celosia.host.cost.summary import Clock, Need, Target, summarize
from celosia.host.cost.walk import Cycles
from celosia.host.frontends.tflite import parse
from celosia.host.passes import simplify
from celosia.host.schedule import schedule
from celosia.hw.presets import preset
from rich.console import Console

WIDE = "mini,activation_bytes=65536"


def summary_of(model, fabric=WIDE, **options):
    config = preset(fabric)
    return summarize(schedule(simplify(parse(model)), config), Target(fabric=config, **options))


def text(table):
    console = Console(width=140, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.mark.parametrize("name", ["mobilenet_v2", "lenet", "mlp"])
def test_parts_add_up(name):
    summary = summary_of(zoo.MODELS[name]())
    for layer in summary.layers:
        assert sum(layer.parts.values()) == pytest.approx(layer.cycles)
        assert all(cycles >= 0 for cycles in layer.parts.values())
        assert not layer.cycles or layer.parts[layer.bound] == max(layer.parts.values())
    assert sum(summary.parts.values()) == pytest.approx(summary.cost.cycles)
    assert list(summary.parts.values()) == sorted(summary.parts.values(), reverse=True)


def test_bounds():
    config = preset("mini")  # 16 MAC a cycle; 36 on the depthwise unit
    cycles = Cycles(busy=100, weights=30, activations=20, output=10)
    parts = bounds_of("mac", 800, cycles, config).parts
    assert parts == {"array": 50, "idle cells": 50, "weights": 30, "latency": 20, "requantizer": 10}
    assert bounds_of("mac", 160, cycles, config).bound == "idle cells"
    assert bounds_of("depthwise", 3600, cycles, config).parts["depthwise unit"] == 100
    assert bounds_of("vector", 0, cycles, config).bound == "vector unit"
    assert bounds_of("mac", 160, replace(cycles, weights=500), config).bound == "weights"


def test_json_and_lines_say_the_same():
    need = Need(name="MULT18X18D", used=140, available=156)
    summary = summary_of(
        zoo.MODELS["lenet"](),
        board="a board",
        clock=Clock(mhz=125.0, source="as asked for"),
        baud=3_000_000,
        resources=(need,),
        note="it fits",
    )
    found = json.loads(summary.to_json())
    cost = estimate(schedule(simplify(parse(zoo.MODELS["lenet"]())), preset(WIDE)))
    assert found["cycles"] == cost.cycles == summary.cost.cycles
    assert found["ms"] == pytest.approx(cost.cycles / 125_000)
    assert found["link_ms"] == pytest.approx(max(cost.words_in, cost.words_out) * 4 / 300_000 * 1000)
    assert (found["bytes_in"], found["bytes_out"]) == (4 * cost.words_in, 4 * cost.words_out)
    assert found["resources"] == [{"name": "MULT18X18D", "used": 140, "available": 156}]
    assert [layer["cycles"] for layer in found["layers"]] == [layer.cycles for layer in summary.layers]
    lines = "\n".join(summary.lines())
    assert f"time: {found['ms']:.4f} ms at 125 MHz (as asked for)" in lines
    assert f"{found['bytes_in']:,} bytes in and {found['bytes_out']:,} out per inference, " in lines
    assert "MULT18X18D 140 of 156 (90%)" in lines
    assert "note: it fits" in lines
    assert "not in it: 1 node on the CPU (softmax" in lines
    for item in found["memory"]:
        assert f"{item['name']} {item['used']:,} of {item['available']:,} {item['unit']}" in lines


def test_table():
    summary = summary_of(networks.fully_connected(1, (1, 40), 30), "mini")
    (layer,) = [layer for layer in summary.layers if layer.cycles]
    (line,) = [line.split() for line in text(summary.table()).splitlines() if line.strip().startswith(layer.name)]
    share = f"{layer.parts[layer.bound] / layer.cycles:.0%}"
    assert line == [layer.name, "mac", "1,200", f"{layer.cycles:,}", f"{layer.utilization:.1%}", *layer.bound.split(), share]
    (total,) = [line.split() for line in text(summary.table()).splitlines() if line.strip().startswith("total")]
    assert total == ["total", "1,200", f"{summary.cost.cycles:,}", f"{summary.utilization:.1%}"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    (tmp_path / "tiny.tflite").write_bytes(tiny.model_file())
    return tmp_path


def test_the_command(folder, capsys):
    assert cli.main(["estimate", "tiny.tflite", "--fabric", "mini", "--clock", "50", "--json", "f.json"]) == 0
    out = capsys.readouterr().out
    found = json.loads((folder / "f.json").read_text())
    assert found["fabric"] == {"name": "mini", "macs_per_cycle": 16}
    assert found["board"] is None
    assert f"time: {found['cycles'] / 50_000:.4f} ms at 50 MHz (as asked for)" in out
    assert cli.main(["estimate", "tiny.tflite"]) == 0
    assert "time: name a clock with --clock MHZ" in capsys.readouterr().out


@pytest.mark.parametrize("clock", ["0", "-3", "fast", "nan", "inf", "1e9"])
def test_no_clock(folder, capsys, clock):
    assert cli.main(["estimate", "tiny.tflite", f"--clock={clock}"]) == 2
    assert f"must be a clock in MHz, above 0 and not above 10000, not {clock!r}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["missing.tflite"], 1, "missing.tflite"),
        (["tiny.tflite", "--fabric", "huge"], 2, "unknown fabric 'huge'"),
        (["tiny.tflite", "--fabric", "mini,program_words=24"], 1, "the program memory of mini,program_words=24 holds 0"),
        (["tiny.tflite", "--json", "no/f.json"], 1, "cannot write no/f.json: there is no directory"),
        (["tiny.tflite", "--json", "./tiny.tflite"], 2, "--json names the same file as the model: ./tiny.tflite"),
    ],
)
def test_bad_input(folder, capsys, arguments, code, expected):
    assert cli.main(["estimate", *arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("celosia: error: ")
    assert error.count("\n") == 1
    assert expected in error
    assert [path.name for path in folder.iterdir()] == ["tiny.tflite"]
    assert (folder / "tiny.tflite").read_bytes() == tiny.model_file()

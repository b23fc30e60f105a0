"""The report: its figures from a device's counters, its JSON, its table, its picture."""

import json
from dataclasses import replace

import pytest
import tiny
from celosia import DeviceError, ToolError
from celosia.host.device import Counters, LayerCounters
from celosia.host.picture import picture_format
from celosia.host.placement import Placement
from celosia.host.report import DeviceReport, make_report
from celosia.hw.presets import preset
from rich.console import Console

LAYER = LayerCounters(cycles=30, busy=18, weights=9, activations=3, output=0)
COUNTERS = Counters(samples=4, cycles=48, cycles_io=6, bytes_in=16, bytes_out=12, layers={"dense": LAYER})


def report(engine="mac", counters=COUNTERS, graph=None):
    graph = graph or tiny.graph()
    return make_report(
        graph=graph,
        fabric=preset("mini"),
        device="sim",
        placements=tuple(Placement(node=node, engine=engine) for node in graph.nodes),
        counters=counters,
        samples=4,
        seconds=0.25,
        devices=(DeviceReport(name="sim", samples=4, cycles=12, lost=None),),
    )


def text(table, width=160):
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_json_has_the_keys_and_the_means():
    assert json.loads(report().to_json()) == {
        "model": "tiny",
        "fabric": {"name": "mini", "macs_per_cycle": 16},
        "device": "sim",
        "samples": 4,
        "cycles": 12,
        "cycles_io": 1.5,
        "macs": 12,
        "utilization": 12 / (12 * 16),
        "bytes_in": 4,
        "bytes_out": 3,
        "seconds": 0.25,
        "layers": [
            {
                "name": "dense",
                "op": "fully_connected",
                "engine": "mac",
                "macs": 12,
                "cycles": 7.5,
                "utilization": 12 / (7.5 * 16),
                "stalls": {"weights": 2.25, "activations": 0.75, "output": 0},
            }
        ],
        "accuracy": None,
        "devices": [{"name": "sim", "samples": 4, "cycles": 12, "lost": None}],
    }


def test_objects_hold_the_same_as_the_json():
    assert report().to_dict() == json.loads(report().to_json())


def test_a_node_on_the_cpu_takes_no_cycles_of_the_fabric():
    result = report(engine="cpu", counters=Counters(samples=4, cycles=8))
    (layer,) = result.layers
    assert (layer.engine, layer.macs, layer.cycles, layer.utilization) == ("cpu", 12, 0, 0)
    assert (result.cycles, result.utilization) == (2, 0), "its work is not the fabric's"


def test_without_counters_there_are_no_cycles():
    result = json.loads(report(engine="cpu", counters=None).to_json())
    assert [result[key] for key in ("cycles", "cycles_io", "utilization", "bytes_in")] == [None, None, None, 0]
    assert result["layers"][0]["cycles"] is None
    assert result["layers"][0]["stalls"] == {"weights": None, "activations": None, "output": None}


def test_counters_subtract():
    later = Counters(samples=5, cycles=60, cycles_io=7, bytes_in=20, bytes_out=15, layers={"dense": LAYER, "new": LAYER})
    difference = later - COUNTERS
    assert (difference.samples, difference.cycles, difference.cycles_io) == (1, 12, 1)
    assert (difference.bytes_in, difference.bytes_out) == (4, 3)
    assert difference.layers == {"dense": LayerCounters(), "new": LAYER}


def test_table():
    lines = text(report().table()).splitlines()
    assert "tiny: 4 inferences on sim, fabric mini (16 MAC/cycle)" in lines[0]
    (layer,) = [line for line in lines if "dense" in line]
    assert layer.split() == ["dense", "fully_connected", "mac", "12", "8", "10.0%", "2", "1", "0"]
    (total,) = [line for line in lines if "total" in line]
    assert total.split() == ["total", "12", "12", "6.2%", "2", "1", "0"]


def test_table_fits_a_terminal():
    graph = tiny.graph()
    graph = replace(graph, nodes=(replace(graph.nodes[0], name="fully_connected_0"),))
    layer = replace(LAYER, cycles=123_456 * 4)
    table = report(graph=graph, counters=replace(COUNTERS, layers={"fully_connected_0": layer})).table()
    (line,) = [line for line in text(table, width=80).splitlines() if "fully_connected" in line]
    assert line.split() == ["fully_connected_0", "mac", "12", "123,456", "0.0%", "2", "1", "0"]


def test_table_prints_names_as_they_are():
    graph = tiny.graph()
    graph = replace(graph, name="[red]m", nodes=(replace(graph.nodes[0], name="[bold]:smile:/a[0];b"),))
    printed = text(report(graph=graph).table())
    assert "[bold]:smile:/a[0]" in printed
    assert "[red]m" in printed


def test_table_shortens_names_to_their_end():
    graph = tiny.graph()
    graph = replace(graph, nodes=(replace(graph.nodes[0], name="scope/" * 20 + "dense"),))
    assert "scope/dense" in text(report(graph=graph).table())


def test_summary():
    assert report().summary() == (
        "0.25 s; 16.0 inferences/s; 2 cycles of transfer not hidden; 4 bytes in and 3 out per inference"
    )
    assert report(counters=None).summary() == "0.25 s; 16.0 inferences/s"


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_picture(tmp_path, ending, magic):
    path = tmp_path / f"cycles.{ending}"
    report().picture(path)
    assert path.read_bytes().startswith(magic)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$\\frac$", "層/畳み込み"])
def test_picture_with_any_names(tmp_path, name):
    graph = tiny.graph()
    node = replace(graph.nodes[0], name=name)
    graph = replace(graph, name=name, nodes=(node,))
    counters = replace(COUNTERS, layers={name: LAYER})
    report(graph=graph, counters=counters).picture(tmp_path / "cycles.png")


def test_picture_of_no_layer_on_the_fabric(tmp_path):
    report(engine="cpu").picture(tmp_path / "cycles.png")
    assert (tmp_path / "cycles.png").exists()


def test_picture_without_cycles_is_refused(tmp_path):
    with pytest.raises(DeviceError, match="counts no cycles to draw: take device sim"):
        report(counters=None).picture(tmp_path / "cycles.png")
    assert list(tmp_path.iterdir()) == []


def test_picture_of_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ToolError, match="its ending must be one of .*png.*, not 'xyz'"):
        report().picture(tmp_path / "cycles.xyz")
    assert picture_format("cycles.PNG") == "png"


@pytest.mark.parametrize(
    ("counters", "lost", "expected"),
    [
        (COUNTERS, None, "a: 4 inferences, 12 cycles each"),
        (None, None, "a: 4 inferences"),
        (COUNTERS, DeviceError("it fell off"), "a: 4 inferences, 12 cycles each; lost: it fell off"),
    ],
)
def test_what_a_device_did(counters, lost, expected):
    assert str(DeviceReport.of("a", 4, counters, lost)) == expected


def test_a_device_that_answered_nothing_has_no_cycles():
    assert DeviceReport.of("a", 0, Counters(cycles=7), None).cycles is None

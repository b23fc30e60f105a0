"""Timelines and rooflines of runs: what was measured stands in them, what is modelled lies within."""

import json
from itertools import pairwise

import networks
import numpy as np
import pytest
import zoo
from celosia import DeviceError, Session, ToolError
from celosia.host import cli
from celosia.host.charts import chart, chart_format
from celosia.host.cost.bounds import macs_per_cycle
from celosia.host.cost.model import estimate
from celosia.host.frontends.tflite import parse
from celosia.host.passes import simplify
from celosia.host.roofline import KINDS, roofline
from celosia.host.schedule import schedule
from celosia.host.timeline import DESCRIPTORS, LOADER, STORE, UNITS, WALKER, timeline
from celosia.hw.presets import preset
from fabrics import STARVED, fabric_of

WIDE = "mini,activation_bytes=65536"
MODELS = {"mobilenet_v2": (zoo.MODELS["mobilenet_v2"], WIDE), "starved": (lambda: networks.random_network(5), STARVED)}


@pytest.fixture(scope="module", params=[pytest.param("mobilenet_v2", marks=pytest.mark.slow), "starved"])
def session(request):
    """One that has run two samples."""
    make, fabric = MODELS[request.param]
    fabric_of(fabric)
    graph = simplify(parse(make()))
    with Session(graph, fabric=fabric) as opened:
        shape = graph.tensors[graph.inputs[0]].shape
        opened.run(np.zeros((2, *shape[1:]), np.int8))
        yield opened


def test_descriptors_are_the_records_one_after_the_other(session):
    found = session.timeline()
    spans = [item for item in found.activities if item.unit == DESCRIPTORS]
    assert all(item.measured for item in spans)
    assert sum(item.end - item.begin for item in spans) == found.cycles == session.report.cycles
    by_layer = {}
    for item in spans:
        assert item.details["cycles"] == item.end - item.begin
        by_layer[item.name] = by_layer.get(item.name, 0) + item.end - item.begin
    result = by_layer.pop("result")
    assert result > 0
    assert by_layer == {layer.name: layer.cycles for layer in session.report.layers if layer.cycles}
    loads = [item for item in found.activities if item.unit == LOADER]
    gaps = sum(later.begin - sooner.end for sooner, later in pairwise(spans))
    assert spans[0].begin + gaps == found.cycles_load, "only what is loaded before a program lies between descriptors"
    assert loads[0].begin == 0
    assert loads[0].end == spans[0].begin


def test_units_work_within_their_descriptors(session):
    found = session.timeline()
    spans = [item for item in found.activities if item.unit == DESCRIPTORS]
    for item in found.activities:
        assert item.end > item.begin
        if item.unit in (DESCRIPTORS, LOADER):
            continue
        assert not item.measured
        assert any(span.begin <= item.begin and item.end <= span.end and span.name == item.name for span in spans), item
    for unit in UNITS:
        row = [item for item in found.activities if item.unit == unit and item.measured]
        assert all(sooner.end <= later.begin for sooner, later in pairwise(row))
    walks = [item for item in found.activities if item.unit == WALKER]
    assert sum(item.end - item.begin for item in walks) == sum(sum(item.details.values()) for item in walks)


def test_the_requantizer_follows_the_walker():
    """A layer of one tile and one result: sums come once, at the end."""
    fabric_of("mini")
    graph = simplify(parse(networks.fully_connected(1, (1, 400), 4)))
    with Session(graph, fabric="mini") as opened:
        opened.run(np.zeros((1, 400), np.int8))
        found = {item.unit: item for item in opened.timeline().activities if item.name != "result"}
    plan = schedule(graph, preset("mini"))
    (span, _) = estimate(plan).runs[0].time.spans
    assert found["walker"].end - found["walker"].begin == 100
    assert found["walker"].begin - found[DESCRIPTORS].begin == span.launched - span.begin
    assert found["requantizer"].begin > found["walker"].end
    assert found["requantizer"].end == found[DESCRIPTORS].end
    assert found["array"].end == found["requantizer"].begin + 1


def test_weights_that_stream_are_loaded_meanwhile():
    fabric_of(STARVED)
    graph = simplify(parse(networks.fully_connected(1, (1, 300), 9)))
    with Session(graph, fabric=STARVED) as opened:
        opened.run(np.zeros((1, 300), np.int8))
        found = opened.timeline()
    streamed = [item for item in found.activities if item.unit == LOADER and item.name == "weights"]
    walk = [item for item in found.activities if item.unit == WALKER]
    assert streamed
    assert sum(item.end - item.begin for item in streamed) == (3 * 75 - 8) * 4, "all but the ring's, four stream words each"
    assert walk[0].begin < streamed[-1].end < walk[-1].end


def test_trace_events(session):
    found = session.timeline()
    trace = json.loads(found.to_json())
    events = trace["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert list(names.values()) == list(UNITS)
    complete = [event for event in events if event["ph"] == "X"]
    assert len(complete) == len(found.activities)
    for event, item in zip(complete, found.activities, strict=True):
        assert (names[event["tid"]], event["name"], event["ts"], event["dur"]) == (
            item.unit,
            item.name,
            item.begin,
            item.end - item.begin,
        )
        assert event["cat"] == ("measured" if item.unit == DESCRIPTORS else "modelled")
    assert trace["otherData"]["cycles"] == found.cycles
    assert any(item.unit == STORE for item in found.activities)


def test_roofline(session):
    found = session.roofline()
    config = session.fabric
    layers = {layer.name: layer for layer in session.report.layers}
    assert {point.name for point in found.points} == {name for name, layer in layers.items() if layer.cycles and layer.macs}
    for point in found.points:
        layer = layers[point.name]
        assert point.measured == pytest.approx(layer.macs / layer.cycles)
        assert point.measured <= point.attainable <= macs_per_cycle(point.engine, config), "no layer is above its roof"
        limits = {kind: found.bandwidths[kind] * value for kind, value in point.intensity.items()}
        assert point.attainable == min(macs_per_cycle(point.engine, config), *limits.values())
        assert set(point.intensity) <= set(KINDS)
    content = json.loads(found.to_json())
    assert [layer["name"] for layer in content["layers"]] == [point.name for point in found.points]


def test_a_streaming_layer_stands_under_the_host_s_roof():
    """Each weight serves one result: four bytes a cycle are four MAC a cycle."""
    fabric_of(STARVED)
    graph = simplify(parse(networks.fully_connected(1, (1, 400), 40)))
    with Session(graph, fabric=STARVED) as opened:
        opened.run(np.zeros((1, 400), np.int8))
        (point,) = opened.roofline().points
    assert point.roof == "host"
    assert point.moved["host"] == 400 * 40 - 2 * 8 * 16, "the ring comes filled, for two programs"
    assert 0.9 * 4 < point.measured <= point.attainable == 4 * point.intensity["host"]


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("json", b"{")])
def test_files(session, ending, magic):
    for found in (session.timeline(), session.roofline()):
        assert chart(found, chart_format(f"x.{ending.upper()}")).startswith(magic)


def test_an_unknown_ending_is_refused():
    with pytest.raises(ToolError, match="cannot draw t.xyz: its ending must be one of json, .*png.*, not 'xyz'"):
        chart_format("t.xyz")


def test_devices_that_tell_too_little():
    graph = simplify(parse(networks.fully_connected(1, (1, 40), 4)))
    plan = schedule(graph, preset("mini"))
    with pytest.raises(
        DeviceError, match="device odd gave 0 records of 2 descriptors, so when each ran is unknown: take device"
    ):
        timeline(plan, (), device="odd", samples=1)
    with pytest.raises(DeviceError, match="device odd counted no inference"):
        roofline(plan, type(estimate(plan).counters)(), device="odd")
    with Session(graph, device="golden", fabric="mini") as opened:
        with pytest.raises(RuntimeError, match="nothing has run yet"):
            opened.timeline()
        opened.run(np.zeros((1, 40), np.int8))
        with pytest.raises(DeviceError, match="device golden counts no cycles: take device sim"):
            opened.roofline()


def test_the_command(tmp_path, monkeypatch, capsys):
    fabric_of("mini")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.tflite").write_bytes(networks.fully_connected(1, (1, 40), 4))
    np.save("x.npy", np.zeros((2, 40), np.int8))
    common = ["run", "m.tflite", "--input", "x.npy", "--fabric", "mini"]
    assert cli.main([*common, "--timeline", "t.json", "--roofline", "r.svg"]) == 0
    assert json.loads((tmp_path / "t.json").read_text())["otherData"]["samples"] == 2
    assert (tmp_path / "r.svg").read_bytes().startswith(b"<?xml")
    assert cli.main([*common, "--timeline", "t.xyz"]) == 1
    assert "cannot draw t.xyz" in capsys.readouterr().err
    assert cli.main([*common, "--timeline", "t.json", "--roofline", "t.json"]) == 2
    assert "--roofline names the same file as --timeline" in capsys.readouterr().err

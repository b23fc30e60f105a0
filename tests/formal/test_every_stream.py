"""Every stream of every block is in a proof, or it says here why not: a block that is new must be added.

A stream that a block gives is proven to keep the contract. Of one that it takes the contract asks nothing: there the proof
gives it whatever the contract allows, and shows what the block then makes of it.
"""

import ast
from pathlib import Path

import pytest
from formal import test_ready, test_streams, test_weights, test_wiring
from mutation.gateware import HW

ROOT = HW.parent
CASES = {**test_streams.CASES, **test_ready.CASES, **test_wiring.CASES, **test_weights.STREAMS}
EXPLAINED = {
    ("hw/link/receiver.py", "FrameReceiver", "i"): "in the Endpoint's proof, whose `i` it takes",
    ("hw/link/uart.py", "UartTransmitter", "i"): "gives no stream: the bench `link` sees each byte on the wire",
    ("hw/link/device.py", "LinkedFabric", "i o"): "joined to the Endpoint's `i` and `o`",
    ("boards/usb.py", "SerialPort", "i o"): "luna's endpoints, behind which a queue takes what is offered; see `test_usb`",
    ("boards/usb.py", "UsbLink", "i o"): "joined to Amaranth's queues between two clocks",
}


def streams_in(source):
    """(class, member) of each stream that a text declares. One outside of a class, or in another form, is an error."""
    found = set()
    tree = ast.parse(source)
    seen = sum(_is_stream(node) for node in ast.walk(tree))
    for kind in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for node in ast.walk(kind):
            if isinstance(node, ast.Dict):
                pairs = [(getattr(key, "value", None), value) for key, value in zip(node.keys, node.values, strict=True)]
            elif isinstance(node, ast.AnnAssign):
                pairs = [(getattr(node.target, "id", None), node.annotation)]
            else:
                continue
            for name, value in pairs:
                if isinstance(value, ast.Call) and getattr(value.func, "id", "") in ("In", "Out") and _is_stream(value.args[0]):
                    assert isinstance(name, str), f"{kind.name} has a stream whose name this test cannot read"
                    found.add((kind.name, name))
                    seen -= 1
    assert seen == 0, "a stream is declared in a form that this test cannot read: name it `In(stream.Signature(...))` or `Out`"
    return found


def _is_stream(node):
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "stream.Signature"


def test_every_stream_is_accounted_for():
    told = {(f"hw/{file}", *rest) for file, *rest in CASES} | EXPLAINED.keys()
    assert len(told) == len(CASES) + len(EXPLAINED), "told twice"
    told = {(file, kind, name) for file, kind, names in told for name in names.split()}
    found = {
        (str(path.relative_to(ROOT)), *stream)
        for folder in (HW, ROOT / "boards")
        for path in folder.rglob("*.py")
        for stream in streams_in(path.read_text())
    }
    assert found - told == set(), "these streams have neither a proof nor a reason: add them to a proof's key or to EXPLAINED"
    assert told - found == set(), "there are no such streams any more"


def test_a_new_stream_is_seen():
    assert streams_in('class A:\n    def f(self):\n        g({"x": Out(stream.Signature(8)), "y": In(2)})') == {("A", "x")}
    assert streams_in("class A:\n    x: In(stream.Signature(8))\n    y: Out(1)") == {("A", "x")}
    with pytest.raises(AssertionError, match="in a form"):
        streams_in("class A:\n    pass\ns = Out(stream.Signature(8))")
    with pytest.raises(AssertionError, match="in a form"):
        streams_in("class A:\n    x: Out(stream.Signature(8).array(2))")


def test_the_proofs_name_files_that_exist():
    for file, *_ in CASES:
        assert Path(HW, file).exists()

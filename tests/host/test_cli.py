"""The command line: what it prints and writes, and for everything that can go wrong one sentence and an exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
from celosia import CapacityError
from celosia.host import cli, device
from celosia.host.placement import Placement

X = np.random.default_rng(1).integers(-60, 60, (5, 4), np.int8)
TESTS = Path(__file__).parents[1]

# Runs the command line with a device `slow`, which takes a tenth of a second for a sample.
SLOW = """
import sys
import tiny
from celosia.host import cli, device
device._OPENERS["slow"] = lambda address, graph, fabric, trace: tiny.CountingDevice(graph, pause=0.1)
original = tiny.CountingDevice.infer
def infer(self, inputs):
    if self._samples == 2:
        print("mid-run", flush=True)
    return original(self, inputs)
tiny.CountingDevice.infer = infer
sys.exit(cli.main())
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a model, `tiny.tflite`, and five samples, `x.npy`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    Path("tiny.tflite").write_bytes(tiny.model_file())
    np.save("x.npy", X)
    return tmp_path


@pytest.fixture
def counting(monkeypatch):
    """`--device counting`."""
    monkeypatch.setitem(device._OPENERS, "counting", lambda address, graph, fabric, trace: tiny.CountingDevice(graph))


def run(*arguments, device="golden"):
    return cli.main(["run", "tiny.tflite", "--input", "x.npy", "--device", device, *arguments])


def sentence(capsys):
    """What went to standard error: one line and no traceback; and no output file is there."""
    out, err = capsys.readouterr()
    assert err.startswith("celosia: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
    assert sorted(path.name for path in Path().iterdir() if path.name != "kept") == ["tiny.tflite", "x.npy"]
    return err.removeprefix("celosia: error: ").rstrip()


def refused(capsys, *arguments, code=1, device="golden"):
    assert run(*arguments, device=device) == code
    return sentence(capsys)


def command(*arguments, program=("-m", "celosia"), **options):
    defaults = {
        "env": {**os.environ, "PYTHONPATH": str(TESTS)},
        "text": True,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    return subprocess.Popen([sys.executable, *program, *arguments], **{**defaults, **options})


def test_version_and_help(capsys):
    for option, expected in [("--version", "celosia 0."), ("--help", "run a network on inputs")]:
        with pytest.raises(SystemExit) as stop:
            cli.main([option])
        assert stop.value.code == 0
        assert expected in capsys.readouterr().out


def test_run_writes_answers_and_report(folder, counting, capsys):
    assert run("--output", "y.npy", "--json", "r.json", "--picture", "p.png", "--fabric", "mini", device="counting") == 0
    np.testing.assert_array_equal(np.load("y.npy"), tiny.answers(X))
    report = json.loads(Path("r.json").read_text())
    assert (report["model"], report["samples"], report["cycles"]) == ("tiny.tflite", 5, 16)
    assert report["fabric"] == {"name": "mini", "macs_per_cycle": 16}
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in folder.iterdir()) == ["p.png", "r.json", "tiny.tflite", "x.npy", "y.npy"]
    out, err = capsys.readouterr()
    assert "fully_connected" in out
    assert "total" in out
    assert err == ""


def test_run_without_files_prints_the_table(folder, capsys):
    assert run() == 0
    assert "5 inferences on golden" in capsys.readouterr().out


def test_run_limit(folder):
    for limit, samples in [("2", 2), ("5", 5), ("99", 5)]:
        assert run("--limit", limit, "--output", "y.npy") == 0
        np.testing.assert_array_equal(np.load("y.npy"), tiny.answers(X[:samples]))


def test_run_counts_right_answers(folder, capsys):
    classes = tiny.answers(X).argmax(axis=1)
    wrong = (classes + np.array([0, 1, 0, 0, 0])) % tiny.answers(X).shape[1]
    np.savez("x.npz", inputs=X, labels=wrong.astype(np.uint8))
    for limit, right, share in [
        ("9", "80.00% of 5 right; ", 0.8),
        ("2", "50.00% of 2 right; ", 0.5),
        ("1", "100.00% of 1 right", 1),
    ]:
        assert run("--labels", "x.npz", "--limit", limit, "--json", "r.json") == 0
        assert right in capsys.readouterr().out
        assert json.loads(Path("r.json").read_text())["accuracy"] == share
    assert run("--json", "r.json") == 0
    assert "right" not in capsys.readouterr().out
    assert json.loads(Path("r.json").read_text())["accuracy"] is None


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 1], "the labels have the shape (2,), and must be (5,): one a sample of the data"),
        (1, "the labels have the shape (), and must be (5,)"),
        ([0.5] * 5, "the labels are float64, and must be whole numbers: the index of each sample's class"),
        ([0, 1, -1, 0, 0], "label 2 is -1, and must be one of 0 to "),
        ([0, 1, 0, 99, 0], "label 3 is 99, and must be one of 0 to "),
    ],
)
def test_labels_that_do_not_fit(folder, capsys, tmp_path_factory, labels, expected):
    path = tmp_path_factory.mktemp("labels") / "l.npy"
    np.save(path, np.array(labels))
    assert expected in refused(capsys, "--labels", str(path), "--output", "y.npy")
    assert "cannot read the labels nothing.npy: No such file" in refused(capsys, "--labels", "nothing.npy", "--output", "y.npy")


def test_run_reads_and_writes_archives(folder):
    np.savez("x.npy.npz", inputs=X, outputs=X)
    Path("x.npy.npz").rename("x.npy")
    assert run("--output", "y.npz") == 0
    np.testing.assert_array_equal(np.load("y.npz")["outputs"], tiny.answers(X))


def test_run_real_values(folder):
    np.save("x.npy", (X.astype(np.float32) - tiny.ZERO_POINT) * tiny.SCALE)
    assert run("--output", "y.npy") == 0
    np.testing.assert_array_equal(np.load("y.npy"), tiny.answers(X))


def test_run_replaces_an_older_output(folder):
    Path("y.npy").write_text("old")
    assert run("--output", "y.npy") == 0
    assert len(np.load("y.npy")) == 5


def test_run_hands_the_trace_over(folder, monkeypatch):
    def opener(address, graph, fabric, trace):
        trace.write_text("$end")
        return tiny.CountingDevice(graph)

    monkeypatch.setitem(device._OPENERS, "counting", opener)
    assert run("--trace", "waves.vcd", device="counting") == 0
    assert Path("waves.vcd").read_text() == "$end"


def test_check(folder, capsys):
    assert cli.main(["check", "tiny.tflite", "--fabric", "mini"]) == 0
    out = capsys.readouterr().out
    assert "on fabric mini (16 MAC/cycle)" in out
    assert "fully_connected" in out


def test_check_says_where_and_why(folder, capsys, monkeypatch):
    def place(graph, config):
        return tuple(
            Placement(node=node, engine="cpu", reason="the moon is full", advice="wait a week") for node in graph.nodes
        )

    monkeypatch.setattr("celosia.host.placement.place", place)
    assert cli.main(["check", "tiny.tflite"]) == 0
    out = capsys.readouterr().out
    assert "the moon is full; wait a week" in out
    assert "1 node, 1 of them on the CPU, 0.0% of 12 MAC on the fabric" in out


def test_check_of_what_cannot_run(folder, capsys, monkeypatch):
    def place(graph, config):
        raise CapacityError("node 'dense' needs more than this")

    monkeypatch.setattr("celosia.host.placement.place", place)
    assert cli.main(["check", "tiny.tflite"]) == 1
    assert sentence(capsys) == "node 'dense' needs more than this"
    Path("tiny.tflite").write_bytes(tiny.model_file()[:-100])
    assert cli.main(["check", "tiny.tflite"]) == 1
    assert "tiny.tflite" in sentence(capsys)


def test_check_rehearses(folder, capsys, monkeypatch):
    def emit(plan):
        raise CapacityError("the program needs 9 words, the fabric has 8")

    monkeypatch.setattr("celosia.host.emit.emit", emit)
    assert cli.main(["check", "tiny.tflite"]) == 1
    assert sentence(capsys) == "the program needs 9 words, the fabric has 8"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--limit", "0"], "--limit: must be a whole number of 1 or more, not '0'"),
        (["--limit", "x"], "not 'x'"),
        (["--limt", "1"], "unrecognized arguments: --limt 1"),
        (["--out", "y.npy"], "unrecognized arguments: --out y.npy"),
        (["--fabric", "cloud"], "unknown fabric 'cloud': choose one of up5k, mini"),
        (["--output", "x.npy"], "--output names the same file as --input: x.npy"),
        (["--json", "./tiny.tflite"], "--json names the same file as the model: ./tiny.tflite"),
        (["--output", "y", "--json", "./y"], "--json names the same file as --output: ./y"),
        (["--output", ""], "--output needs the name of a file"),
        (["--picture", "p.png"], "--picture shows cycles, and device golden counts none: take device sim"),
        (["--timeline", "t.json"], "--timeline shows cycles, and device golden counts none: take device sim"),
        (["--roofline", "r.png"], "--roofline shows cycles, and device golden counts none: take device sim"),
    ],
)
def test_usage_errors(folder, capsys, arguments, expected):
    assert expected in refused(capsys, *arguments, code=2)


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run"], ["run", "tiny.tflite"]])
def test_incomplete_commands(folder, capsys, arguments):
    assert cli.main(arguments) == 2
    assert "--help tells more" in sentence(capsys)


def test_model_errors(folder, capsys):
    for content in [b"", b"tiny", tiny.model_file()[:200], b"\x89PNG" + bytes(1000)]:
        Path("tiny.tflite").write_bytes(content)
        assert "tiny.tflite" in refused(capsys, "--output", "y.npy")
    Path("tiny.tflite").unlink()
    Path("tiny.tflite").mkdir()
    assert "tiny.tflite" in refused(capsys, "--output", "y.npy")


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (X[0], "the input has shape (4,), but 'x' needs (N, 4), N samples in the first axis: a single sample"),
        (X[:, :3], "the input has shape (5, 3), but 'x' needs (N, 4)"),
        (X[:0], "it holds no sample"),
        (np.int8(1), "the input has shape ()"),
        (X.view(np.uint8), "the input is uint8, but 'x' needs int8"),
        (np.where(np.eye(5, 4), np.nan, X), "the input holds nan at index"),
    ],
)
def test_input_errors(folder, capsys, x, expected):
    np.save("x.npy", x)
    assert expected in refused(capsys, "--output", "y.npy", "--json", "r.json")


def test_input_file_errors(folder, capsys):
    Path("x.npy").write_text("1 2 3")
    assert "x.npy is no whole NumPy file" in refused(capsys, "--output", "y.npy")
    np.savez("x.npz", a=X, b=X)
    Path("x.npz").rename("x.npy")
    assert "x.npy holds the arrays a, b" in refused(capsys)


def test_device_errors(folder, capsys):
    assert "unknown device 'abacus': choose one of" in refused(capsys, "--output", "y.npy", device="abacus")
    assert "no waveforms" in refused(capsys, "--trace", "w.vcd")


def test_places_are_checked_before_the_run(folder, capsys, monkeypatch):
    monkeypatch.setattr("celosia.host.session.Session.run", lambda *_: pytest.fail("it ran"))
    for option in ["--output", "--json", "--trace"]:
        assert "there is no directory" in refused(capsys, option, "missing/file")
    Path("kept").mkdir()
    assert "cannot write kept: it is a directory" in refused(capsys, "--output", "kept")
    assert "its ending must be one of" in refused(capsys, "--picture", "p.xyz", device="sim")


def test_full_disk(folder, capsys, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert refused(capsys, "--output", "y.npy", "--json", "r.json") == "cannot write y.npy: No space left on device"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_standard_output(folder):
    with open("/dev/full", "w") as full:
        process = command("run", "tiny.tflite", "--input", "x.npy", "--device", "golden", stdout=full)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "celosia: error: No space left on device\n")


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (KeyboardInterrupt(), "interrupted after 3 of 5 samples; nothing written"),
        (CapacityError("the\nfabric is   too small"), "the fabric is too small"),
        (OSError(5, "Input/output error", "/dev/ttyUSB0"), "/dev/ttyUSB0: Input/output error"),
        (MemoryError(), "this machine has too little memory for that: give fewer samples at a time, --limit"),
        (TypeError("a bug"), "this is a bug of Celosia, please report it with what --verbose prints: TypeError: a bug"),
    ],
)
def test_failure_in_mid_run_leaves_nothing(folder, capsys, monkeypatch, failure, expected):
    def opener(address, graph, fabric, trace):
        trace.write_text("half")
        return tiny.CountingDevice(graph, fail_at=3, error=failure)

    monkeypatch.setitem(device._OPENERS, "counting", opener)
    outputs = ("--output", "y.npy", "--json", "r.json", "--trace", "w.vcd")
    assert refused(capsys, *outputs, device="counting") == expected


def test_verbose_adds_a_traceback(folder, capsys):
    assert run("--fabric", "cloud", "--verbose") == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert "celosia: error: unknown fabric 'cloud'" in err.splitlines()[-1]
    assert cli.main(["--verbose", "run", "no.tflite", "--input", "x.npy"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_in_mid_run(folder, number):
    np.save("x.npy", np.repeat(X, 40, axis=0))
    process = command(
        *("run", "tiny.tflite", "--input", "x.npy", "--device", "slow", "--output", "y.npy", "--json", "r.json"),
        program=("-c", SLOW),
    )
    assert process.stdout.readline() == "mid-run\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err in [f"celosia: error: interrupted after {done} of 200 samples; nothing written\n" for done in (2, 3)]
    assert out == ""
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.tflite", "x.npy"]


def test_broken_pipe(folder):
    process = command("run", "tiny.tflite", "--input", "x.npy", "--device", "golden", "--output", "y.npy")
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert process.stderr.read() == ""
    assert Path("y.npy").exists(), "the answers were written before the table"
    process.stderr.close()


def test_output_that_is_not_unicode(folder):
    for encoding in ["ascii", "latin-1"]:
        process = command(
            *("run", "tiny.tflite", "--input", "x.npy", "--device", "golden"),
            program=("-X", "utf8=0", "-m", "celosia"),
            encoding="latin-1",
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert "fully_connected" in out


def test_progress_goes_to_a_terminal_on_standard_error(folder):
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    np.save("x.npy", X[:3])
    ours, theirs = pty.openpty()
    process = command(*("run", "tiny.tflite", "--input", "x.npy", "--device", "slow"), program=("-c", SLOW), stderr=theirs)
    out, _ = process.communicate(timeout=60)
    os.close(theirs)
    time.sleep(0.1)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert process.returncode == 0
    assert "/3" in shown
    assert "/3" not in out

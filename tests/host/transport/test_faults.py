"""The host's link and the gateware's over a bad line: every answer right or an error raised, none wrong, no hang."""

import os
from pathlib import Path

import numpy as np
import pytest
import wires
from celosia import Session
from celosia.host.driver import FabricDevice
from celosia.host.frontends.tflite import parse
from celosia.host.passes import simplify
from celosia.host.transport.link import Link
from celosia.hw.presets import preset
from celosia.sim.errors import DeviceError

DIGITS = Path(__file__).parents[3] / "host/demo"
SEED = int(os.environ.get("CELOSIA_SEED", "0"))


def open_link(port):
    return Link(port, name="echo", baud=wires.BAUD, clock=port.clock, patience=0.002, timeout=20.0)


class Run:
    """Words to the echo and back until so many frames have met the faults."""

    def __init__(self, seed, share, simulator=None):
        print(f"seed {seed}, share {share}")
        self.rng = np.random.default_rng(seed)
        self.outward, self.inward = (wires.Faults(self.rng, share) for _ in range(2))
        self.simulator = simulator or wires.echo()
        self.errors = []
        self.answers = self.retries = 0

    @property
    def frames(self):
        return self.outward.frames + self.inward.frames

    def until(self, frames):
        while self.frames < frames:
            port = wires.WirePort(self.simulator, self.outward, self.inward)
            try:
                link = open_link(port)
                try:
                    self.talk(link, frames)
                finally:
                    self.retries += link.retries
            except DeviceError as error:
                self.errors.append(str(error))

    def talk(self, link, frames):
        count = 0
        while self.frames < frames:
            words = self.rng.integers(0, 1 << 32, int(self.rng.choice([1, 3, 20, 150, 700])), dtype=np.uint32)
            link.write(words)
            cut = int(self.rng.integers(len(words) + 1))
            answer = np.concatenate([link.read(cut), link.read(len(words) - cut)])
            np.testing.assert_array_equal(answer, wires.echoed(words, count))
            count += len(words)
            self.answers += len(words)


def check(share, frames, seed):
    run = Run(seed, share)
    run.until(frames)
    print(
        f"{run.frames} frames, {run.outward.hit + run.inward.hit} of them hit; {run.answers} words came back, all right; "
        f"{run.retries} frames repeated or asked for again; errors: {run.errors}"
    )
    assert run.frames >= frames
    assert run.answers > frames // 10
    return run


def test_no_faults_no_repetition():
    run = check(0.0, 400, SEED)
    assert (run.retries, run.errors) == (0, [])


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_every_answer_is_right(share):
    run = check(share, 500, SEED + round(100 * share))
    assert run.retries > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_ten_thousand_frames(seed):
    """Every fifth is damaged, lost, late, or comes twice."""
    run = check(0.2, 10_000, SEED + seed)
    assert run.outward.hit + run.inward.hit > 1500


@pytest.mark.slow
def test_three_of_five_frames_hit():
    """Mostly errors, and still nothing wrong."""
    check(0.6, 3000, SEED + 3)


@pytest.mark.slow
def test_a_network_over_a_bad_line():
    """The digits on the smallest fabric behind it: each answer right, and the counters too."""
    config = preset("mini")
    graph = simplify(parse((DIGITS / "digits.tflite").read_bytes()))
    data = np.load(DIGITS / "digits.npz")
    rng = np.random.default_rng(SEED)
    faults = [wires.Faults(rng, 0.1) for _ in range(2)]
    port = wires.WirePort(wires.fabric(config), *faults)
    device = FabricDevice(graph, config, Link(port, name="mini", baud=wires.BAUD, clock=port.clock, patience=0.01))
    (name,) = graph.inputs
    for sample, expected in zip(data["inputs"][:5], data["outputs"][:5], strict=True):
        np.testing.assert_array_equal(device.infer({name: sample[np.newaxis]})[graph.outputs[0]][0], expected)
    cycles = device.counters().cycles
    assert faults[0].hit + faults[1].hit > 5
    with Session(graph, fabric=config) as session:
        session.run(data["inputs"][:1])
        assert session.report.cycles == cycles / 5

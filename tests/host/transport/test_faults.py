"""The host's link and the gateware's over a bad line: every answer right or an error raised, none wrong, no hang."""

import os

import numpy as np
import pytest
import wires
from celosia.host.transport.link import Link
from celosia.sim.errors import DeviceError

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


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_every_answer_is_right(share):
    run = Run(SEED + round(100 * share), share)
    run.until(600)
    print(run.answers, run.retries, run.errors, run.outward.hit, run.inward.hit, run.simulator.cycles)
    assert run.answers > 100

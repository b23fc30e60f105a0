"""The fuzzers: a few of their cases here, all of them where there is time. CELOSIA_SEED moves the seeds."""

import os

import networks
import numpy as np
import pytest
from celosia import ModelError
from celosia.host.frontends.tflite import parse
from fuzz import graphs, models, streams

FIRST = 1_000_000 * int(os.environ.get("CELOSIA_SEED", "0"))


@pytest.mark.parametrize("seed", [seed for seed in range(8) if graphs.Draw(FIRST + seed).fabric != graphs.FABRICS[-1]])
def test_random_networks(seed):
    """On fabrics that other tests compile too."""
    graphs.Draw(FIRST + seed).check()


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_two_thousand_networks(part):
    """All but a few fit their fabric."""
    seeds = range(FIRST + part * graphs.COUNT // 20, FIRST + (part + 1) * graphs.COUNT // 20)
    too_large = sum(not graphs.Draw(seed).check() for seed in seeds)
    assert too_large <= len(seeds) // 20


def test_networks_have_branches():
    """Ways side by side are in a good part of them, and a flag less leaves a network as it was."""
    sums = [parse(graphs.Draw(seed).model()).nodes for seed in range(24)]
    assert sum(sum(node.op == "add" for node in nodes) > 1 for nodes in sums) > 5
    assert networks.random_network(5) != networks.random_network(5, branches=True)
    assert len({graphs.Draw(seed).fabric for seed in range(40)}) == len(graphs.FABRICS)


def test_damaged_models():
    tally = models.fuzz(FIRST, 6_000)
    print(tally)
    assert not tally.crashes
    assert tally.fuzzed_bytes >= 6_000
    assert min(tally.read, tally.refused) > 0, "every file is whole, or none is"


@pytest.mark.slow
@pytest.mark.parametrize("run", range(models.RUNS))
def test_a_million_bytes(run):
    tally = models.fuzz(FIRST + run, models.BYTES // models.RUNS)
    print(tally)
    assert not tally.crashes


def test_a_crash_is_noticed(monkeypatch):
    """The fuzzer's own test: an importer that raises something else."""

    def careless(data):
        if sum(data) % 2:
            raise IndexError("beyond the end")
        raise ModelError("damaged")

    monkeypatch.setattr(models, "parse", careless)
    tally = models.fuzz(FIRST, 3_000)
    assert tally.crashes
    assert tally.refused
    assert "IndexError: beyond the end" in tally.crashes[0]


def test_equal_seeds_give_equal_files():
    for (_, one, _), (_, other, _), _ in zip(models.files(3), models.files(3), range(20), strict=False):
        assert one == other


@pytest.mark.parametrize("seed", [3, 4])
def test_nonsense_and_then_a_network(seed):
    streams.check_commands(FIRST + seed, "up5k")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_much_nonsense(part):
    for seed in range(FIRST + part * streams.COUNT // 20, FIRST + (part + 1) * streams.COUNT // 20):
        streams.check_commands(seed)


def test_packets_of_nonsense_start_programs():
    """They reach what they are for: each command, and descriptors whose loops end."""
    rng = np.random.default_rng(1)
    config = streams.preset("mini")
    commands = {int(word) >> 24 for _ in range(150) for word in streams.random_words(rng, config)[:1]}
    assert {command.value for command in streams.Command} <= commands

"""Which faults are planted, and which tests are to find them."""

import json
from dataclasses import dataclass
from pathlib import Path

from mutation.declared import FAULTS
from mutation.gateware import HW, Fault
from mutation.operators import Mutant, all_mutants, sample

SEED = "celosia"
"""Which places the faults are planted in."""

PLACES_A_FAULT = 32
"""Of so many places in a file, one has its fault tried; `LEAST` to `MOST` a file."""
LEAST, MOST = 2, 6

TESTS = {
    "config.py": "hw/test_config.py",
    "delay.py": "hw/mac/test_cell.py hw/test_sequencer.py",
    "engine.py": "hw/mac/test_array.py",
    "fabric.py": "hw/test_fabric.py",
    "in_turn.py": "hw/test_in_turn.py",
    "isa.py": "hw/test_isa.py",
    "loader.py": "hw/test_loader.py",
    "presets.py": "hw/test_config.py",
    "readahead.py": "hw/test_readahead.py hw/test_store.py",
    "sequencer.py": "hw/test_sequencer.py",
    "store.py": "hw/test_store.py",
    "stream_buffer.py": "hw/test_stream_buffer.py",
    "compact/columns.py": "hw/compact/test_columns.py",
    "compact/fabric.py": "hw/compact/test_fabric.py",
    "compact/memory.py": "hw/compact/test_memory.py",
    "compact/requantize.py": "hw/compact/test_requantize.py",
    "compact/sequencer.py": "hw/compact/test_sequencer.py",
    "compact/store.py": "hw/compact/test_store.py",
    "compact/walker.py": "hw/compact/test_walker.py",
    "link/crc.py": "hw/link/test_crc.py",
    "link/device.py": "hw/link/test_device.py",
    "link/endpoint.py": "hw/link/test_endpoint.py",
    "link/framing.py": "hw/link/test_receiver.py hw/link/test_sender.py hw/link/test_endpoint.py",
    "link/identity.py": "hw/link/test_identity.py hw/link/test_endpoint.py",
    "link/packets.py": "hw/link/test_packets.py",
    "link/receiver.py": "hw/link/test_receiver.py",
    "link/sender.py": "hw/link/test_sender.py",
    "link/uart.py": "hw/link/test_uart.py",
    "mac/array.py": "hw/mac/test_array.py",
    "mac/cell.py": "hw/mac/test_cell.py hw/mac/test_array.py",
    "mac/depthwise.py": "hw/mac/test_depthwise.py",
    "mac/depthwise_lane.py": "hw/mac/test_depthwise.py",
    "memory/activations.py": "hw/memory/test_activations.py",
    "memory/walker.py": "hw/memory/test_walker.py",
    "memory/weights.py": "hw/memory/test_weights.py",
    "memory/unread.py": "hw/memory/test_weights.py",
    "post/channels.py": "hw/post/test_channels.py hw/post/test_post.py",
    "post/planes.py": "hw/post/test_planes.py hw/post/test_post.py",
    "post/partial.py": "hw/post/test_partial.py hw/post/test_post.py",
    "post/post.py": "hw/post/test_post.py",
    "post/requantize.py": "hw/post/test_requantize.py::test_average_divides_halves_away_from_zero "
    "hw/post/test_requantize.py::test_extremes hw/post/test_requantize.py",
    "post/vector.py": "hw/post/test_vector.py",
    "primitives/__init__.py": "hw/primitives/test_bank.py",
    "primitives/accumulate.py": "hw/primitives/test_accumulate.py",
    "primitives/bank.py": "hw/primitives/test_bank.py",
    "primitives/carry.py": "hw/primitives/test_carry.py",
    "primitives/copies.py": "hw/primitives/test_copies.py",
    "primitives/products.py": "hw/primitives/test_carry.py",
    "primitives/multiplier.py": "hw/primitives/test_multiplier.py",
    "primitives/single_port.py": "hw/primitives/test_single_port.py",
    "xnor/array.py": "hw/xnor/test_array.py",
    "xnor/count.py": "hw/xnor/test_count.py",
    "xnor/engine.py": "test_binary_networks.py test_few_bit_networks.py",
    "xnor/feed.py": "hw/xnor/test_feed.py",
    "xnor/planes.py": "hw/xnor/test_planes.py",
    "xnor/writer.py": "hw/xnor/test_writer.py",
}
"""The tests of each file of the gateware, below `tests/`: its own, where it has any."""

LAST = (
    "mac/array.py",
    "mac/cell.py",
    "link/uart.py",
    "post/requantize.py",
    "link/identity.py",
    "link/framing.py",
    "link/endpoint.py",
    "link/device.py",
    "fabric.py",
    "compact/fabric.py",
    "xnor/engine.py",
)
"""Files whose tests take minutes, or compile a simulator for each fault: they come last, in this order."""

SAMPLE = ("declared-6", "declared-23", "declared-24")
"""Faults that `make test` plants."""


@dataclass(frozen=True, kw_only=True)
class Planting:
    """A fault and the tests that it is to be found by."""

    number: str
    file: str
    kind: str
    what: str
    fault: Fault | Mutant
    tests: tuple[str, ...]

    def source(self) -> str:
        """The file with the fault in it."""
        return self.fault.apply((HW / self.file).read_text())


def tests_of(file: str) -> tuple[str, ...]:
    """Paths below the project's root. Raises LookupError."""
    if file not in TESTS:
        raise LookupError(f"hw/{file} has no tests in tests/mutation/plan.py: name those that are to find its faults")
    return tuple(f"tests/{name}" for name in TESTS[file].split())


def declared() -> list[Planting]:
    """The faults written down one by one."""
    return [
        Planting(number=number, file=fault.file, kind="declared", what=fault.what, fault=fault, tests=tests_of(fault.file))
        for number, fault in FAULTS.items()
    ]


def drawn() -> list[Planting]:
    """The faults drawn from all places of the gateware."""
    chosen = []
    for mutants in all_mutants().values():
        count = min(max(round(len(mutants) / PLACES_A_FAULT), LEAST), MOST)
        chosen += sample(mutants, count, SEED)
    return [
        Planting(
            number=mutant.number,
            file=mutant.file,
            kind=mutant.kind,
            what=f"{mutant.function}: {mutant.old}",
            fault=mutant,
            tests=tests_of(mutant.file),
        )
        for mutant in chosen
    ]


def none(file: str) -> Planting:
    """No fault at all, which no test may find."""
    fault = Fault(file=file, old=(HW / file).read_text(), new=(HW / file).read_text(), what="nothing")
    return Planting(number="none", file=file, kind="none", what="nothing", fault=fault, tests=tests_of(file))


def explanations() -> dict[str, str]:
    """Why a fault that no test finds is none, or is left: by its key."""
    return json.loads((Path(__file__).parent / "explained.json").read_text())

"""One network of 8, 4, 2 bits and of ternary weights, on one fabric: how often it is right, its cycles, its weights' bytes."""

from celosia.host.cost.model import estimate
from celosia.host.placement import place
from celosia.host.schedule import schedule
from celosia.hw.presets import preset
from rich.table import Table

from .binary import BOTH, accuracy, mnist, trained
from .workloads import Figures

NETWORKS = {"cnn8": "8 bits", "cnn4": "4 bits", "cnn2": "2 bits", "cnnt": "2 bits, ternary"}


def table(clock: float | None, figures: Figures) -> Table:
    """Of the networks in tests/training/models: accuracy on all test images by the golden models, cycles by the cost model,
    which are the fabric's, and bytes of the weights as the fabric holds them. Accuracy only beside ../shared."""
    rows = Table(title=f"one CNN at four widths on {BOTH}" + (f", at {clock:g} MHz" if clock else ""))
    for column in ("network", "inner layers", "right", "cycles", "images/s", "weight bytes", "on XNOR engine"):
        rows.add_column(column, justify="left" if column in ("network", "inner layers") else "right")
    images, config = mnist(), preset(BOTH)
    for name, width in NETWORKS.items():
        graph = trained(name)
        places = place(graph, config)
        cycles = estimate(schedule(graph, config)).cycles
        weights = [placement.layer.weights for placement in places if placement.layer is not None]
        held = sum(words.nbytes for words in weights if words is not None)
        figures[f"mnist.{name}.cycles"] = cycles
        figures[f"mnist.{name}.weight_bytes"] = held
        right = "-"
        if images:
            figures[f"mnist.{name}.accuracy"] = share = accuracy(graph, *images)
            right = f"{share:.2%}"
        rate = f"{clock * 1e6 / cycles:,.0f}" if clock else "-"
        engines = [placement.engine for placement in places if placement.engine in ("mac", "xnor")]
        rows.add_row(name, width, right, f"{cycles:,}", rate, f"{held:,}", f"{engines.count('xnor')} of {len(engines)}")
    return rows

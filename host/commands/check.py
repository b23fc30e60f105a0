"""`celosia check`: every node of a network, where it would run, and what would bring it onto the fabric."""

import argparse

from .arguments import add_fabric, add_model, fabric_of

SUMMARY = "say where each node of a network would run, and why"

_PLACES = {
    "mac": "MAC array",
    "depthwise": "depthwise unit",
    "vector": "vector unit",
    "xnor": "XNOR engine",
    "cpu": "CPU",
    "none": "free",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_model(parser)
    add_fabric(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Prints the table and the totals, after a rehearsal: what cannot run at all raises ModelError or CapacityError."""
    fabric = fabric_of(arguments.fabric)

    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from ..emit import emit
    from ..placement import place
    from ..schedule import schedule
    from ..session import input_of, load_model
    from .terminal import output

    graph = load_model(arguments.model)
    input_of(graph)
    placements = place(graph, fabric)
    has_ops = not all(placement.node.name.startswith(placement.node.op) for placement in placements)
    binary = f", {fabric.binary_macs_per_cycle:,} binary" if fabric.xnor_pixels else ""
    title = f"{graph.name} on fabric {fabric.name} ({fabric.macs_per_cycle} MAC/cycle{binary})"
    table = Table(title=Text(title), box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    table.add_column("node", overflow="fold")
    if has_ops:
        table.add_column("op", overflow="fold")
    table.add_column("output", no_wrap=True)
    table.add_column("MAC", justify="right", no_wrap=True)
    table.add_column("runs on", no_wrap=True)
    table.add_column("why not on the fabric, and what would help", overflow="fold")
    for placement in placements:
        node = placement.node
        macs = node.macs(graph)
        cells = (
            *((node.name, node.op) if has_ops else (node.name,)),
            "x".join(map(str, graph.tensors[node.output].shape[1:])),
            f"{macs:,}" if macs else "",
            _PLACES.get(placement.engine, placement.engine),
            "; ".join(part for part in (placement.reason, placement.advice) if part),
        )
        table.add_row(*map(Text, cells))
    console = output()
    console.print(table)
    on_cpu = [placement.node for placement in placements if placement.engine == "cpu"]
    macs_on_cpu = sum(node.macs(graph) for node in on_cpu)
    share = f", {1 - macs_on_cpu / graph.macs:.1%} of {graph.macs:,} MAC on the fabric" if graph.macs else ""
    nodes = f"{len(placements)} node{'' if len(placements) == 1 else 's'}"
    emit(schedule(graph, fabric))
    console.print(f"{graph.name} runs: {nodes}, {len(on_cpu)} of them on the CPU{share}")
    if "thresholds" in graph.metadata:
        from ..frontends.qonnx import exactness

        console.print(exactness(int(graph.metadata["unproven"]), int(graph.metadata["thresholds"])))
    return 0

"""`make bench`: cycles and speed on the simulated fabric; prints tables and writes bench.json.

Runs the four MLPerf Tiny models on every input beside them in ../shared, each output compared with the reference's; without
../shared, the project's own digits network. Times are of this machine, now: read the ratios.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.sim import Simulator as AmaranthSimulator
from celosia.host.emit import activations_packet, descriptor_words, packet
from celosia.host.session import Session
from celosia.hw.config import STREAM_BYTES, preset
from celosia.hw.fabric import Fabric
from celosia.hw.isa import CHANNEL_WORDS, DESCRIPTOR_WORDS, RECORD_WORDS, Command, Operation
from celosia.sim.engine import Simulator
from rich.console import Console
from rich.table import Table

FABRIC = "ecp5-85"
STARVED = "ecp5-85-w8k"
STARVED_SAMPLES = 20
ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
MODELS = {
    "ic01": "ic01_resnet8_int8",
    "kws01": "kws01_dscnn_int8",
    "vww01": "vww01_mobilenet_int8",
    "ad01": "ad01_int8",
}


def workloads() -> Iterator[tuple[str, Path, Any]]:
    """Name, model file, arrays `inputs` and `outputs`."""
    if SHARED.is_dir():
        for name, model in MODELS.items():
            yield name, SHARED / "models" / f"{model}.tflite", np.load(SHARED / "data" / f"{name}.npz")
    else:
        demo = ROOT / "host" / "demo"
        yield "digits", demo / "digits.tflite", np.load(demo / "digits.npz")


def measure(name: str, model: Path, data: Any, figures: dict[str, float]) -> tuple[str, ...]:
    """Runs a whole set on the fabric, fills in the figures, and gives the table's row."""
    with Session(model, fabric=FABRIC) as session:
        outputs = session.run(data["inputs"])
        report = session.report
    wrong = int((outputs != data["outputs"]).any(axis=1).sum())
    if wrong:
        sys.exit(f"{name}: {wrong} of {len(outputs)} outputs differ from the reference")
    convolutions = [layer for layer in report.layers if layer.op == "conv_2d"]
    busy = sum(layer.cycles or 0 for layer in convolutions) * report.fabric.macs_per_cycle
    figures[f"{name}.cycles"] = report.cycles
    figures[f"{name}.utilization"] = report.utilization
    figures[f"{name}.conv_utilization"] = sum(layer.macs for layer in convolutions) / busy if busy else 0.0
    figures[f"{name}.macs_per_cycle"] = report.macs / report.cycles
    figures[f"{name}.macs_per_second"] = report.macs * report.samples / report.seconds
    figures[f"{name}.set_seconds"] = report.seconds
    return (
        name,
        f"{report.samples}",
        f"{report.cycles:,.0f}",
        f"{report.cycles_io:,.0f}",
        f"{report.utilization:.1%}",
        f"{figures[f'{name}.conv_utilization']:.1%}" if busy else "-",
        f"{figures[f'{name}.macs_per_cycle']:.1f}",
        f"{figures[f'{name}.macs_per_second'] / 1e6:.1f} M",
        f"{report.seconds:.1f} s",
    )


def starved(model: Path, data: Any, figures: dict[str, float]) -> str:
    """ic01 with a weight buffer of 8 KiB: the outputs, and how much of the weights' transfer the array's work hid."""
    count = STARVED_SAMPLES
    with Session(model, fabric=STARVED) as session:
        outputs = session.run(data["inputs"][:count])
        report = session.report
    if not np.array_equal(outputs, data["outputs"][:count]):
        sys.exit(f"ic01 on {STARVED}: outputs differ from the reference")
    streamed = report.bytes_in / STREAM_BYTES - data["inputs"][0].size / STREAM_BYTES
    waited = sum(layer.stalls["weights"] or 0 for layer in report.layers)
    figures["ic01.w8k.cycles"] = report.cycles
    figures["ic01.w8k.overlap"] = 1 - waited / streamed
    return (
        f"ic01 on {STARVED}: {count} outputs equal; {report.cycles:,.0f} cycles; of {streamed:,.0f} cycles of streaming "
        f"weights {1 - waited / streamed:.1%} behind the array's work, {waited:,.0f} waited for"
    )


def small_layer() -> tuple[np.ndarray, int]:
    """The words of a fully-connected layer of 64 inputs and as many outputs as a tile has, and of its answer."""
    config = preset(FABRIC)
    steps = 64 // config.rows
    rng = np.random.default_rng(1)
    weights = rng.integers(-127, 128, (steps, config.rows, config.cols), np.int8)
    layer = descriptor_words(
        operation=Operation.MAC, column_limit=64, row_limit=1, kernel_rows=1, kernel_columns=1, chunks=steps,
        output_columns=1, output_rows=1, tiles=1, last_lanes=config.cols, write_address=64, low=-128, high=127,
    )  # fmt: skip
    store = descriptor_words(operation=Operation.STORE, row_address=64, length=config.cols // 4)
    end = descriptor_words(operation=Operation.END)
    assert len(layer) == DESCRIPTOR_WORDS
    words = [
        packet(Command.LOAD_WEIGHTS, 0, weights.reshape(-1).view(np.uint32)),
        packet(Command.LOAD_CHANNELS, 0, [0xFFFFFFF8, 100, 1 << 30] * (config.cols * CHANNEL_WORDS // 3)),
        packet(Command.LOAD_PROGRAM, 0, np.concatenate([layer, store, end])),
        activations_packet(0, rng.integers(-128, 128, 64, np.int8)),
        packet(Command.START, 0),
    ]
    return np.concatenate(words), 2 + config.cols // 4 + 2 + 2 * RECORD_WORDS


def compare(figures: dict[str, float]) -> str:
    """One small layer on Amaranth's own simulator and on the compiled one: the same words, cycles a second."""
    words, count = small_layer()
    fabric = Fabric(preset(FABRIC))
    answers: list[int] = []
    cycles = 0

    async def host(ctx: Any) -> None:
        nonlocal cycles
        index = 0
        ctx.set(fabric.o.ready, 1)
        while len(answers) < count:
            ctx.set(fabric.i.valid, index < len(words))
            if index < len(words):
                ctx.set(fabric.i.payload, int(words[index]))
            _, _, ready, valid, payload = await ctx.tick().sample(fabric.i.ready, fabric.o.valid, fabric.o.payload)
            index += bool(ready and index < len(words))
            if valid:
                answers.append(payload)
            cycles += 1

    simulator = AmaranthSimulator(fabric)
    simulator.add_clock(1e-6)
    simulator.add_testbench(host)
    start = time.perf_counter()
    simulator.run()
    slow = cycles / (time.perf_counter() - start)

    compiled = Simulator(preset(FABRIC))
    repeats = 200
    start = time.perf_counter()
    for _ in range(repeats):
        compiled.write(words)
        answer = compiled.read(count)
    fast = compiled.cycles / (time.perf_counter() - start)
    if answers != answer.tolist():
        sys.exit("the two simulators disagree")
    figures["sim.cycles_per_second"] = fast
    figures["sim.amaranth_cycles_per_second"] = slow
    return (
        f"one layer of 64 x {preset(FABRIC).cols} MAC on {FABRIC}, {cycles} cycles: Amaranth's simulator "
        f"{slow:,.0f} cycles/s, compiled {fast:,.0f}: {fast / slow:,.0f} times as fast"
    )


def main() -> None:
    """Prints and writes everything."""
    console = Console()
    figures: dict[str, float] = {}
    table = Table(title=f"One inference on {FABRIC} ({preset(FABRIC).macs_per_cycle} MAC a cycle), every output exact")
    for column in ("model", "samples", "cycles", "I/O", "util.", "conv", "MAC/cycle", "MAC/s simulated", "set"):
        table.add_column(column, justify="left" if column == "model" else "right")
    jobs = list(workloads())
    for name, model, data in jobs:
        table.add_row(*measure(name, model, data, figures))
    console.print(table)
    rates = [value for key, value in figures.items() if key.endswith(".macs_per_second")]
    figures["sim.macs_per_second"] = max(rates)
    for name, model, data in jobs:
        if name == "ic01":
            console.print(starved(model, data, figures))
    console.print(compare(figures))
    path = ROOT / "bench.json"
    path.write_text(json.dumps({name: round(float(value), 4) for name, value in figures.items()}, indent=2) + "\n")
    console.print(f"wrote {path}")


if __name__ == "__main__":
    main()

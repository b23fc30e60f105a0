"""Amaranth's own simulator and the compiled one on the same words."""

import sys
import time
from typing import Any

import numpy as np
from amaranth.sim import Simulator as AmaranthSimulator
from celosia.host.emit import activations_packet, descriptor_words, packet
from celosia.hw.fabric import Fabric
from celosia.hw.isa import CHANNEL_WORDS, DESCRIPTOR_WORDS, RECORD_WORDS, Command, Operation
from celosia.hw.presets import preset
from celosia.sim.engine import Simulator

from .workloads import FABRIC, Figures


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


def compare(figures: Figures) -> str:
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

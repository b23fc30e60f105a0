"""The compact fabric, whole: for chips of a few thousand logic cells.

    i --> loader --+--> program --> sequencer --> descriptor, launch
                   +--> weights --> weight memory ----------+
                   +--> channel parameters                  |
                   +--> activation memory <------------+    |
                          |      ^ walker              |    |
                          +--> columns <---------------|----+
                          |       +--> requantizer ----+
                          +--> store --> o

Commands, programs and results are those of the large fabric. A word of weights is read in `rows` cycles, a row in each, with
one byte of activations: weights and activations lie in large memories of one port each. The loader writes when a port is free.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..config import FabricConfig
from ..engine import Marks
from ..isa import Descriptor
from ..loader import Loader
from ..memory.weights import WeightBuffer
from ..primitives.single_port import SinglePortMemory
from .columns import Columns
from .memory import ByteMemory
from .requantize import SerialRequantizer
from .sequencer import CompactSequencer
from .store import CompactStore
from .walker import ByteWalker

_READ_LATENCY = 1  # of both memories


class CompactFabric(wiring.Component):
    """One accelerator. `i` takes packets of `Command`, `o` gives packets of `Answer`: see `isa`.

    START waits for the end of the program before, and so does WAIT, whatever it asks for; LOAD_DEPTHWISE has no effect.
    """

    def __init__(self, config: FabricConfig):
        self.config = config
        super().__init__({"i": In(stream.Signature(32)), "o": Out(stream.Signature(32))})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.loader = loader = Loader(config)
        m.submodules.sequencer = sequencer = CompactSequencer(config)
        m.submodules.activations = activations = ByteMemory(config)
        m.submodules.controller = controller = WeightBuffer(config, step_latency=_READ_LATENCY, address_latency=0)
        m.submodules.weights = weights = SinglePortMemory(width=8 * config.cols, depth=config.weight_depth * config.rows)
        m.submodules.walker = walker = ByteWalker(config, pace=SerialRequantizer.cycles_of(config))
        m.submodules.columns = columns = Columns(config)
        m.submodules.requantizer = requantizer = SerialRequantizer(config)
        m.submodules.store = store = CompactStore(config)

        # Loading
        connect(m, flipped(self.i), loader.i)
        connect(m, loader.channels, requantizer.channels)
        connect(m, loader.program, sequencer.program)
        connect(m, loader.starts, sequencer.starts)
        connect(m, loader.activations, activations.load)
        m.d.comb += [
            loader.activations_ready.eq(activations.load_ready),
            loader.depthwise.ready.eq(1),
            loader.waited.eq(sequencer.idle),
            controller.load_at.eq(loader.load_weights),
            controller.load_address.eq(loader.load_address),
            controller.load_ring.eq(loader.ring),
            controller.set_ring.eq(loader.set_ring),
            controller.ring_base.eq(loader.load_address),
            controller.i.payload.eq(loader.weights.payload),
            controller.i.valid.eq(loader.weights.valid & ~walker.busy),
            loader.weights.ready.eq(controller.i.ready & ~walker.busy),
            requantizer.load_at.eq(loader.load_channels),
            requantizer.load_entry.eq(loader.load_address),
        ]

        # Running a descriptor
        descriptor = Signal(Descriptor)
        m.d.comb += descriptor.eq(sequencer.descriptor)
        for unit in (walker, requantizer, store):
            m.d.comb += unit.descriptor.eq(descriptor)
        connect(m, walker.weights, controller.request)
        connect(m, walker.read, activations.read)
        m.d.comb += [
            walker.start.eq(sequencer.launch),
            walker.weight_ready.eq(controller.ready),
            requantizer.start.eq(sequencer.launch),
            store.start.eq(sequencer.launch_store),
            activations.half.eq(store.half),
            activations.use_half.eq(store.active),
            store.i_half.eq(activations.o_half),
            weights.i_write.eq(controller.load.enable),
            weights.i_bytes.eq(-1),
            weights.i_data.eq(Cat(weight.as_unsigned() for weight in controller.load.data)),
        ]
        with m.If(walker.busy):
            m.d.comb += weights.i_address.eq(Cat(walker.row, controller.address))
        with m.Else():
            m.d.comb += weights.i_address.eq(Cat(controller.load.row, controller.load.address))

        add, last = Signal(), Signal()
        m.d.sync += [add.eq(walker.o_step.valid), last.eq(walker.o_step.last)]
        marks, last_tile = Signal(Marks, reset_less=True), Signal(reset_less=True)  # until the result is there
        with m.If(walker.o_step.last):
            m.d.sync += [marks.eq(walker.o_step.marks), last_tile.eq(walker.o_step.last_tile)]
        m.d.comb += [
            columns.i_activation.eq(activations.o_byte),
            columns.add.eq(add),
            columns.last.eq(last),
            requantizer.i_valid.eq(columns.o_valid),
            requantizer.i_sums.eq(columns.o_sums),
            requantizer.i_marks.eq(marks),
            requantizer.i_last_tile.eq(last_tile),
            activations.write.eq(requantizer.write),
            activations.address.eq(requantizer.address),
            activations.byte.eq(requantizer.byte),
        ]
        for column in range(config.cols):
            m.d.comb += columns.i_weights[column].eq(weights.o_data.word_select(column, 8))

        ending = Signal()  # the layer's last byte waits
        finished = Signal()
        m.d.comb += [finished.eq(ending & ~activations.waiting), sequencer.done.eq(finished | store.done)]
        m.d.sync += ending.eq(requantizer.done | (ending & ~finished))
        m.d.comb += [
            sequencer.activity.busy.eq(walker.busy),
            sequencer.activity.weights.eq(walker.starved),
            sequencer.activity.output.eq(walker.stalled | store.active),
            sequencer.activity.activations.eq(~walker.active & ~store.active),
        ]

        with m.If(store.active):
            m.d.comb += [self.o.valid.eq(store.o.valid), self.o.payload.eq(store.o.payload), store.o.ready.eq(self.o.ready)]
        with m.Else():
            m.d.comb += [
                self.o.valid.eq(sequencer.o.valid),
                self.o.payload.eq(sequencer.o.payload),
                sequencer.o.ready.eq(self.o.ready),
            ]
        return m

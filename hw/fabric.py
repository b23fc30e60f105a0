"""The whole fabric: a stream in, a stream out.

i --> loader --+--> program --> sequencer --> descriptor, launch
               +--> weights --> weight buffer --> banks in the array
               +--> channel parameters
               +--> activation memory <---------------------------------+
                         |      ^ window walker                         |
                         +--> systolic array --+                        |
                         +--> vector unit -----+--> post-processing ----+
                         +--> store --> o
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped

from .compact.fabric import CompactFabric
from .config import FabricConfig
from .isa import Descriptor, Operation
from .loader import Loader
from .mac.array import SystolicArray
from .mac.depthwise import DepthwiseUnit
from .memory.activations import ActivationMemory
from .memory.walker import WindowWalker
from .memory.weights import WeightBuffer
from .post.channels import ChannelParameters
from .post.post import PostProcessor
from .post.vector import VectorUnit
from .sequencer import Sequencer
from .store import Store
from .stream_buffer import StreamBuffer

_STARTS = 4  # programs that may wait


class Fabric(wiring.Component):
    """One accelerator. `i` takes packets of `Command`, `o` gives packets of `Answer`: see `isa`."""

    def __init__(self, config: FabricConfig):
        self.config = config
        super().__init__({"i": In(stream.Signature(32)), "o": Out(stream.Signature(32))})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        if config.compact:
            m.submodules.compact = compact = CompactFabric(config)
            connect(m, flipped(self.i), compact.i)
            connect(m, compact.o, flipped(self.o))
            return m
        m.submodules.loader = loader = Loader(config)
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.activations = activations = ActivationMemory(config)
        m.submodules.weights = weights = WeightBuffer(
            config, step_latency=WindowWalker.LATENCY + SystolicArray.read_latency_of(config)
        )
        m.submodules.walker = walker = WindowWalker(config)
        m.submodules.array = array = SystolicArray(config)
        m.submodules.vector = vector = VectorUnit(config)
        m.submodules.post = post = PostProcessor(config)
        for unit in (ChannelParameters, DepthwiseUnit):
            assert unit.load_latency_of(config) < Sequencer.FETCH_CYCLES, "a START would overtake a load"
        m.submodules.store = store = Store(config)
        m.submodules.starts = starts = SyncFIFO(width=loader.starts.payload.shape().width, depth=_STARTS)

        # Loading
        m.submodules.buffer_i = buffer = StreamBuffer(32)
        connect(m, flipped(self.i), buffer.i)
        connect(m, buffer.o, loader.i)
        connect(m, loader.weights, weights.i)
        connect(m, loader.channels, post.channels)
        connect(m, loader.program, sequencer.program)
        connect(m, weights.load, array.load)
        m.d.comb += [
            weights.load_at.eq(loader.load_weights),
            weights.load_address.eq(loader.load_address),
            weights.load_ring.eq(loader.ring),
            weights.set_ring.eq(loader.set_ring),
            weights.ring_base.eq(loader.load_address),
            post.load_at.eq(loader.load_channels),
            post.load_entry.eq(loader.load_address),
        ]
        connect(m, loader.starts, starts.w_stream)
        connect(m, starts.r_stream, sequencer.starts)
        m.d.comb += loader.idle.eq(sequencer.idle & ~starts.r_rdy)

        # Results go first to the activation memory: the engines cannot wait, the loader can.
        write = activations.write
        m.d.comb += loader.activations_ready.eq(~post.write.enable)
        with m.If(post.write.enable):
            m.d.comb += [write.enable.eq(1), write.address.eq(post.write.address), write.count.eq(post.write.count)]
            m.d.comb += write.data.eq(post.write.data)
        with m.Else():
            m.d.comb += [
                write.enable.eq(loader.activations.enable),
                write.address.eq(loader.activations.address),
                write.count.eq(loader.activations.count),
                write.data.eq(loader.activations.data),
            ]

        # Running a descriptor
        descriptor = Signal(Descriptor)
        m.d.comb += [
            descriptor.eq(sequencer.descriptor),
            walker.descriptor.eq(descriptor),
            post.descriptor.eq(descriptor),
            store.descriptor.eq(descriptor),
            walker.start.eq(sequencer.launch),
            post.start.eq(sequencer.launch),
            store.start.eq(sequencer.launch_store),
            sequencer.done.eq(post.done),
            sequencer.store_done.eq(store.done),
        ]
        connect(m, walker.weights, weights.request)
        m.d.comb += [walker.weight_ready.eq(weights.ready), walker.weight_address.eq(weights.address)]
        for name in ("address", "first", "end", "pad"):
            source = Mux(store.active, getattr(store.read, name), getattr(walker.read, name))
            m.d.comb += getattr(activations.read, name).eq(source)

        is_operation = {
            operation: descriptor.operation == operation for operation in (Operation.MAC, Operation.ADD, Operation.DEPTHWISE)
        }
        engines = [(is_operation[Operation.MAC], array)]
        if config.depthwise_tiles:
            m.submodules.depthwise = depthwise = DepthwiseUnit(config)
            connect(m, loader.depthwise, depthwise.i)
            m.d.comb += [
                depthwise.load_at.eq(loader.load_depthwise),
                depthwise.load_entry.eq(loader.load_address),
                depthwise.descriptor.eq(descriptor),
                depthwise.start.eq(sequencer.launch),
            ]
            engines.append((is_operation[Operation.DEPTHWISE], depthwise))
        else:
            m.d.comb += loader.depthwise.ready.eq(1)
        engines.append((~Cat(selected for selected, _ in engines).any(), vector))
        for selected, engine in engines:
            m.d.comb += [
                engine.i_step.eq(walker.o_step),
                engine.i_step.valid.eq(walker.o_step.valid & selected),
                engine.i_activations.eq(activations.o_data),
            ]
            with m.If(selected):
                m.d.comb += [
                    post.i.valid.eq(engine.o.valid),
                    post.i.marks.eq(engine.o.marks),
                    post.i.sums.eq(engine.o.sums),
                ]
        m.d.comb += [
            array.i_address.eq(walker.o_address),
            vector.add.eq(is_operation[Operation.ADD]),
            store.i_data.eq(activations.o_data),
        ]
        for name in ("multiplier", "zero_point", "shift"):
            m.d.comb += vector.right[name].eq(descriptor[f"right_{name}"])
        m.d.comb += [
            sequencer.activity.busy.eq(walker.taken),
            sequencer.activity.weights.eq(walker.starved),
            sequencer.activity.output.eq(walker.stalled | store.active),
            sequencer.activity.activations.eq(~walker.active & ~store.active),
        ]

        # Answers: one sender at a time, the program's order.
        m.submodules.buffer_o = buffer = StreamBuffer(32)
        with m.If(store.active):
            connect_stream(m, store.o, buffer.i)
        with m.Else():
            connect_stream(m, sequencer.o, buffer.i)
        connect(m, buffer.o, flipped(self.o))
        return m


def connect_stream(m, source, sink):
    """Joins two streams under the condition of the enclosing statement."""
    m.d.comb += [sink.valid.eq(source.valid), sink.payload.eq(source.payload), source.ready.eq(sink.ready)]

"""The whole fabric: a stream in, a stream out.

i --> loader --+--> program --> sequencer --> descriptor, launch
               +--> weights --> weight buffer --> banks in the array
               +--> channel parameters
               +--> activation memory <---------------------------------+
                         |      ^ window walker                         |
                         +--> systolic array --+                        |
                         +--> vector unit -----+--> post-processing ----+
                         +--> XNOR engine ------------------------------+
                         +--> store --> o
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value, ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped

from .compact.fabric import CompactFabric
from .config import STREAM_BYTES, FabricConfig
from .delay import delay
from .in_turn import InTurn
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
from .primitives.copies import copies
from .sequencer import Sequencer
from .store import Store
from .stream_buffer import StreamBuffer
from .xnor.engine import XnorEngine
from .xnor.feed import XnorFeed

_STARTS = 4  # programs that may wait
_LOAD_LATENCY = 3  # cycles from the loader to memories that always take what comes
_CHANNELS_A_COPY = 4


class Fabric(wiring.Component):
    """One accelerator. `i` takes packets of `Command`, `o` gives packets of `Answer`: see `isa`.

    Parameters: `config`, and `reset`, which puts it back to its beginning, memories aside, when it is high for as many cycles
    as the longest pipeline has registers.
    """

    MERGE_LATENCY = 1
    """Cycles that sums of other engines than the array take to the post-processing."""

    def __init__(self, config: FabricConfig, *, reset: ValueLike = 0):
        self.config = config
        self._reset = Value.cast(reset)
        super().__init__({"i": In(stream.Signature(32)), "o": Out(stream.Signature(32))})

    @staticmethod
    def step_latency_of(config: FabricConfig) -> int:
        """Cycles from a step to the last cell's reading of its weight word, less those that a load takes to that cell."""
        return WindowWalker.LATENCY + SystolicArray.read_latency_of(config) + XnorFeed.lag_of(config)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        if config.compact:
            compact = self._put(m, platform, "compact", CompactFabric(config))
            connect(m, flipped(self.i), compact.i)
            connect(m, compact.o, flipped(self.o))
            return m
        loader = self._put(m, platform, "loader", Loader(config))
        sequencer = self._put(m, platform, "sequencer", Sequencer(config))
        activations = self._put(m, platform, "activations", ActivationMemory(config))
        weights = self._put(m, platform, "weights", WeightBuffer(config, step_latency=self.step_latency_of(config)))
        walker = self._put(m, platform, "walker", WindowWalker(config))
        array = self._put(m, platform, "array", SystolicArray(config))
        vector = self._put(m, platform, "vector", VectorUnit(config))
        post = self._put(m, platform, "post", PostProcessor(config))
        for unit in (ChannelParameters, DepthwiseUnit):
            latency = _LOAD_LATENCY + unit.load_latency_of(config)
            assert latency < Sequencer.FETCH_CYCLES, "a START would overtake a load"
        store = self._put(m, platform, "store", Store(config))
        coming = self._put(m, platform, "buffer_starts", StreamBuffer(loader.starts.payload.shape()))
        starts = self._put(m, platform, "starts", SyncFIFO(width=len(coming.o.payload), depth=_STARTS))

        # Loading; the first of the buffers stands with whoever gives the words, the last with the loader, one on the way.
        words = flipped(self.i)
        for name in ("buffer_i", "buffer_way", "buffer_loader"):
            buffer = self._put(m, platform, name, StreamBuffer(32))
            connect(m, words, buffer.i)
            words = buffer.o
        connect(m, words, loader.i)
        connect(m, loader.weights, weights.i)
        connect(m, weights.load, array.load)
        m.d.comb += [
            weights.load_at.eq(loader.load_weights),
            weights.load_address.eq(loader.load_address),
            weights.load_ring.eq(loader.ring),
            *([weights.load_whole.eq(loader.whole)] if config.doubles else []),
            # The first word that the ring could take comes behind two others, and the weights are far away.
            weights.set_ring.eq(delay(m, loader.set_ring, 2, name="set_ring")),
            weights.ring_base.eq(delay(m, loader.load_address[: len(weights.ring_base)], 2, name="ring_base")),
        ]
        # Memories that always take what comes lie far apart: each has a register of its own for the loader's words.
        channel_word, program_word, depthwise_word = (
            delay(m, word, _LOAD_LATENCY - 2, name=f"word_{index}")
            for index, word in enumerate(copies(m, platform, delay(m, loader.i.payload, 1, name="word"), 3, name="word"))
        )
        m.d.comb += [
            loader.channels.ready.eq(1),
            post.channels.payload.eq(channel_word),
            post.channels.valid.eq(delay(m, loader.channels.valid, _LOAD_LATENCY, name="channels")),
            post.load_at.eq(delay(m, loader.load_channels, _LOAD_LATENCY, name="load_channels")),
            post.load_entry.eq(channel_word),
            sequencer.program.enable.eq(delay(m, loader.program.enable, _LOAD_LATENCY, name="program")),
            sequencer.program.address.eq(delay(m, loader.program.address, _LOAD_LATENCY, name="program_address")),
            sequencer.program.data.eq(program_word),
        ]
        connect(m, loader.starts, coming.i)
        connect(m, coming.o, starts.w_stream)
        connect(m, starts.r_stream, sequencer.starts)
        # All that WAIT looks at is of one cycle, which lies behind its START: three registers are `Loader.LOOK_CYCLES`.
        wait_for = delay(m, loader.wait_for, 1, name="wait_for")
        ended = delay(m, (wait_for != 0) & (sequencer.ended >= wait_for), 1, name="ended")
        idle = delay(m, sequencer.idle, 1, name="idle")
        queued = delay(m, starts.r_rdy | coming.o.valid, 1, name="queued")
        m.d.sync += loader.waited.eq(~queued & (idle | ended))

        # Running a descriptor
        descriptor = Signal(Descriptor)
        results, address, xnor_done, xnor_selected, serial = [post.write], walker.o_address, Const(0), Const(0), Const(0)
        if config.xnor_pixels:
            serial = self._runs(m, descriptor, Operation.SERIAL)
            xnor_selected = self._runs(m, descriptor, Operation.XNOR, Operation.SERIAL)
            xnor = self._put(m, platform, "xnor", XnorEngine(config, word_latency=SystolicArray.LEVEL_LATENCY))
            m.d.comb += [
                xnor.start.eq(sequencer.launch & xnor_selected),
                xnor.descriptor.eq(descriptor),
                xnor.i_step.eq(walker.o_step),
                xnor.i_step.valid.eq(walker.o_step.valid & xnor_selected),
                xnor.i_address.eq(walker.o_address),
                xnor.i_activations.eq(activations.o_data),
                xnor.i_inside.eq(activations.o_inside),
                xnor.i_words.eq(array.o_words),
                xnor.scanned.eq(post.scanned),
                xnor.biases.eq(post.o_biases),
                array.level.eq(xnor_selected),
                vector.either.eq(self._runs(m, descriptor, Operation.OR)),
            ]
            results.append(xnor.write)
            address, xnor_done = Mux(xnor_selected, xnor.o_address, walker.o_address), xnor.done

        # Results go first to the activation memory: the engines cannot wait, the loader can. What waits is written before the
        # next program begins, as nothing else is then. It waits here and at the loader, which lies far away.
        write, load = activations.write, loader.activations
        layout = data.StructLayout({"address": load.address.shape(), "data": load.data[:STREAM_BYTES].as_value().shape()})
        loaded = self._put(m, platform, "buffer_loaded", StreamBuffer(layout))
        waiting = self._put(m, platform, "buffer_activations", StreamBuffer(layout))
        connect(m, loaded.o, waiting.i)
        m.d.comb += [
            loaded.i.valid.eq(load.enable),
            loader.activations_ready.eq(loaded.i.ready),
            loaded.i.payload.address.eq(load.address),
            loaded.i.payload.data.eq(load.data.as_value()),
            waiting.o.ready.eq(~Cat(source.enable for source in results).any()),
        ]
        given = {
            "enable": waiting.o.valid,
            "address": waiting.o.payload.address,
            "count": Const(STREAM_BYTES),
            "data": waiting.o.payload.data,
        }
        for name, chosen in given.items():
            for source in results:
                chosen = Mux(source.enable, Value.cast(getattr(source, name)), chosen)
            m.d.comb += Value.cast(getattr(write, name)).eq(chosen)

        m.d.comb += [
            descriptor.eq(sequencer.descriptor),
            walker.descriptor.eq(descriptor),
            post.descriptor.eq(descriptor),
            store.descriptor.eq(descriptor),
            walker.start.eq(sequencer.launch),
            post.start.eq(sequencer.launch),
            store.start.eq(sequencer.launch_store),
            sequencer.done.eq(post.done | xnor_done),
            sequencer.store_done.eq(store.done),
        ]
        if config.doubles:
            m.d.comb += array.whole.eq(delay(m, descriptor.whole, 1, name="whole"))
        connect(m, walker.weights, weights.request)
        m.d.comb += [walker.weight_ready.eq(weights.ready), walker.weight_address.eq(weights.address)]
        for name in ("address", "first", "end", "pad"):
            source = Mux(store.reading, getattr(store.read, name), getattr(walker.read, name))
            m.d.comb += getattr(activations.read, name).eq(source)

        on_array, on_depthwise = (self._runs(m, descriptor, each) for each in (Operation.MAC, Operation.DEPTHWISE))
        vector_runs = ~Cat(on_array, on_depthwise, xnor_selected).any()
        engines: list[tuple[Any, Any, Any]] = [(on_array, array, walker.o_step), (vector_runs, vector, walker.o_step)]
        if config.depthwise_tiles:
            depthwise = self._put(m, platform, "depthwise", DepthwiseUnit(config))
            m.d.comb += [
                depthwise.i.payload.eq(depthwise_word),
                depthwise.i.valid.eq(delay(m, loader.depthwise.valid, _LOAD_LATENCY, name="depthwise")),
                depthwise.load_at.eq(delay(m, loader.load_depthwise, _LOAD_LATENCY, name="load_depthwise")),
                depthwise.load_entry.eq(depthwise_word),
                depthwise.descriptor.eq(descriptor),
                depthwise.start.eq(sequencer.launch),
            ]
            assert DepthwiseUnit.STEP_LEAD == WindowWalker.LEAD
            engines.append((on_depthwise, depthwise, walker.o_ahead))
        m.d.comb += loader.depthwise.ready.eq(1)
        for selected, engine, step in engines:
            m.d.comb += [
                engine.i_step.eq(step),
                engine.i_step.valid.eq(step.valid & selected),
                engine.i_activations.eq(activations.o_data),
            ]
        others = [(selected, engine.o) for selected, engine, _ in engines[2:]]
        if config.plane_limit:
            others.append((serial, xnor.o))
        self._merge(m, platform, post.i, (on_array, array.o), vector.o, others, array.o_ahead)
        m.d.comb += [
            array.i_address.eq(address),
            vector.add.eq(self._runs(m, descriptor, Operation.ADD)),
            store.i_data.eq(activations.o_data),
        ]
        for name in ("multiplier", "zero_point", "shift"):
            m.d.comb += vector.right[name].eq(descriptor.operand.right[name])
        m.d.comb += [
            sequencer.activity.busy.eq(walker.taken),
            sequencer.activity.weights.eq(walker.starved),
            sequencer.activity.output.eq(walker.stalled | store.active),
            sequencer.activity.activations.eq(~walker.active & ~store.active),
        ]

        answers = self._put(m, platform, "answers", InTurn(32))
        records = self._put(m, platform, "buffer_records", StreamBuffer(32))  # they lie where the program does
        connect(m, store.o, answers.first)
        connect(m, sequencer.o, records.i)
        connect(m, records.o, answers.second)
        connect(m, answers.o, flipped(self.o))
        return m

    def _put(self, m, platform, name, unit):
        """Makes `unit` a part of the fabric that has the reset in a register of its own: it has a thousand readers."""
        if isinstance(self._reset, Const):
            m.submodules[name] = unit
            return unit
        (reset,) = copies(m, platform, self._reset, 1, name=f"reset_{name}")
        m.submodules[name] = ResetInserter(reset)(unit)
        return unit

    def _runs(self, m, descriptor, *operations):
        """Whether the descriptor is of one of those operations, from its launch on."""
        register = Signal(name="_".join(("runs", *(each.name.lower() for each in operations))), reset_less=True)
        m.d.sync += register.eq(Cat(descriptor.operation == each for each in operations).any())
        return register

    def _merge(self, m, platform, target, of_array, vector, others, ahead):
        """The results of the engine that runs: the array's, those of one of `others` that is selected, or the vector unit's.

        All but the array are far from it, and take `MERGE_LATENCY` more; `ahead` is the array's step so much before its result.
        """
        on_array, array = of_array
        # Which engine runs holds still, so it may come late; a copy for each group of channels, and one for what goes
        # beside them.
        selected = Cat(on_array, *(each for each, _ in others))
        groups = self.config.cols // _CHANNELS_A_COPY
        running = copies(m, platform, delay(m, selected, 3, name="selected"), groups + 1, name="running")

        def other(group, of_vector, of_others):
            chosen = of_vector
            for place, value in enumerate(of_others, 1):
                chosen = Mux(running[group][place], value, chosen)
            return chosen

        for channel, number in enumerate(target.sums):
            group = channel // _CHANNELS_A_COPY
            chosen = other(group, vector.sums[channel], [results.sums[channel] for _, results in others])
            late = delay(m, chosen, self.MERGE_LATENCY, name=f"other_{channel}")
            m.d.comb += number.eq(Mux(running[group][0], array.sums[channel], late))
        # What goes beside the sums is chosen a cycle before them.
        flow, *flows = (Cat(results.valid, results.marks.as_value()) for results in (vector, *(each for _, each in others)))
        flow = Mux(running[-1][0], Cat(ahead.valid & ahead.last, ahead.marks.as_value()), other(-1, flow, flows))
        m.d.comb += Cat(target.valid, target.marks.as_value()).eq(delay(m, flow, self.MERGE_LATENCY, name="flow"))

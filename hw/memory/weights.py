"""The weight-buffer controller: which word the array multiplies by, and which words may be overwritten.

The weight banks lie in the array's cells; a word of the buffer is one weight for every cell. A network's weights stay where
LOAD_WEIGHTS put them, as far as they fit. The words of the rest come through a ring:

    base              ring                         depth
    |  resident words | released | loaded ... | free |
                        ^ the walker reads      ^ the loader writes

The walker holds a tile's words for as many results as it needs, and releases each as it takes it for the last result, so
the loader fills the ring for the next tile while the array works on this one, and a fully-connected layer, whose words
serve one result each, flows through a ring smaller than a tile.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import STREAM_BYTES, FabricConfig
from ..delay import delay
from ..mac.array import SystolicArray, WeightLoad


class WeightRequest(wiring.Signature):
    """What the walker tells the controller: a layer starts; a step is taken; the step ends a result, the tile's last one."""

    def __init__(self):
        super().__init__(
            {
                "start": Out(1),
                "base": Out(16),
                "ring": Out(1),
                "repeat": Out(1),
                "step": Out(1),
                "result_end": Out(1),
                "release": Out(1),
            }
        )


class WeightBuffer(wiring.Component):
    """Addresses, residency and double buffering of the weight banks.

    Members: `i` takes stream words of four weights, `rows * cols / 4` a weight word, into the word that `load_at` set or, with
    `load_ring`, into the ring; it is not ready while the ring is full. `set_ring` gives the ring's first word and size and
    empties it. `request` is the walker's side: `address` is the word of the step that it may take now, `ready` says whether
    that word is loaded. `load` writes the banks.
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        bits = config.weight_address_bits
        super().__init__(
            {
                "i": In(stream.Signature(32)),
                "load_at": In(1),
                "load_address": In(bits),
                "load_ring": In(1),
                "set_ring": In(1),
                "ring_base": In(bits),
                "ring_size": In(bits + 1),
                "request": In(WeightRequest()),
                "address": Out(bits),
                "ready": Out(1),
                "load": Out(WeightLoad(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        bits = config.weight_address_bits

        first = Signal(bits)
        size = Signal(bits + 1)
        last = Signal(bits)
        occupied = Signal(bits + 1)  # words that the loader may not overwrite
        level = Signal(bits + 1)  # words loaded and not released, from the word at `base` on
        loaded = Signal()  # a ring word has been written
        released = Signal()  # the walker has taken a ring word for the last time

        claimed = Signal()  # a ring word begins to be written

        self._load(m, first, last, occupied != size, claimed, loaded)
        self._read(m, first, last, level, released)

        # The array reads a word for some cycles after the walker named it, and a written word has some cycles to its bank.
        drained = delay(m, released, SystolicArray.latency_of(config), name="drained")
        arrived = delay(m, loaded, 2, name="arrived")
        m.d.sync += [
            occupied.eq(occupied + claimed - drained),
            level.eq(level + arrived - released),
        ]
        with m.If(self.set_ring):
            m.d.sync += [
                first.eq(self.ring_base),
                last.eq(self.ring_base + self.ring_size - 1),
                size.eq(self.ring_size),
                occupied.eq(0),
                level.eq(0),
            ]
        return m

    def _load(self, m, first, last, room, claimed, loaded):
        """The loader's side: four weights at a time, row by row, into the word at `target`."""
        config = self._config
        quads = config.cols // STREAM_BYTES
        row = Signal(range(config.rows))
        quad = Signal(range(max(quads, 2)))
        resident = Signal(config.weight_address_bits)
        ring = Signal(config.weight_address_bits)
        at_start = Signal()
        at_end = Signal()
        taken = Signal()
        m.d.comb += [
            at_start.eq((row == 0) & (quad == 0)),
            at_end.eq((row == config.rows - 1) & (quad == quads - 1)),
            self.i.ready.eq(~self.load_ring | ~at_start | room),
            taken.eq(self.i.valid & self.i.ready),
            claimed.eq(taken & self.load_ring & at_start),
            loaded.eq(taken & self.load_ring & at_end),
            self.load.enable.eq(taken),
            self.load.row.eq(row),
            self.load.quad.eq(quad),
            Cat(self.load.data[i] for i in range(STREAM_BYTES)).eq(self.i.payload),
        ]
        with m.If(self.load_ring):
            m.d.comb += self.load.address.eq(ring)
        with m.Else():
            m.d.comb += self.load.address.eq(resident)
        with m.If(taken):
            m.d.sync += quad.eq(quad + 1)
            with m.If(quad == quads - 1):
                m.d.sync += [quad.eq(0), row.eq(row + 1)]
            with m.If(at_end):
                m.d.sync += row.eq(0)
                with m.If(self.load_ring):
                    m.d.sync += ring.eq(_next(ring, first, last))
                with m.Else():
                    m.d.sync += resident.eq(resident + 1)
        with m.If(self.load_at):
            m.d.sync += resident.eq(self.load_address)
        with m.If(self.set_ring):
            m.d.sync += ring.eq(self.ring_base)

    def _read(self, m, first, last, level, released):
        """The walker's side: `base` is the tile's first word still needed, `address` the next step's, `offset` between."""
        config = self._config
        request = self.request
        base = Signal(config.weight_address_bits)
        ring = Signal(config.weight_address_bits)  # the ring's first word not released
        offset = Signal(config.weight_address_bits + 1)
        following = Signal(config.weight_address_bits)
        m.d.comb += [
            self.ready.eq(~request.ring | (offset < level)),
            released.eq(request.step & request.release & request.ring),
        ]
        with m.If(request.ring):
            m.d.comb += following.eq(_next(self.address, first, last))
        with m.Else():
            m.d.comb += following.eq(self.address + 1)
        with m.If(request.start):
            with m.If(request.ring):
                m.d.sync += [base.eq(ring), self.address.eq(ring)]
            with m.Else():
                m.d.sync += [base.eq(request.base), self.address.eq(request.base)]
            m.d.sync += offset.eq(0)
        with m.Elif(request.step & ~request.repeat):
            with m.If(request.release):
                m.d.sync += [base.eq(following), self.address.eq(following)]
                with m.If(request.ring):
                    m.d.sync += ring.eq(following)
            with m.Elif(request.result_end):
                m.d.sync += [self.address.eq(base), offset.eq(0)]
            with m.Else():
                m.d.sync += [self.address.eq(following), offset.eq(offset + 1)]
        with m.If(self.set_ring):
            m.d.sync += ring.eq(self.ring_base)


def _next(pointer, first, last):
    """The ring's word after `pointer`."""
    return Mux(pointer == last, first, pointer + 1)

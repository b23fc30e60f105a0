"""The weight-buffer controller: which word the array multiplies by, and which words may be overwritten.

The weight banks lie in the array's cells; a word of the buffer is one weight for every cell. A network's weights stay where
LOAD_WEIGHTS put them, as far as they fit. The words of the rest come through a ring:

    base              ring                         depth   (the ring's end is the buffer's)
    |  resident words | released | loaded ... | free |
                        ^ the walker reads      ^ the loader writes

The walker holds a tile's words for as many results as it needs, and releases each as it takes it for the last result, so
the loader fills the ring for the next tile while the array works on this one, and a fully-connected layer, whose words
serve one result each, flows through a ring smaller than a tile.
"""

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import STREAM_BYTES, FabricConfig
from ..delay import delay
from ..mac.array import SystolicArray, WeightLoad
from .unread import UnreadWords


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

    Parameters: `step_latency`, cycles from a step to the last cell's reading of its word, less those that a load takes to
    that cell; `address_latency`, 1 or 0, cycles by which `address` follows the step that it is for.

    Members: `i` takes stream words of four weights, `rows * cols / 4` a weight word, into the word that `load_at` set or, with
    `load_ring`, into the ring; it is not ready while the ring is full. `load_ring` holds still from a cycle before such words
    on, and `set_ring` comes two cycles before them or more. `load_whole`, where a fabric has it, says that they are
    weights of 16 bits. `set_ring` gives the ring's first word and empties it; it ends with the buffer. `request` is the
    walker's side: `ready` says whether the word of the step that it may take now is loaded, `address` is that word,
    `address_latency` cycles later. `load` writes the banks.
    """

    ADDRESS_LATENCY = 1
    """`address_latency` where the array reads its words many cycles later: the banks' addresses lie far from the walker."""

    LOAD_LATENCY = SystolicArray.LOAD_LATENCY + UnreadWords.LATENCY
    """Cycles from a ring word's last stream word to the first step that may take it."""

    RELEASE_LATENCY = 2
    """Cycles from the step that releases a ring word to the first stream word that may overwrite it, besides `step_latency`."""

    def __init__(self, config: FabricConfig, *, step_latency: int, address_latency: int = ADDRESS_LATENCY):
        self._config = config
        self._step_latency = step_latency
        self._lag = address_latency
        bits = config.weight_address_bits
        super().__init__(
            {
                "i": In(stream.Signature(32)),
                "load_at": In(1),
                "load_address": In(bits),
                "load_ring": In(1),
                **({"load_whole": In(1)} if config.doubles else {}),
                "set_ring": In(1),
                "ring_base": In(bits),
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
        free = Signal(bits + 1)  # words that the loader may overwrite
        # There is another: in front of the registers on its way to the loader, the last of which is `i.ready`. It may come so
        # late, as words are claimed four cycles apart or more.
        room = [free != 0, *(Signal(name=f"room_{stage}") for stage in range(self._lag))]
        loaded = Signal()  # a ring word has been written
        released = Signal()  # the walker has taken a ring word for the last time
        claimed = Signal()  # a ring word begins to be written

        self._load(m, first, room[-1], claimed, loaded)
        arrived = delay(m, loaded, SystolicArray.LOAD_LATENCY, name="arrived")
        self._ready(m, arrived)
        self._read(m, first, released)

        late = delay(m, claimed, 1, name="claimed")
        # So much sooner as `released` and `room` come late.
        drained = delay(m, released, self._step_latency - 2 * self._lag, name="drained")
        m.d.sync += [
            free.eq(free + drained - late),
            *(later.eq(sooner) for sooner, later in pairwise(room)),
        ]
        with m.If(self.set_ring):
            m.d.sync += [
                first.eq(self.ring_base),
                free.eq(config.weight_depth - self.ring_base),
                *(each.eq(1) for each in room[1:]),
            ]
        return m

    def _load(self, m, first, room, claimed, loaded):
        """The loader's side: four weights at a time, row by row, into the word at `target`."""
        config = self._config
        quads = config.cols // STREAM_BYTES
        place = Signal(exact_log2(config.rows * quads))  # in the word: row by row, each of `quads` stream words
        at_start, at_end = Signal(init=1), Signal()
        resident = Signal(config.weight_address_bits)
        ring = Signal(config.weight_address_bits)
        taken = Signal()
        m.d.sync += self.i.ready.eq(~self.load_ring | ~Mux(taken, at_end, at_start) | room)
        m.d.comb += [
            taken.eq(self.i.valid & self.i.ready),
            claimed.eq(taken & self.load_ring & at_start),
            loaded.eq(taken & self.load_ring & at_end),
            self.load.enable.eq(taken),
            self.load.row.eq(place[exact_log2(quads) :]),
            self.load.quad.eq(place[: exact_log2(quads)]),
            Cat(self.load.data[i] for i in range(STREAM_BYTES)).eq(self.i.payload),
        ]
        if config.doubles:
            m.d.comb += self.load.whole.eq(self.load_whole)
        with m.If(self.load_ring):
            m.d.comb += self.load.address.eq(ring)
        with m.Else():
            m.d.comb += self.load.address.eq(resident)
        with m.If(taken):
            m.d.sync += [place.eq(place + 1), at_start.eq(at_end), at_end.eq(place == 2 ** len(place) - 2)]
            with m.If(at_end):
                with m.If(self.load_ring):
                    m.d.sync += ring.eq(self._next(ring, first))
                with m.Else():
                    m.d.sync += resident.eq(resident + 1)
        with m.If(self.load_at):
            m.d.sync += resident.eq(self.load_address)
        with m.If(self.set_ring):
            m.d.sync += ring.eq(self.ring_base)

    def _read(self, m, first, released):
        """The walker's side, late: `base` is the tile's first word still needed, `address` the next step's."""
        config = self._config
        request = WeightRequest().create()
        for name in request.signature.members:
            m.d.comb += getattr(request, name).eq(delay(m, getattr(self.request, name), self._lag, name=f"late_{name}"))
        base = Signal(config.weight_address_bits)
        ring = Signal(config.weight_address_bits)  # the ring's first word not released
        following = Signal(config.weight_address_bits)
        again = Signal()  # the step ends a result, and the tile begins anew
        m.d.comb += [
            released.eq(request.step & request.release & request.ring),
            again.eq(request.result_end & ~request.release),
        ]
        with m.If(request.ring):
            m.d.comb += following.eq(self._next(self.address, first))
        with m.Else():
            m.d.comb += following.eq(self.address + 1)
        with m.If(request.start):
            with m.If(request.ring):
                m.d.sync += [base.eq(ring), self.address.eq(ring)]
            with m.Else():
                m.d.sync += [base.eq(request.base), self.address.eq(request.base)]
        with m.Elif(request.step & ~request.repeat):
            m.d.sync += self.address.eq(Mux(again, base, following))
            with m.If(request.release):
                m.d.sync += base.eq(following)
                with m.If(request.ring):
                    m.d.sync += ring.eq(following)
        with m.If(self.set_ring):
            m.d.sync += ring.eq(self.ring_base)

    def _ready(self, m, arrived):
        """Whether the next step's word is there."""
        request = self.request
        m.submodules.unread = unread = UnreadWords(1 << self._config.weight_address_bits)
        m.d.comb += [
            unread.clear.eq(self.set_ring),
            unread.arrived.eq(arrived),
            unread.start.eq(request.start),
            unread.ring.eq(request.ring),
            unread.step.eq(request.step),
            unread.result_end.eq(request.result_end),
            unread.release.eq(request.release),
            self.ready.eq(unread.ready),
        ]

    def _next(self, pointer, first):
        """The ring's word after `pointer`."""
        return Mux(pointer == self._config.weight_depth - 1, first, pointer + 1)

"""From the XNOR array's signs to bytes in activation memory: as bits, eight a byte, or as numbers of -1 and +1.

i --> queue, a tile of all pixels each --> pixel after pixel, a write a cycle --> write
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from ..config import BYTE_BITS, XNOR_TILES, FabricConfig
from ..delay import delay
from ..isa import Descriptor
from ..memory.activations import ActivationMemory, ActivationWrite
from ..primitives.carry import add
from .array import Signs


class _Place(data.Struct):
    """What a write begins; nothing of these with a tile's second pixel and those after."""

    row: 1
    block: 1  # also where it begins a row
    tile: 1  # of a block that has begun before


class XnorWriter(wiring.Component):
    """Writes the tiles of each block: `descriptor.pixels` pixels, `last_pixels` where the block ends its row.

    Members: `start` begins a layer with `descriptor`, which holds still; `i` are its tiles' signs, a tile a cycle at most, and
    from a block's last tile to the next one's at least tiles times pixels cycles; `write` goes to the activation memory;
    `done` is high for one cycle when the layer's last byte can be read. Of all tiles the first `last_lanes` outputs count.
    """

    WAIT = 2
    """Cycles that a tile's signs wait at least before they are written, a pixel a cycle: one for the queue's output, which is a
    register, and one for what decides on their address."""

    DONE_LATENCY = 1 + ActivationMemory.WRITE_LATENCY
    """Cycles from the layer's last write until `done`."""

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(Descriptor),
                "i": In(Signs(config)),
                "write": Out(ActivationWrite(config)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, descriptor = self._config, self.descriptor
        bits = config.activation_address_bits
        # What the descriptor says, and the start: there is time. With each tile waits the number of its last pixel.
        less_one, less_one_last = (
            Signal(range(config.xnor_pixels), name=f"{name}_less_one") for name in ("pixels", "last_pixels")
        )
        several = Signal()
        m.d.sync += [less_one.eq(descriptor.pixels - 1), less_one_last.eq(descriptor.last_pixels - 1)]
        m.d.sync += several.eq(descriptor.last_lanes > config.rows)
        start = delay(m, self.start, 1, name="start")
        given = Cat(self.i, Mux(self.i.marks.row_end, less_one_last, less_one))
        m.submodules.queue = queue = Memory(shape=len(given), depth=XNOR_TILES, init=[])
        write, read = queue.write_port(), queue.read_port(domain="comb")
        first, ready = Signal(len(given), reset_less=True), Signal()
        tile = Signs(config)(first[: len(self.i.as_value())])
        last = first[len(self.i.as_value()) :]

        # There is room for all that come. That there are some, and that it is a single one, is known without counting.
        pixel = Signal(range(config.xnor_pixels))
        last_pixel, fetch = Signal(reset_less=True), Signal()
        count, some, single = Signal(range(XNOR_TILES + 1)), Signal(), Signal()
        m.d.comb += [
            write.en.eq(self.i.valid),
            write.data.eq(given),
            fetch.eq(some & (~ready | last_pixel)),
        ]
        with m.If(write.en):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(fetch):
            m.d.sync += [read.addr.eq(read.addr + 1), first.eq(read.data), ready.eq(1)]
            m.d.sync += last_pixel.eq(read.data[len(self.i.as_value()) :] == 0)
        with m.Elif(last_pixel):
            m.d.sync += ready.eq(0)
        with m.Else():
            m.d.sync += last_pixel.eq(pixel + 1 == last)
        with m.If(write.en & ~fetch):
            m.d.sync += [count.eq(count + 1), some.eq(1), single.eq(~some)]
        with m.Elif(fetch & ~write.en):
            m.d.sync += [count.eq(count - 1), some.eq(~single), single.eq(count == 2)]

        # Which pixel of which tile it is, and with that how the address of the next write follows.
        place = Signal(_Place)
        left = Signal(range(config.rows * XNOR_TILES + 1))  # output channels of this block that are not written yet
        more = Signal()  # than a tile's
        with m.If(start):
            m.d.sync += [pixel.eq(0), place.eq(_Place.const({"row": 1, "block": 1}))]
            m.d.sync += [left.eq(descriptor.last_lanes), more.eq(several)]
        with m.Elif(ready):
            m.d.sync += [pixel.eq(Mux(last_pixel, 0, pixel + 1)), place.tile.eq(last_pixel & ~tile.end)]
            m.d.sync += [place.block.eq(last_pixel & tile.end), place.row.eq(last_pixel & tile.end & tile.marks.row_end)]
            with m.If(last_pixel & tile.end):
                m.d.sync += [left.eq(descriptor.last_lanes), more.eq(several)]
            with m.Elif(last_pixel):
                m.d.sync += [left.eq(Mux(more, left - config.rows, 0)), more.eq(left > 2 * config.rows)]

        # A cycle later the write is made, and what the following ones' addresses will be: by an adder, whose carry cells make
        # half the choice of what it adds to. Two rows begin two cycles after one another at the earliest.
        valid, counts = (delay(m, value, 1, name=name) for name, value in (("valid", ready), ("counts", left.any())))
        lanes = delay(m, Mux(more, config.rows, left)[: bits_for(config.rows)], 1, name="lanes")
        signs = delay(m, Array(tile.bits)[pixel], 1, name="signs")
        begins = delay(m, place, 1, name="begins")
        binary = delay(m, descriptor.binary, 1, name="binary")
        at = {name: Signal(bits, name=f"{name}_address", reset_less=True) for name in ("pixel", "tile", "block", "row")}
        fresh = Signal()
        next_row = delay(m, Mux(fresh, descriptor.write_address, at["row"])[:bits], 1, name="next_row")
        near, far = Mux(begins.tile, at["tile"], at["pixel"]), Mux(begins.row, next_row, at["block"])
        with m.If(start):
            m.d.sync += fresh.eq(1)
        with m.Elif(valid):
            m.d.sync += fresh.eq(0)
        for name, stride, begun in (
            ("pixel", descriptor.write_column_stride, 1),
            ("tile", Mux(binary, config.rows // BYTE_BITS, config.rows), begins.block | begins.tile),
            ("block", descriptor.write_column_stride << exact_log2(config.xnor_pixels), begins.block),
            ("row", descriptor.write_row_stride, begins.row),
        ):
            following = add(m, platform, stride, near, bits, name=f"{name}_following", y_choose=begins.block, other=far)
            with m.If(valid & begun):
                m.d.sync += at[name].eq(following)

        numbers = Cat(Cat(Const(1, 1), (~sign).replicate(BYTE_BITS - 1)) for sign in signs)
        m.d.sync += [
            self.write.enable.eq(valid & counts),
            self.write.address.eq(Mux(begins.block, far, near)),
            self.write.count.eq(Mux(binary, lanes >> 3, lanes)),
            self.write.data.eq(Mux(binary, signs, numbers)),
        ]
        finished = ready & last_pixel & tile.end & tile.marks.layer_end
        m.d.comb += self.done.eq(delay(m, finished, 1 + self.DONE_LATENCY, name="done"))
        return m

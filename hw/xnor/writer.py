"""From the XNOR array's signs to bytes in activation memory: as bits, eight a byte, or as numbers of -1 and +1.

i --> queue, a tile of all pixels each --> pixel after pixel, a write a cycle --> write
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import BYTE_BITS, XNOR_TILES, FabricConfig
from ..delay import delay
from ..isa import Descriptor
from ..memory.activations import ActivationMemory, ActivationWrite
from .array import Signs


class XnorWriter(wiring.Component):
    """Writes the tiles of each block: `descriptor.pixels` pixels, `last_pixels` where the block ends its row.

    Members: `start` begins a layer with `descriptor`, which holds still; `i` are its tiles' signs, a tile a cycle at most, and
    from a block's last tile to the next one's at least tiles times pixels cycles; `write` goes to the activation memory;
    `done` is high for one cycle when the layer's last byte can be read. Of all tiles the first `last_lanes` outputs count.
    """

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
        m.submodules.queue = queue = SyncFIFO(width=len(self.i.as_value()), depth=XNOR_TILES)
        m.d.comb += [queue.w_en.eq(self.i.valid), queue.w_data.eq(self.i)]
        tile = Signs(config)(queue.r_data)

        pixel = Signal(range(config.xnor_pixels))
        last_pixel = Signal()
        ends = tile.end & tile.marks.row_end
        m.d.comb += [
            last_pixel.eq(pixel + 1 == Mux(tile.marks.row_end, descriptor.last_pixels, descriptor.pixels)),
            queue.r_en.eq(queue.r_rdy & last_pixel),
        ]
        row, block, at, address = (Signal(bits, name=f"{name}_address") for name in ("row", "block", "tile", "write"))
        left = Signal(range(config.rows * XNOR_TILES + 1))  # output channels of this block that are not written yet
        following = Signal(bits)
        with m.If(self.start):
            m.d.sync += [value.eq(descriptor.write_address) for value in (row, block, at, address)]
            m.d.sync += [pixel.eq(0), left.eq(descriptor.last_lanes)]
        with m.Elif(queue.r_rdy & ~last_pixel):
            m.d.sync += [pixel.eq(pixel + 1), address.eq(address + descriptor.write_column_stride)]
        with m.Elif(queue.r_rdy):
            m.d.sync += [pixel.eq(0), address.eq(following), at.eq(following)]
            with m.If(tile.end):
                m.d.sync += [left.eq(descriptor.last_lanes), block.eq(following)]
            with m.Else():
                m.d.sync += left.eq(Mux(left > config.rows, left - config.rows, 0))
            with m.If(ends):
                m.d.sync += row.eq(following)
        with m.If(ends):
            m.d.comb += following.eq(row + descriptor.write_row_stride)
        with m.Elif(tile.end):
            m.d.comb += following.eq(block + (descriptor.write_column_stride << exact_log2(config.xnor_pixels)))
        with m.Else():
            m.d.comb += following.eq(at + Mux(descriptor.binary, config.rows // BYTE_BITS, config.rows))

        lanes = Mux(left > config.rows, config.rows, left)
        signs = Signal(config.rows)
        m.d.comb += signs.eq(Array(tile.bits)[pixel])
        numbers = Cat(Cat(Const(1, 1), (~sign).replicate(BYTE_BITS - 1)) for sign in signs)
        m.d.sync += [
            self.write.enable.eq(queue.r_rdy & left.any()),
            self.write.address.eq(address),
            self.write.count.eq(Mux(descriptor.binary, lanes >> 3, lanes)),
            self.write.data.eq(Mux(descriptor.binary, signs, numbers)),
        ]
        finished = queue.r_en & tile.end & tile.marks.layer_end
        m.d.comb += self.done.eq(delay(m, finished, self.DONE_LATENCY, name="done"))
        return m

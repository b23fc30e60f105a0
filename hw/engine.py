"""What every engine takes and gives: steps from the window walker, sums to the post-processing."""

from amaranth.hdl import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from .config import FabricConfig


class Marks(data.Struct):
    """Where in the layer a result stands: the last of its output row, of its tile, of the layer."""

    row_end: 1
    tile_end: 1
    layer_end: 1


class Step(data.Struct):
    """What one cycle means to an engine: is it a step at all, does it begin or end a result, and which result is that."""

    valid: 1
    first: 1
    last: 1
    marks: Marks


class Results(wiring.Signature):
    """`cols` finished sums, of `bits` or as wide as an engine's, with a strobe. There is no ready: the walker paces itself to
    what takes them."""

    def __init__(self, config: FabricConfig, bits: int | None = None):
        super().__init__(
            {
                "valid": Out(1),
                "marks": Out(Marks),
                "sums": Out(data.ArrayLayout(signed(bits or config.accumulator_bits), config.cols)),
            }
        )

"""Numbers of several bits on the XNOR array, bit by bit: what its sums of planes make together.

A number of n bits is a plane of each bit, and its planes, with ones as +1 and zeros as -1, weigh together twice the number and
something that is the same for all: activations a are not negative, weights w are two's complement with the sign's bit inverted,

    sum over p of 2**p * a_p = 2 * a - (2**n - 1)        sum over j of 2**j * w_j = 2 * w + 1

The array has the n planes of a pixel in the places of n pixels, and the m planes of the weights in those of m tiles. Its sum of
two planes is s = -(sum of a_p * w_j) / 2, and where j is 0 it adds half the sum of a_p, which takes the 1 away:

    total = -(sum over p and j of 2**(p + j) * s) = sum of (2 * a - (2**n - 1)) * w

so `total >> 1` is the sum of a * w less `offset(n, sum of w)`, which the bias makes up for.

    i_sums --> a block's sums, in two banks --> the plane of that turn --> total = total * (1 or 2) - sum --> o
                                                by p + j from above, doubled from one p + j to the next lower
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..config import ACCUMULATOR_BITS, XNOR_TILES, FabricConfig
from ..delay import delay
from ..engine import Marks, Results
from ..isa import Descriptor, Operation
from ..primitives.carry import add
from ..primitives.copies import copies
from .array import SUM_BITS, Way

WEIGHT_PLANES = XNOR_TILES // 2
"""Most planes of weights: while a block's sums are added up, the next one's come."""

_ROWS_A_COPY = 4  # that one copy of what steers them serves


def offset(planes: int, weights_sum: int) -> int:
    """What a sum lacks, of activations of `planes` bits and weights that add up to `weights_sum`."""
    return -(-((1 << planes) - 1) * weights_sum // 2)


class _Steer(data.StructLayout):
    """What the totals do in a cycle: take a sum of the block that is held, or give what they are, and begin anew."""

    def __init__(self, config: FabricConfig):
        super().__init__(
            {
                "takes": 1,
                "pixel": ceil_log2(max(config.xnor_pixels, 2)),  # place of the activations' plane
                "entry": ceil_log2(XNOR_TILES),  # of the weights' plane
                "doubles": 1,
                "gives": 1,
                "marks": Marks,
            }
        )


class PlaneSums(wiring.Component):
    """Blocks of the XNOR array's sums to sums of the numbers whose planes they are, pixel after pixel.

    Of several tiles, the pixels of the first one come first, and so on, with a cycle in between; `tile_end` marks each one's
    last.

    Members: `start` begins a layer with `descriptor`, which holds still; i_sums, i_ways and i_marks are the array's. Where the
    layer is SERIAL, `o` gives the block's pixels, each after `cycles_of` one, the first `LATENCY` cycles more after the block's
    last turn. Blocks' ends must be as far apart as `cycles_of` their pixels. Of each block `descriptor.pixels` count,
    `last_pixels` where it ends a row.
    """

    LATENCY = 4
    """Cycles from a block's last turn to its first pixel's sums, besides those that each pixel takes."""

    @staticmethod
    def cycles_of(planes: int, weight_planes: int, *, tiles: int = 1, pixels: int = 1) -> int:
        """Cycles that so many pixels of so many tiles take."""
        return tiles * (pixels * (planes * weight_planes + 1) + 1) - 1

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(Descriptor),
                "i_sums": In(data.ArrayLayout(data.ArrayLayout(signed(SUM_BITS), config.rows), config.xnor_pixels)),
                "i_ways": In(data.ArrayLayout(Way, config.rows)),
                "i_marks": In(Marks),
                "o": Out(Results(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        steer = self._steer(m)
        count = -(-config.rows // _ROWS_A_COPY)
        steers = copies(m, platform, steer.as_value(), count, name="steer")
        starts = copies(m, platform, self.start, count, name="start")
        bits = ACCUMULATOR_BITS
        for row in range(config.rows):
            own, turn = _Steer(config)(steers[row // _ROWS_A_COPY]), self.i_ways[row]
            bank = Signal(name=f"bank_{row}", reset_less=True)
            start = starts[row // _ROWS_A_COPY]
            with m.If(start):
                m.d.sync += bank.eq(0)
            with m.Elif(turn.valid & turn.last & turn.end):
                m.d.sync += bank.eq(~bank)
            choices = []
            for pixel in range(config.xnor_pixels):
                m.submodules[f"sums_{row}_{pixel}"] = held = Memory(shape=signed(SUM_BITS), depth=XNOR_TILES, init=[])
                write, read = held.write_port(), held.read_port(domain="comb")
                m.d.comb += [
                    write.en.eq(turn.valid & turn.last),
                    write.addr.eq(Cat(turn.tile[:-1], bank)),
                    write.data.eq(self.i_sums[pixel][row]),
                    read.addr.eq(own.entry),
                ]
                choices.append(read.data)
            # Less nothing: so a total waits.
            less = Signal(signed(SUM_BITS), name=f"less_{row}", init=-1, reset_less=True)
            m.d.sync += less.eq(Mux(own.takes, ~Array(choices)[own.pixel], -1))
            late = delay(m, Cat(own.doubles, own.gives), 1, name=f"late_{row}")
            doubles, gives = late[0], late[1]
            total = Signal(signed(bits), name=f"total_{row}", reset_less=True)
            twice = Cat(Const(0, 1), total)[:bits].as_signed()
            added = add(m, platform, less, total, signed(bits), name=f"added_{row}", y_choose=doubles, other=twice, carry=1)
            m.d.sync += total.eq(Mux(gives | start, 0, added))
            m.d.comb += self.o.sums[row].eq(total >> 1)
        gives = delay(m, Cat(steer.gives, steer.marks.as_value()), 2, name="gives")
        m.d.comb += [self.o.valid.eq(gives[0]), self.o.marks.eq(gives[1:])]
        return m

    def _steer(self, m):
        """Walks the pairs of planes of each pixel: by the sum of their places, from above, and then from the highest plane."""
        config, descriptor = self._config, self.descriptor
        planes, turn = descriptor.operand.planes, self.i_ways[0]
        top_plane, top_place = Signal(range(config.xnor_pixels), reset_less=True), Signal(range(WEIGHT_PLANES), reset_less=True)
        top_entry, top_tile = (Signal.like(top_place, name=f"top_{name}") for name in ("entry", "tile"))
        m.d.sync += [
            top_plane.eq(planes.read_planes - 1),
            top_place.eq(planes.weight_planes - 1),
            # Their product. As `*` it would take a multiplier.
            top_entry.eq(sum(Mux(bit, planes.tiles << log2, 0) for log2, bit in enumerate(top_place))),
            top_tile.eq(planes.tiles - 1),
        ]

        steer = Signal(_Steer(config))
        takes, gives, bank = Signal(), Signal(), Signal()
        first = Signal(range(config.xnor_pixels), reset_less=True)  # place of the pixel's first plane
        pixels_left = Signal(range(config.xnor_pixels + 1), reset_less=True)
        marks = Signal(Marks, reset_less=True)
        # Of the activations' planes, of the weights', and where the latter's sums are; `first_*` of those with the same sum of
        # places.
        plane, place, entry = Signal.like(top_plane), Signal.like(top_place), Signal.like(top_entry)
        first_plane, first_place, first_entry = (Signal.like(each, name=f"first_{each.name}") for each in (plane, place, entry))
        tile, pause = Signal.like(top_tile), Signal()
        doubles = Signal(reset_less=True)

        def begin(pixel, of_tile):
            return [
                takes.eq(1),
                first.eq(pixel),
                *(each.eq(top_plane) for each in (plane, first_plane)),
                *(each.eq(top_place) for each in (place, first_place)),
                *(each.eq(top_entry + of_tile) for each in (entry, first_entry)),
            ]

        serial = Signal(reset_less=True)
        m.d.sync += serial.eq(descriptor.operation == Operation.SERIAL)
        # The row lies far away.
        ends = delay(m, delay(m, turn.valid & turn.last & turn.end, 1, name="ends") & serial, 1, name="serial_ends")
        end_marks = delay(m, self.i_marks, 2, name="end_marks")
        last_pixel = pixels_left == 1
        m.d.sync += gives.eq(0)
        with m.If(takes & (plane != 0) & (place != top_place)):
            m.d.sync += [plane.eq(plane - 1), place.eq(place + 1), entry.eq(entry + planes.tiles), doubles.eq(0)]
        with m.Elif(takes & (first_place != 0)):
            m.d.sync += [
                *(each.eq(top_plane) for each in (plane, first_plane)),
                *(each.eq(first_place - 1) for each in (place, first_place)),
                *(each.eq(first_entry - planes.tiles) for each in (entry, first_entry)),
                doubles.eq(1),
            ]
        with m.Elif(takes & (first_plane != 0)):
            m.d.sync += [
                *(each.eq(first_plane - 1) for each in (plane, first_plane)),
                place.eq(0),
                entry.eq(tile),
                doubles.eq(1),
            ]
        with m.Elif(takes):
            m.d.sync += [takes.eq(0), gives.eq(1)]
        # The next pixel, or after a cycle the next tile's first one.
        pixels = Mux(marks.row_end, descriptor.last_pixels, descriptor.pixels)
        m.d.sync += pause.eq(gives & last_pixel & (tile != top_tile))
        with m.If(gives & ~last_pixel):
            m.d.sync += [pixels_left.eq(pixels_left - 1), *begin(first + top_plane + 1, tile)]
        with m.If(pause):
            m.d.sync += [tile.eq(tile + 1), pixels_left.eq(pixels), *begin(0, tile + 1)]
        with m.If(ends):
            m.d.sync += [
                marks.eq(end_marks),
                pixels_left.eq(Mux(end_marks.row_end, descriptor.last_pixels, descriptor.pixels)),
                bank.eq(~bank),
                tile.eq(0),
                *begin(0, 0),
            ]
        with m.If(self.start):
            m.d.sync += bank.eq(1)
        given = Signal(Marks)
        with m.If(last_pixel & (tile == top_tile)):
            m.d.comb += given.eq(marks)
        with m.If(last_pixel & (top_tile != 0)):
            m.d.comb += given.tile_end.eq(1)
        m.d.comb += [
            steer.takes.eq(takes),
            steer.pixel.eq(first + plane),
            steer.entry.eq(Cat(entry, bank)),
            steer.doubles.eq(takes & doubles),
            steer.gives.eq(gives),
            steer.marks.eq(given),
        ]
        return steer

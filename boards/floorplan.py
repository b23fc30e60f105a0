"""Which cell of the fabric sits in which multiplier and which block RAM of an LFE5U-85F.

Left alone, nextpnr scatters the multipliers, and their wires cost a factor two in clock and more in build time. The chip has
three rows of multipliers and, twelve tiles from each, a row of block RAM:

    Y = 10   multipliers   third group, two rows less: requantizers      Y = 22   their weights, channel parameters
    Y = 34   multipliers   second group                                  Y = 46   their weights
    Y = 58   multipliers   first group of rows of the array              Y = 70   their weights
                                                                         Y = 82   activations, depthwise unit or
                                                                                  partial sums

Along a row of the chip lie the pairs of columns, left to right, each with its rows of the array side by side; a pair begins at
the same place in all three, so sums go straight up. They come out next to the requantizers of their channels. Those are the
largest part beside the array, and where there is room for them: on the activations' side of it are the walker, the depthwise
and the vector unit.

An XNOR engine's counters take the weights from registers in the tiles above and below each block RAM. That keeps the counters
there: sums pull them all together at their end, and the weights, with registers on their way, the less the more there are.
"""

from collections.abc import Iterable

from ..hw.config import STREAM_BYTES, FabricConfig
from ..hw.mac.depthwise_lane import KERNEL
from ..hw.post.partial import GROUP

_MULTIPLIER_ROWS = (58, 34, 10)  # by group of the array
_MEMORY_ROWS = (70, 46, 22)
_ACTIVATION_ROW = 82
_MULTIPLIER_COLUMNS = (
    4, 5, 8, 9, 13, 14, 17, 18, 22, 23, 26, 27, 31, 32, 35, 36, 40, 41, 44, 45, 49, 50, 53, 54, 58, 59,
    62, 63, 69, 70, 73, 74, 78, 79, 82, 83, 87, 88, 91, 92, 96, 97, 100, 101, 105, 106, 109, 110, 114, 115, 118, 119,
)  # fmt: skip
_MULTIPLIERS = (0, 1, 4, 5)  # how the four of a block are called
_MEMORY_COLUMNS = (
    4, 6, 8, 10, 13, 15, 17, 19, 22, 24, 26, 28, 31, 33, 35, 37, 40, 42, 44, 46, 49, 51, 53, 55, 58, 60,
    62, 64, 69, 71, 73, 75, 78, 80, 82, 84, 87, 89, 91, 93, 96, 98, 100, 102, 105, 107, 109, 111, 114, 116, 118, 120,
)  # fmt: skip
_MEMORIES = 4  # of a block
_MEMORY_BITS = 36  # of the widest word
_SLICES = "ABCD"  # of a tile, each with two registers
_WORD_BITS = 16  # of a weight bank, that the XNOR engine takes
_LEFT_OF_THE_ARRAY = {70: ("link.incoming", "link.outgoing")}  # by row of block RAM; the pins of most links are there too
_RIGHT_OF_THE_ARRAY = {22: ("records.0", "records.1"), 46: ("program.2", "program.3"), 70: ("program.0", "program.1")}


def lfe5u_85(config: FabricConfig) -> dict[str, str]:
    """The places of an array's multipliers and weight banks, and of what lies around it: site names, as `hw` has them, to BELs.

    Raises ValueError where the array has another shape than the chip's three rows of 52 multipliers.
    """
    groups = [[row for row in range(config.rows) if config.group_of(row) == group] for group in range(config.row_groups)]
    pitch = max(map(len, groups))
    if len(groups) != len(_MULTIPLIER_ROWS) or pitch * config.pairs > len(_MULTIPLIER_COLUMNS):
        raise ValueError(
            f"an array of {config.rows} rows in {config.row_groups} groups by {config.pairs} pairs does not fit the "
            f"LFE5U-85F's {len(_MULTIPLIER_ROWS)} rows of {len(_MULTIPLIER_COLUMNS)} multipliers"
        )
    # In the middle: activations come in from the left, and at the chip's very edge there are too few wires for them.
    margin = (len(_MULTIPLIER_COLUMNS) - pitch * config.pairs) // 2
    places = {}
    for rows, y_multiplier, y_memory in zip(groups, _MULTIPLIER_ROWS, _MEMORY_ROWS, strict=True):
        for pair in range(config.pairs):
            for place, row in enumerate(rows, margin + pair * pitch):
                site = f"cell_{row}_{pair}"
                places[f"{site}.multiplier"] = _multiplier(place, y_multiplier)
                places[f"{site}.bank"] = _memory(place, y_memory)
                for bit in range(_WORD_BITS if config.xnor_pixels else 0):
                    places[f"{site}.word.{bit}"] = _register(place, y_memory, bit)
    # The requantizers of a pair's channels take what its last group of rows leaves free.
    lanes_a_pair = max(config.requant_lanes // config.pairs, 1)
    for lane in range(config.requant_lanes):
        pair, index = divmod(lane, lanes_a_pair)
        place = len(groups[-1]) + index
        if place < pitch:
            places[f"requantize_{lane}.multiplier_0"] = _multiplier(margin + pair * pitch + place, _MULTIPLIER_ROWS[-1])
            places[f"channels_{lane}"] = _memory(margin + pair * pitch + place, _MEMORY_ROWS[-1])
    # A byte of the activations lies in two neighbouring memories, in the middle of their row.
    blocks = 2 * config.rows
    first = (len(_MEMORY_COLUMNS) - blocks) // 2
    for block, place in enumerate(range(first, first + blocks)):
        places[f"activations_{block // 2}.{block % 2}"] = _memory(place, _ACTIVATION_ROW)
    # To both sides of them the depthwise unit or, without one, partial sums: the first channels' left, the others' right.
    beside = _depthwise if config.depthwise_tiles else _partial
    for begin, quarters in ((0, range(2)), (first + blocks, range(2, 4))):
        for place, site in enumerate(beside(config, quarters), begin):
            places[site] = _memory(place, _ACTIVATION_ROW)
    # What the array leaves free to both sides.
    for begin, rows_of_sites in ((0, _LEFT_OF_THE_ARRAY), (margin + pitch * config.pairs, _RIGHT_OF_THE_ARRAY)):
        for y, sites in rows_of_sites.items():
            places.update((site, _memory(place, y)) for place, site in enumerate(sites, begin))
    return places


def _depthwise(config: FabricConfig, quarters: Iterable[int]) -> Iterable[str]:
    """The depthwise unit's memories that hold what some quarters of the channels need."""
    for quarter in quarters:
        side, block = divmod(quarter, 2)
        yield from (f"depthwise.line_{line}.{side}.{block}" for line in range(KERNEL - 1))
        yield from (f"depthwise.weights_{column * config.cols // STREAM_BYTES + quarter}" for column in range(KERNEL))


def _partial(config: FabricConfig, quarters: Iterable[int]) -> Iterable[str]:
    """The memories of partial sums of some quarters of the array's 16 channels: a bank each."""
    blocks = -(-config.total_bits * GROUP // _MEMORY_BITS)
    return (f"partial_{quarter}.{block}" for quarter in quarters for block in range(blocks))


def _multiplier(place: int, row: int) -> str:
    return f"X{_MULTIPLIER_COLUMNS[place]}/Y{row}/MULT18_{_MULTIPLIERS[place % len(_MULTIPLIERS)]}"


def _register(place: int, row: int, bit: int) -> str:
    """One of the 16 registers in the tiles above and below a block RAM."""
    side, index = divmod(bit, 2 * len(_SLICES))
    return f"X{_MEMORY_COLUMNS[place]}/Y{row + (1, -1)[side]}/SLICE{_SLICES[index // 2]}.FF{index % 2}"


def _memory(place: int, row: int) -> str:
    return f"X{_MEMORY_COLUMNS[place]}/Y{row}/EBR{place % _MEMORIES}"

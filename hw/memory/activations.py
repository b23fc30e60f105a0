"""Activation memory: a byte lane a row of the array, so that a word may begin at any byte.

Tensors lie dense in NHWC order. With an address of its own for every lane, `rows` consecutive bytes come in one cycle from
wherever they begin: no channel count needs padding, and a kernel row of few channels is read in one piece.

    address --+--> lane 0:  word + (lane < offset)  -> bank --+
              +--> lane 1:  ...                     -> bank --+--> rotate by offset (two stages) --> mask --> o_data
              ...

One read and one write a cycle: each lane is a simple dual-port RAM.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import FabricConfig
from ..delay import delay
from ..primitives.bank import Bank

_COMPARE_LATENCY = 2


class ActivationRead(wiring.Signature):
    """One read: byte `address`; bytes from `first` up to, not including, `end` are the memory's, the others `pad`."""

    def __init__(self, config: FabricConfig):
        super().__init__(
            {
                "address": Out(config.activation_address_bits),
                "first": Out(range(config.rows + 1)),
                "end": Out(range(config.rows + 1)),
                "pad": Out(signed(8)),
            }
        )


class ActivationWrite(wiring.Signature):
    """One write of the first `count` of `rows` bytes to byte `address`."""

    def __init__(self, config: FabricConfig):
        super().__init__(
            {
                "enable": Out(1),
                "address": Out(config.activation_address_bits),
                "count": Out(range(config.rows + 1)),
                "data": Out(data.ArrayLayout(signed(8), config.rows)),
            }
        )


class ActivationMemory(wiring.Component):
    """`activation_bytes` bytes, read and written `rows` consecutive bytes at a time, at any byte address.

    o_data follows `read` by `READ_LATENCY` cycles, and o_inside, which of its bytes are the memory's. A write is in the memory
    `WRITE_LATENCY` cycles after it was given; a read given from then on sees it. Addresses wrap at the end of the memory.
    """

    READ_LATENCY = Bank.LATENCY + 6
    WRITE_LATENCY = 5 + _COMPARE_LATENCY

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "read": In(ActivationRead(config)),
                "write": In(ActivationWrite(config)),
                "o_data": Out(data.ArrayLayout(signed(8), config.rows)),
                "o_inside": Out(config.rows),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        rows = config.rows
        offset_bits = exact_log2(rows)

        # Write: the bytes, each with its strobe, rotated to their lanes, and an address a lane.
        count = delay(m, Mux(self.write.enable, self.write.count, 0), 1, name="count")
        strobes = _more_than(m, count, rows, name="count")
        given = [
            Cat(delay(m, self.write.data[position], 1 + _COMPARE_LATENCY, name=f"write_{position}"), strobes[position])
            for position in range(rows)
        ]
        write_address = delay(m, self.write.address, 1 + _COMPARE_LATENCY, name="write_address")
        written = _rotate(m, given, write_address[:offset_bits], up=True, name="write")
        write_words = self._words(m, delay(m, write_address, 1, name="write_address_late"), name="write")

        # Read: one address a lane, then rotate back.
        read_words = self._words(m, self.read.address, name="read")
        lanes = []
        for lane in range(rows):
            m.submodules[f"lane_{lane}"] = bank = Bank(
                width=8, depth=config.activation_bytes // rows, site=f"activations_{lane}"
            )
            write = delay(m, written[lane], 1, name=f"written_{lane}")
            m.d.comb += [
                bank.i_address.eq(delay(m, read_words[lane], 1, name=f"read_address_{lane}")),
                bank.write.enable.eq(write[8]),
                bank.write.address.eq(delay(m, write_words[lane], 1, name=f"write_word_{lane}")),
                bank.write.data.eq(write[:8]),
            ]
            # Banks lie along a whole row of the chip: a register where their wires meet.
            lanes.append(delay(m, bank.o_data, 1, name=f"read_{lane}"))

        read_offset = delay(m, self.read.address[:offset_bits], 3 + Bank.LATENCY, name="read_offset")
        rotated = _rotate(m, lanes, read_offset, up=False, name="read")
        # Which bytes are masked is known a cycle before they come.
        lag = self.READ_LATENCY - 1 - _COMPARE_LATENCY
        after_first = ~delay(m, _more_than(m, self.read.first, rows, name="first"), lag, name="first")
        before_end = delay(m, _more_than(m, self.read.end, rows, name="end"), lag, name="end")
        pad = delay(m, self.read.pad, self.READ_LATENCY - 1, name="pad")
        for position in range(rows):
            masked = Signal(8, name=f"masked_{position}", reset_less=True)
            inside = after_first[position] & before_end[position]
            m.d.sync += masked.eq(Mux(inside, rotated[position], pad))
            m.d.comb += self.o_inside[position].eq(delay(m, inside, 1, name=f"inside_{position}"))
            m.d.comb += self.o_data[position].eq(masked)
        return m

    def _words(self, m, address, *, name):
        """The word that each lane takes its byte from, a cycle later: lanes before the address are a word further."""
        offset_bits = exact_log2(self._config.rows)
        word = delay(m, address[offset_bits:], 1, name=f"{name}_word")
        following = delay(m, (address[offset_bits:] + 1)[: len(word)], 1, name=f"{name}_following")
        further = Signal(self._config.rows, name=f"{name}_further", reset_less=True)
        m.d.sync += further.eq(Cat(address[:offset_bits] > lane for lane in range(self._config.rows)))
        return [Mux(further[lane], following, word) for lane in range(self._config.rows)]


def _more_than(m, value, limit, *, name):
    """One bit for each number below `limit`: whether `value`, which is at most `limit`, is more than it.

    Two cycles later: first its upper and its lower bits apart, as a `>` would become a carry chain for each of these bits.
    """
    low_bits = 2
    low, high = value[:low_bits], value[low_bits:]
    above, equal = Signal(limit >> low_bits, name=f"{name}_above"), Signal(limit >> low_bits, name=f"{name}_equal")
    beyond = Signal(1 << low_bits, name=f"{name}_beyond")
    m.d.sync += [
        above.eq(
            Cat(Cat(high == more for more in range(block + 1, (limit >> low_bits) + 1)).any() for block in range(len(above)))
        ),
        equal.eq(Cat(high == block for block in range(len(equal)))),
        beyond.eq(Cat(low > number for number in range(len(beyond)))),
    ]
    register = Signal(limit, name=f"{name}_more_than", reset_less=True)
    for number in range(limit):
        block, rest = divmod(number, 1 << low_bits)
        m.d.sync += register[number].eq(above[block] | (equal[block] & beyond[rest]))
    return register


def _rotate(m, values, amount, *, up, name):
    """The values rotated by `amount`, up (value 0 to lane `amount`) or down, two registers later."""
    bits = len(amount)
    low_bits = bits // 2
    later = delay(m, amount[low_bits:], 1, name=f"{name}_rotate_high")
    for select, unit in ((amount[:low_bits], 1), (later, 1 << low_bits)):
        stage = []
        for lane in range(len(values)):
            shifts = range(1 << len(select))
            choices = [values[(lane - unit * s if up else lane + unit * s) % len(values)] for s in shifts]
            register = Signal(len(values[lane]), name=f"{name}_rotate_{unit}_{lane}", reset_less=True)
            m.d.sync += register.eq(_select(choices, select))
            stage.append(register)
        values = stage
    return values


def _select(choices, select):
    """A multiplexer: choices[select]."""
    for bit in range(len(select)):
        choices = [Mux(select[bit], choices[i + 1], choices[i]) for i in range(0, len(choices), 2)]
    return choices[0]

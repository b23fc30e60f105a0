"""Activation memory: a byte lane a row of the array, so that a word may begin at any byte.

Tensors lie dense in NHWC order. With an address of its own for every lane, `rows` consecutive bytes come in one cycle from
wherever they begin: no channel count needs padding, and a kernel row of few channels is read in one piece.

    address --+--> lane 0:  word + (lane < offset)  -> RAM --+
              +--> lane 1:  ...                     -> RAM --+--> rotate by offset (two stages) --> mask --> o_data
              ...

One read and one write a cycle: each lane is a simple dual-port RAM.
"""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import FabricConfig
from ..delay import delay


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

    o_data follows `read` by `READ_LATENCY` cycles. A write is in the memory `WRITE_LATENCY` cycles after it was given;
    a read given from then on sees it. Addresses wrap at the end of the memory.
    """

    READ_LATENCY = 5
    WRITE_LATENCY = 3

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "read": In(ActivationRead(config)),
                "write": In(ActivationWrite(config)),
                "o_data": Out(data.ArrayLayout(signed(8), config.rows)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        rows = config.rows
        offset_bits = exact_log2(rows)

        # Write: rotate the bytes to their lanes (two stages), then one address and one strobe a lane.
        offset = self.write.address[:offset_bits]
        write_data = _rotate(m, [self.write.data[i] for i in range(rows)], offset, up=True, name="write")
        write_word = delay(m, self.write.address[offset_bits:], 2, name="write_word")
        write_offset = delay(m, offset, 2, name="write_offset")
        write_count = delay(m, Mux(self.write.enable, self.write.count, 0), 2, name="write_count")

        # Read: one address a lane, then rotate back.
        read_word = self.read.address[offset_bits:]
        read_offset = self.read.address[:offset_bits]
        lanes = []
        for lane in range(rows):
            memory = Memory(shape=unsigned(8), depth=config.activation_bytes // rows, init=[])
            m.submodules[f"lane_{lane}"] = memory
            write = memory.write_port()
            # The position of this lane's byte in the word that is written.
            position = Signal(offset_bits, name=f"position_{lane}")
            m.d.comb += [
                position.eq(lane - write_offset),
                write.addr.eq(write_word + (write_offset > lane)),
                write.data.eq(write_data[lane]),
                write.en.eq(position < write_count),
            ]
            read = memory.read_port()
            address = Signal(read.addr.shape(), name=f"address_{lane}")
            m.d.sync += address.eq(read_word + (read_offset > lane))
            m.d.comb += read.addr.eq(address)
            lanes.append(read.data)

        rotated = _rotate(m, lanes, delay(m, read_offset, 2, name="read_offset"), up=False, name="read")
        first = delay(m, self.read.first, 4, name="first")
        end = delay(m, self.read.end, 4, name="end")
        pad = delay(m, self.read.pad, 4, name="pad")
        for position in range(rows):
            inside = (first <= position) & (end > position)
            m.d.sync += self.o_data[position].eq(Mux(inside, rotated[position], pad))
        return m


def _rotate(m, values, amount, *, up, name):
    """The bytes `values` rotated by `amount`, up (byte 0 to lane `amount`) or down, two registers later."""
    bits = len(amount)
    low_bits = bits // 2
    later = Signal(bits - low_bits, name=f"{name}_rotate_high")
    m.d.sync += later.eq(amount[low_bits:])
    for select, unit in ((amount[:low_bits], 1), (later, 1 << low_bits)):
        stage = []
        for lane in range(len(values)):
            shifts = range(1 << len(select))
            choices = [values[(lane - unit * s if up else lane + unit * s) % len(values)] for s in shifts]
            register = Signal(8, name=f"{name}_rotate_{unit}_{lane}")
            m.d.sync += register.eq(_select(choices, select))
            stage.append(register)
        values = stage
    return values


def _select(choices, select):
    """A multiplexer: choices[select]."""
    for bit in range(len(select)):
        choices = [Mux(select[bit], choices[i + 1], choices[i]) for i in range(0, len(choices), 2)]
    return choices[0]

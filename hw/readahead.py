"""Streams a piece of a memory that answers some cycles late, and never waits for it but at the beginning.

start --> addresses, as far as the queue has room --> memory --> queue --> buffer --> o
"""

from amaranth.hdl import Module, Shape, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

_SLACK = 4  # words that are under way before a full queue is noticed, and before an emptied one is


class ReadAhead(wiring.Component):
    """`count` words from `address` on, every `step` addresses, in order.

    Parameters: `shape` of a word, `address_bits`, `step`, and `latency`, the cycles from `read_address` to `i_data`.

    Members: `start` begins with `address` and `count`; it must not come before the last word of the piece before was taken.
    The first word is on `o` `latency + 2` cycles after `start`, the others follow a word a cycle. It comes from distributed
    memory, whose parts lie apart: it is for registers near by.
    """

    def __init__(self, shape, *, address_bits: int, count_bits: int, latency: int, step: int = 1):
        self._shape = shape
        self._latency = latency
        self._step = step
        super().__init__(
            {
                "start": In(1),
                "address": In(address_bits),
                "count": In(count_bits),
                "read_address": Out(address_bits),
                "i_data": In(shape),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = 1 << ceil_log2(self._latency + _SLACK)
        m.submodules.queue = queue = SyncFIFO(width=Shape.cast(self._shape).width, depth=depth)

        ahead = Signal(range(depth + 1))  # words that are asked for and not taken
        room = Signal()
        more = Signal()
        unread = Signal(self.count.shape())
        reading = Signal()
        m.d.comb += reading.eq(more & room)
        m.d.sync += [ahead.eq(ahead + reading - (queue.r_en & queue.r_rdy)), room.eq(ahead < depth - 2)]
        with m.If(self.start):
            m.d.sync += [self.read_address.eq(self.address), unread.eq(self.count), more.eq(self.count != 0)]
        with m.Elif(reading):
            m.d.sync += [
                self.read_address.eq(self.read_address + self._step),
                unread.eq(unread - 1),
                more.eq(unread != 1),
            ]

        arriving = reading
        for stage in range(self._latency):
            arrived = Signal(name=f"arriving_{stage}")  # not `delay`: a reset must not leave words under way
            m.d.sync += arrived.eq(arriving)
            arriving = arrived
        m.d.comb += [
            queue.w_en.eq(arriving),
            queue.w_data.eq(self.i_data),
            queue.r_en.eq(self.o.ready),
            self.o.valid.eq(queue.r_rdy),
            Value.cast(self.o.payload).eq(queue.r_data),
        ]
        return m

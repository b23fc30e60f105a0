"""Whether the weight word that the walker wants next is loaded: close to the walker, which decides over a step by it."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

_NEAR = 3  # words


class UnreadWords(wiring.Component):
    """Counts the words of the ring that are loaded and were never taken.

    Only a tile's first result can find a word missing: the results behind it take the same words. So `ready` depends on
    these alone; a few of them are counted apart from the rest, so that little lies between a step and the next.

    Parameter: `words`, as many as the ring can hold.

    Members: `arrived` is high for a cycle for each word; `start` begins a layer, whose words come through the ring where
    `ring` is high; `step` takes a word, which ends a result (`result_end`), the tile's last one (`release`); `clear` forgets
    all words. `ready` says that the next step's word is there, `LATENCY` cycles after it arrived at the earliest.
    """

    LATENCY = 2

    def __init__(self, words: int):
        self._words = words
        super().__init__(
            {
                "clear": In(1),
                "arrived": In(1),
                "start": In(1),
                "ring": In(1),
                "step": In(1),
                "result_end": In(1),
                "release": In(1),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        far = Signal(range(self._words))  # those that are near are not counted here
        some = Signal()  # `far` is not 0; where a word has just come, a cycle later
        near = Signal(range(_NEAR + 1))
        give = Signal()  # a word goes from there to here
        fresh = Signal()  # the next step takes a word of the ring that was never taken
        gives = (some | self.arrived) & (near + give < _NEAR)
        m.d.sync += [
            give.eq(gives),
            far.eq(far + self.arrived - gives),
            some.eq(Mux(gives & ~self.arrived, far[1:].any(), far.any())),
            near.eq(near + give - (self.step & fresh)),
        ]
        one, two = near.any() | give, near[1] | (near[0] & give)
        with m.If(self.start):
            m.d.sync += [fresh.eq(self.ring), self.ready.eq(~self.ring | one)]
        with m.Elif(self.step):
            stays = Mux(self.result_end, self.release & self.ring, fresh)
            m.d.sync += [fresh.eq(stays), self.ready.eq(~stays | Mux(fresh, two, one))]
        with m.Else():
            m.d.sync += self.ready.eq(~fresh | one)
        with m.If(self.clear):
            m.d.sync += [far.eq(0), some.eq(0), near.eq(0), give.eq(0)]
        return m

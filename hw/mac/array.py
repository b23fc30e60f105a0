"""The systolic array: activations move right, sums move down, every cell reads its own weights.

    i_address ---> skew ---> [bank|cell] -> [bank|cell] -> ...      row 0
    i_activations            |              |
                 skew + 1 -> [bank|cell] -> [bank|cell] -> ...      row 1, one cycle later
                             |              |
                          register       register                   between groups of rows, which may lie far apart
                             |              |
                             v              v
    i_step -> delay ------> combine -----> combine -> ...           S0, S1 of two output channels
                            accumulate     accumulate               over the steps of one result
                            align          align
                             |              |
                             +--------------+----> o.payload[cols], o.valid

Weights at array rate: a step may name any word of the weight buffer, so the inner loop runs over K for one pixel, and one
accumulator a column is enough.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import STREAM_BYTES, FabricConfig
from ..delay import delay
from ..engine import Results, Step
from ..primitives.bank import Bank
from ..primitives.carry import add
from ..primitives.copies import copies
from .cell import LOW_BITS, PACKED_BITS, PairCell, PairSums, unpacked_sums


class WeightLoad(wiring.Signature):
    """Four int8 weights (one stream word) of one row of one weight word.

    `row` and `quad` say which: columns 4 * quad to 4 * quad + 3. With `whole` it is two int16, of every other column.
    """

    def __init__(self, config: FabricConfig):
        super().__init__(
            {
                "enable": Out(1),
                "address": Out(config.weight_address_bits),
                "row": Out(range(config.rows)),
                "quad": Out(range(max(config.cols // STREAM_BYTES, 2))),
                "data": Out(data.ArrayLayout(signed(8), STREAM_BYTES)),
                **({"whole": Out(1)} if config.doubles else {}),
            }
        )


class SystolicArray(wiring.Component):
    """rows x cols int8 multiply-accumulates a cycle.

    Members: i_step, i_address (weight word) and i_activations (`rows` int8, one input channel a row) belong to one step and
    come in one cycle; `load` writes weights; `o` gives, for each step with `last`, the sums since the step with `first`:
    `sums[c] = sum over steps and rows of activation[row] * weight[word][row][c]`, modulo 2**32, `latency` cycles later;
    o_ahead is the step of the result that comes in the next cycle.

    With `whole`, which holds still, weights are of 16 bits, one for each pair of columns: `sums` of the first ones count.

    For an XNOR engine, `o_words` are what the cells' banks have given. With `level`, which holds still, an address goes to all
    rows at the same time, so that the words of pair p come `LEVEL_LATENCY + p` cycles after it.
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        members = {
            "i_step": In(Step),
            "i_address": In(config.weight_address_bits),
            "i_activations": In(data.ArrayLayout(signed(8), config.rows)),
            "load": In(WeightLoad(config)),
            "o": Out(Results(config)),
            "o_ahead": Out(Step),
        }
        if config.doubles:
            members["whole"] = In(1)
        if config.xnor_pixels:
            members["level"] = In(1)
            members["o_words"] = Out(data.ArrayLayout(data.ArrayLayout(PACKED_BITS, config.pairs), config.rows))
        super().__init__(members)

    INPUT_LATENCY = 3
    """Cycles from a step to the first row, which may lie far from what gives the steps."""

    LOAD_LATENCY = 2
    """Cycles from a load to the first step that finds it in the cells."""

    LEVEL_LATENCY = INPUT_LATENCY + 1 + Bank.LATENCY + 1
    """Cycles from an address to the words of the first pair, with `level`."""

    @classmethod
    def latency_of(cls, config: FabricConfig) -> int:
        """Cycles from a step with `last` to its sums on `o`."""
        return cls.INPUT_LATENCY + config.rows + config.row_groups - 1 + PairCell.LATENCY + PairCell.FOLD_LAG + config.pairs

    @classmethod
    def read_latency_of(cls, config: FabricConfig) -> int:
        """Cycles from a step until a load, which travels as steps do, may overwrite the step's word."""
        return cls.INPUT_LATENCY + config.rows

    @property
    def latency(self) -> int:
        """Cycles from a step with `last` to its sums on `o`."""
        return self.latency_of(self._config)

    def elaborate(self, platform):
        m = Module()
        config = self._config

        loads = self._loads(m)
        sums = [PairSums(config.rows).from_bits(0)] * config.pairs
        ways = self._ways(m, platform)
        row_address = delay(m, self.i_address, self.INPUT_LATENCY - 1, name="i_address")
        for row in range(config.rows):
            group = config.group_of(row)
            if row and group != config.group_of(row - 1):
                sums = [delay(m, above, 1, name=f"cross_{group}_{pair}") for pair, above in enumerate(sums)]
                row_address = delay(m, row_address, 1, name=f"cross_{group}", ones=True)
            if ways is not None:
                row_address = Mux(ways[group].level, ways[group].address, row_address)
            row_address = delay(m, row_address, 1, name=f"address_{row}", ones=bool(row))
            lag = self.INPUT_LATENCY + row + group + PairCell.ACTIVATION_LAG
            activation = delay(m, self.i_activations[row], lag, name=f"skew_{row}")
            address = row_address
            for pair in range(config.pairs):
                cell = PairCell(
                    rows=config.rows,
                    depth=config.weight_depth,
                    carries=row >= config.rows - config.carry_rows,
                    hands_words=ways is not None,
                    site=f"cell_{row}_{pair}",
                )
                m.submodules[f"cell_{row}_{pair}"] = cell
                load = loads[group][pair]
                m.d.comb += [
                    cell.i_address.eq(address),
                    cell.i_activation.eq(activation),
                    cell.i_sums.eq(sums[pair]),
                    cell.write.enable.eq(load.row[row] & load.quad[2 * pair // STREAM_BYTES]),
                    cell.write.address.eq(load.address),
                    cell.write.data.eq(load.packed[pair % (STREAM_BYTES // 2)]),
                ]
                address, activation, sums[pair] = cell.o_address, cell.o_activation, cell.o_sums
                if ways is not None:
                    m.d.comb += self.o_words[row][pair].eq(cell.o_word)

        # A pair's sums come `pairs` cycles before those of all pairs, which `align` brings together.
        step = delay(m, self.i_step, self.latency - config.pairs - 1, name="step")
        for pair in range(config.pairs):
            self._accumulate(m, platform, pair, sums[pair], step)
            step = delay(m, step, 1, name=f"step_{pair}")
        m.d.sync += [self.o.valid.eq(step.valid & step.last), self.o.marks.eq(step.marks)]
        m.d.comb += self.o_ahead.eq(step)
        return m

    def _ways(self, m, platform):
        """For each group of rows, `level` and the address that goes to all of its rows, if there is an XNOR engine."""
        config = self._config
        if not config.xnor_pixels:
            return None
        layout = data.StructLayout({"level": 1, "address": config.weight_address_bits})
        way = Signal(layout)
        m.d.comb += [way.level.eq(self.level), way.address.eq(self.i_address)]
        way = delay(m, way, self.INPUT_LATENCY - 1, name="way")
        return [layout(copy) for copy in copies(m, platform, way.as_value(), config.row_groups, name="ways")]

    def _loads(self, m):
        """The load port, its weights packed, for each group of rows and each pair of columns.

        It travels as the steps do, so that a step `LOAD_LATENCY` cycles after a load meets the new word in every cell.
        """
        config = self._config
        layout = data.StructLayout(
            {
                "address": self.load.address.shape(),
                "row": config.rows,  # one bit a row
                "quad": config.cols // STREAM_BYTES,  # one bit a quad
                "packed": data.ArrayLayout(PACKED_BITS, STREAM_BYTES // 2),
            }
        )
        load = Signal(layout, reset_less=True)
        enable, address, row, quad, weights = (
            delay(m, getattr(self.load, name), 1, name=f"load_{name}") for name in ("enable", "address", "row", "quad", "data")
        )
        if config.doubles:
            whole = delay(m, self.load.whole, 1, name="load_whole")
        m.d.sync += [
            load.address.eq(address),
            load.row.eq(Mux(enable, 1 << row, 0)),
            load.quad.eq(1 << quad),
        ]
        for half in range(STREAM_BYTES // 2):
            first, second = weights[2 * half], weights[2 * half + 1]
            packed = (second << LOW_BITS) + first
            if config.doubles:
                packed = Mux(whole, Cat(first, second).as_signed(), packed)
            m.d.sync += load.packed[half].eq(packed)
        loads = []
        bits = load.as_value()
        for group in range(config.row_groups):
            chain = [bits]
            for pair in range(1, config.pairs):
                chain.append(delay(m, chain[-1], 1, name=f"load_{group}_{pair}"))
            loads.append([layout(value) for value in chain])
            bits = delay(m, bits, 1, name=f"load_{group}", ones=True)
        return loads

    def _accumulate(self, m, platform, pair, sums, step):
        """Adds up a column pair over the steps of a result and aligns it with the rightmost pair; `step` is a cycle early."""
        config = self._config
        bits = config.accumulator_bits
        level = Signal.like(sums, name=f"sums_{pair}")
        m.d.comb += [
            level.high.eq(delay(m, sums.high, PairCell.FOLD_LAG, name=f"high_{pair}")),
            level.low.eq(delay(m, sums.low, PairCell.FOLD_LAG, name=f"low_{pair}")),
            level.fold.eq(sums.fold),
        ]
        steers = copies(m, platform, Cat(step.valid, ~step.first), 2, name=f"steer_{pair}")
        whole = copies(m, platform, self.whole, 1, name=f"whole_{pair}")[0] if config.doubles else None
        for (valid, more), (half, unpacked) in zip(steers, enumerate(unpacked_sums(level, bits, whole)), strict=True):
            combined = Signal(signed(bits), name=f"combined_{pair}_{half}", reset_less=True)
            accumulator = Signal(signed(bits), name=f"accumulator_{pair}_{half}", reset_less=True)
            m.d.sync += combined.eq(unpacked)
            total = add(m, platform, combined, accumulator, signed(bits), name=f"total_{pair}_{half}", y_gate=more)
            with m.If(valid):
                m.d.sync += accumulator.eq(total)
            aligned = delay(m, accumulator, config.pairs - 1 - pair, name=f"align_{pair}_{half}")
            m.d.comb += self.o.sums[2 * pair + half].eq(aligned)

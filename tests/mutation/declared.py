"""Faults as they are made: written down one by one, those of which textbooks and bug trackers tell."""

from mutation.gateware import Fault


def _faults(*faults: Fault) -> dict[str, Fault]:
    return {f"declared-{number}": fault for number, fault in enumerate(faults, 1)}


FAULTS = _faults(
    Fault(
        file="mac/cell.py",
        old="second = (sums.high - sums.fold)[:bits].as_signed()",
        new="second = (sums.high + sums.fold)[:bits].as_signed()",
        what="flipped sign: the fold is added to the second channel",
    ),
    Fault(
        file="mac/cell.py",
        old="second = (word[LOW_BITS : LOW_BITS + FOLD_BITS] + word[LOW_BITS - 1])[:FOLD_BITS]",
        new="second = word[LOW_BITS : LOW_BITS + FOLD_BITS]",
        what="dropped carry: the borrow of packing stays in the residue",
    ),
    Fault(
        file="mac/array.py",
        old="first, second = weights[2 * half], weights[2 * half + 1]",
        new="second, first = weights[2 * half], weights[2 * half + 1]",
        what="swapped lanes: two channels' weights",
    ),
    Fault(
        file="mac/array.py",
        old="Cat(step.valid, ~step.first)",
        new="Cat(step.valid, ~step.last)",
        what="wrong strobe: sums begin anew with the last step",
    ),
    Fault(
        file="mac/depthwise.py",
        old="inside.eq(Cat(~axis.first, 1, ~axis.last))",
        new="inside.eq(Cat(~axis.last, 1, ~axis.first))",
        what="swapped lanes: padding on the other side",
    ),
    Fault(
        file="memory/activations.py",
        old="further.eq(Cat(address[:offset_bits] > lane for lane in range(self._config.rows)))",
        new="further.eq(Cat(address[:offset_bits] >= lane for lane in range(self._config.rows)))",
        what="off-by-one address: the lane at the offset reads the next word",
    ),
    Fault(
        file="memory/walker.py",
        old="inside.eq((row >= 0) & (row < descriptor.row_limit))",
        new="inside.eq((row >= 0) & (row <= descriptor.row_limit))",
        what="off-by-one: a row below the map counts",
    ),
    Fault(
        file="memory/walker.py",
        old="read.first.eq(Mux(before < 0, 0, Mux(before > rows, rows, before)))",
        new="read.first.eq(Mux(before < 0, 0, before))",
        what="missing saturation: padding wider than a word",
    ),
    Fault(
        file="memory/weights.py",
        old="Mux(pointer == self._config.weight_depth - 1, first, pointer + 1)",
        new="Mux(pointer == self._config.weight_depth - 1, 0, pointer + 1)",
        what="wrong constant: the ring wraps to the buffer's first word",
    ),
    Fault(
        file="memory/weights.py",
        old="free.eq(config.weight_depth - self.ring_base)",
        new="free.eq(config.weight_depth - self.ring_base + 1)",
        what="off-by-one: the ring takes a word too many",
    ),
    Fault(
        file="memory/weights.py",
        old="drained = delay(m, released, self._step_latency",
        new="drained = delay(m, released, 1",
        what="missing wait: a word is overwritten while the array reads it",
    ),
    Fault(
        file="memory/unread.py",
        old="self.ready.eq(~stays | Mux(fresh, two, one))",
        new="self.ready.eq(~stays | one)",
        what="off-by-one: ready although the last word there is being taken",
    ),
    Fault(
        file="post/requantize.py",
        old="Mux(below, self.i_range.low, Mux(above, self.i_range.high, inside))",
        new="Mux(below, self.i_range.low, inside)",
        what="missing saturation at the upper end",
    ),
    Fault(
        file="post/requantize.py",
        old="Cat(twice, twice & (x < 0)).as_signed()",
        new="Cat(twice, 0).as_signed()",
        what="flipped sign: the nudge of negative sums",
    ),
    Fault(
        file="post/requantize.py",
        old='name="biased", y_flip=negative, carry=negative)',
        new='name="biased", y_flip=negative, carry=0)',
        what="dropped carry: the magnitude of a negative sum is one less",
    ),
    Fault(
        file="post/vector.py",
        old="maxima = [Cat(first[:-1], ~first[-1]) for first in firsts]",
        new="maxima = [Cat(first[:-1], first[-1]) for first in firsts]",
        what="flipped sign: the maximum's offset",
    ),
    Fault(
        file="post/post.py",
        old="count.eq(Mux(lanes_left > config.requant_lanes, config.requant_lanes, lanes_left))",
        new="count.eq(config.requant_lanes)",
        what="missing limit: the last tile's unused lanes are written",
    ),
    Fault(
        file="post/channels.py",
        old="with m.If(lane == lanes - 1):",
        new="with m.If(lane == lanes - 2):",
        what="off-by-one: a lane's parameters are left out",
    ),
    Fault(
        file="post/partial.py",
        old="self.kept.eq(valid & keep & marks.layer_end)",
        new="self.kept.eq(valid & keep & marks.tile_end)",
        what="wrong strobe: a layer of partial sums ends with its first tile",
    ),
    Fault(
        file="sequencer.py",
        old="with m.If(finished & ~full):",
        new="with m.If(finished):",
        what="missing limit: records beyond the memory's end",
    ),
    Fault(
        file="sequencer.py",
        old='turns = [taking, delay(m, take, 1, name="take_too", ones=True)]',
        new="turns = [taking, taking & (coming.operation != Operation.STORE)]",
        what="inverted condition: half of a STORE's descriptor is the last layer's",
    ),
    Fault(
        file="loader.py",
        old='unit = Mux(waits_for["activations"], STREAM_BYTES, 1)',
        new='unit = Mux(waits_for["activations"], 1, 1)',
        what="wrong constant: activations go to every byte",
    ),
    Fault(
        file="store.py",
        old="chunks.eq((descriptor.length + words - 1) >> exact_log2(words))",
        new="chunks.eq(descriptor.length >> exact_log2(words))",
        what="dropped rest: a last part of a memory word is not read",
    ),
    Fault(
        file="link/crc.py", old="POLYNOMIAL = 0xEDB88320", new="POLYNOMIAL = 0xEDB88321", what="wrong constant: the polynomial"
    ),
    Fault(
        file="link/crc.py",
        old="m.d.comb += self.crc.eq(~state)",
        new="m.d.comb += self.crc.eq(state)",
        what="inverted: the final complement of the CRC",
    ),
    Fault(
        file="link/receiver.py",
        old="m.d.sync += self.good.eq(self.good & matches)",
        new="m.d.sync += self.good.eq(matches)",
        what="a wrong byte of the CRC is forgiven where the last one is right",
    ),
    Fault(
        file="link/endpoint.py",
        old="full.eq((put[:ring] == taken[:ring]) & (put[ring] != taken[ring]))",
        new="full.eq(0)",
        what="overflow: words on top of words that the fabric has not taken",
    ),
    Fault(
        file="link/uart.py",
        old="middle = (1 << (clock.bits - 1)) + 3 * clock.step // 2",
        new="middle = 0",
        what="bits are sampled at their ends",
    ),
    Fault(
        file="compact/requantize.py",
        old="with m.Elif(outside | (placed > descriptor.high)):",
        new="with m.Elif(placed > descriptor.high):",
        what="missing saturation: what does not fit ten bits",
    ),
    Fault(
        file="compact/walker.py",
        old="byte.eq(column + self.row)",
        new="byte.eq(column)",
        what="every row of the array takes the step's first byte",
    ),
    Fault(
        file="compact/memory.py",
        old="memory.i_bytes.eq(Cat(~address[0], address[0]))",
        new="memory.i_bytes.eq(0b11)",
        what="a byte overwrites its neighbour",
    ),
    Fault(
        file="primitives/accumulate.py",
        old="m.d.sync += self.o.eq(self.o + x * y)",
        new="m.d.sync += self.o.eq(self.o - x * y)",
        what="flipped sign: products are subtracted",
    ),
    Fault(
        file="primitives/carry.py",
        old="NAND = 0b0111",
        new="NAND = 0b1111",
        what="wrong constant: the row that is subtracted loses its gate",
    ),
    Fault(
        file="primitives/bank.py",
        old='"OUTREG" if wide or side == "B" else "NOREG"',
        new='"NOREG"',
        what="wrong parameter: a block RAM without its output register",
    ),
    Fault(
        file="primitives/multiplier.py",
        old='f"i_SIGNED{name}": int(operand.shape().signed)',
        new='f"i_SIGNED{name}": 0',
        what="flipped sign: a multiplier that reads its operands as unsigned",
    ),
    Fault(
        file="fabric.py",
        old="m.d.sync += loader.waited.eq(~queued & (idle | ended))",
        new="m.d.sync += loader.waited.eq(idle | ended)",
        what="missing condition: WAIT looks at the program before the one that is queued",
    ),
    Fault(
        file="fabric.py",
        old="(wait_for != 0) & (sequencer.ended >= wait_for)",
        new="sequencer.ended >= wait_for",
        what="missing condition: WAIT for all layers waits for none",
    ),
)
"""Each replaces a text that stands once in its file."""

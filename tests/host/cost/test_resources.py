"""The estimate of resources: counts of small designs by hand, rules of mapping, and real syntheses."""

import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from celosia.host.cost import resources
from celosia.host.cost.netlist import Netlist, Target, count
from celosia.host.cost.resources import Resources, estimate_resources, resources_of
from celosia.hw.presets import preset, presets
from celosia.hw.primitives.multiplier import Multiplier


class Small(wiring.Component):
    """A counter with a load, a product, and a memory: everything that is counted, once."""

    a: In(8)
    b: In(12)
    load: In(1)
    o: Out(20)
    q: Out(32)

    def elaborate(self, platform):
        m = Module()
        total = Signal(8)
        with m.If(self.load):
            m.d.sync += total.eq(self.a)
        with m.Else():
            m.d.sync += total.eq(total + 1)
        m.submodules.memory = memory = Memory(shape=32, depth=1024, init=[])
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            self.o.eq(self.a * self.b),
            read.addr.eq(Mux(self.load, self.b, total)),
            write.en.eq(self.a == total),
            self.q.eq(read.data ^ self.b),
        ]
        m.submodules.multiplier = multiplier = Multiplier(8, 8, site="here")
        m.d.comb += [multiplier.i_x.eq(self.a), multiplier.i_y.eq(total)]
        return m


def test_counts_of_a_small_design():
    netlist = count(Small(), Target("ecp5"))
    assert netlist.registers == 8
    assert netlist.carry == 9
    assert netlist.select == 12
    assert netlist.choose == 8
    assert netlist.equal == 8
    assert netlist.logic == 32
    assert netlist.products == [(8, 12)]
    assert netlist.memories == [(32, 1024, 32)]
    assert netlist.instances == {"MULT18X18D": 1}


def test_an_expression_that_is_used_twice_counts_once():
    m = Module()
    a, b, c = Signal(8), Signal(9), Signal(9)
    total = a + 1
    m.d.comb += [b.eq(total), c.eq(total)]
    assert count(m).carry == 9


def test_the_portable_twin_counts_as_a_product():
    netlist = count(Small(), Target("gowin"))
    assert sorted(netlist.products) == [(8, 8), (8, 12)]
    assert not netlist.instances


@pytest.mark.parametrize(
    ("family", "product", "multipliers"),
    [
        ("ecp5", (18, 18), 1),
        ("ecp5", (9, 31), 2),  # as yosys 0.70 maps them: see the syntheses below
        ("ecp5", (32, 32), 4),
        ("ecp5", (2, 2), 1),
        ("ecp5", (1, 8), 0),
        ("ice40", (16, 16), 0),
    ],
)
def test_multipliers_of_a_product(family, product, multipliers):
    assert resources_of(Netlist(products=[product]), family).dsp == multipliers


@pytest.mark.parametrize(
    ("family", "memory", "blocks"),
    [
        ("ecp5", (32, 2048), 4),
        ("ecp5", (8, 4096), 2),
        ("ecp5", (128, 64), 4),
        ("ecp5", (160, 64), 5),
        ("ecp5", (72, 1024), 4),
        ("ecp5", (32, 8), 0),
        ("ecp5", (11, 4), 0),
        ("ice40", (16, 256), 1),
        ("ice40", (8, 4096), 8),
    ],
)
def test_block_rams_of_a_memory(family, memory, blocks):
    assert resources_of(Netlist(memories=[(*memory, memory[0])]), family).bram == blocks


def test_every_preset_has_an_estimate():
    for config in presets()[:2]:
        for family in resources.families():
            estimate = estimate_resources(config, family)
            assert min(estimate.lut4, estimate.ff, estimate.bram) > 1000 or estimate.bram > 20
            assert estimate.ff > 64 * config.cols
    assert isinstance(estimate_resources(preset("mini"), "ecp5"), Resources)


def test_a_larger_fabric_takes_more():
    small, large = (estimate_resources(preset(name), "ecp5") for name in ("mini", "ecp5-25"))
    assert small.lut4 < large.lut4
    assert small.ff < large.ff
    assert small.dsp < large.dsp
    assert small.bram < large.bram

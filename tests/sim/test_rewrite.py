"""The rewriting of CXXRTL's C++: what it makes of each form, and that it leaves others alone. That whole fabrics then compute
the same is tested with the engine."""

from celosia.sim.rewrite import faster

MODULE = """\
struct p_top_2e_cell : public module {
	/*output*/ wire<18> p_o;
	// \\init: 5
	wire<4> p_count;
	/*input*/ value<1> p_clk;
	value<1> prev_p_clk;
	memory<8> memory_p_m { 16u };

	template<class ObserverT>
	bool commit(ObserverT &observer) {
		bool changed = false;
		if (p_o.commit(observer)) changed = true;
		prev_p_clk = p_clk;
		if (p_count.commit(observer)) changed = true;
		if (memory_p_m.commit(observer)) changed = true;
		return changed;
	}
}; // struct p_top_2e_cell

void p_top_2e_cell::reset() {
	p_o = wire<18>{0u};
	p_count = wire<4>{0x5u};
}
"""


def test_registers_become_one_state():
    found = faster(MODULE)
    assert "struct state {\n\t\tvalue<18> p_o;\n\t\tvalue<4> p_count;\n\t} curr, next;" in found
    assert "wire<" not in found
    assert found.count("commit(observer)) changed = true;") == 1, "the memory's"
    assert found.count("curr = next;") == 1
    assert "curr.p_count = next.p_count = value<4>{0x5u};" in found


def test_names_in_statements():
    found = faster("\t\tp_count.next = add_uu<4>(p_count.curr, cell_p_sub.p_o.curr.slice<3,0>().val());\n")
    assert found == "\t\tnext.p_count = add_uu<4>(curr.p_count, cell_p_sub.curr.p_o.slice<3,0>().val());\n"


def test_the_harness_finds_the_top_s_outputs():
    found = faster(MODULE.replace("p_top_2e_cell", "p_top"))
    assert "const value<18> &p_o = this->curr.p_o;" in found
    assert "&p_count" not in found


def test_the_clock_is_not_kept():
    found = faster(MODULE + "\tcell_p_cell.p_clk = p_clk;\n\tcell_p_cell.p_enable = p_enable;\n")
    assert "prev_p_clk = " not in found
    assert "cell_p_cell.p_clk" not in found
    assert "cell_p_cell.p_enable = p_enable;" in found


def test_data_are_made_for_writes_alone():
    found = faster("\t\t\tmemory_p_m.update(tmp.index, p_a.concat(value<4>{0u}).val(), p_en.repeat<8>().val(), 0);\n")
    write = "memory_p_m.update(tmp.index, p_a.concat(value<4>{0u}).val(), mask, 0);"
    assert found == f"\t\t\tif (auto mask = p_en.repeat<8>().val(); !mask.is_zero()) {write}\n"


def test_commas_of_templates_and_calls_part_nothing():
    found = faster("\tmemory_p_m.update(i, f(p_a.slice<7,0>().val(), p_b), p_en, 1);\n")
    assert found == "\tif (auto mask = p_en; !mask.is_zero()) memory_p_m.update(i, f(p_a.slice<7,0>().val(), p_b), mask, 1);\n"


def test_an_unknown_form_of_a_register_leaves_all_of_them():
    other = MODULE.replace("wire<4> p_count;", "wire<4> p_count {5u};")
    found = faster(other)
    assert "struct state" not in found
    assert "wire<18> p_o;" in found

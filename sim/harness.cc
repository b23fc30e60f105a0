// Drives the fabric's two streams from a queue of words, one clock cycle a turn. Included behind the generated design.
//
// Every evaluation of the design is a rising edge of its only clock (see model.py), so a cycle is one eval and one commit.
// After eval and before commit the outputs are what they were before the edge: the values that a handshake is about.

// Runs until `want` words came out, until all of the input is taken (want = 0), or for `limit` cycles.
// Gives the words taken from `in` and the words put into `out`.
extern "C" void celosia_run(Simulation *simulation, const uint32_t *in, size_t in_count, uint32_t *out, size_t want,
                            uint64_t limit, size_t *taken, size_t *given) {
    auto &top = simulation->top;
    size_t in_index = 0, out_index = 0;
    top.p_clk.set<bool>(true);
    while (limit-- > 0 && (want != 0 ? out_index < want : in_index < in_count)) {
        bool offered = in_index < in_count;
        top.p_i____valid.set<bool>(offered);
        if (offered) {
            top.p_i____payload.set<uint32_t>(in[in_index]);
        }
        top.p_o____ready.set<bool>(out_index < want);
        top.eval(nullptr);
        if (offered && top.p_i____ready.get<bool>()) {
            in_index++;
        }
        if (out_index < want && top.p_o____valid.get<bool>()) {
            out[out_index++] = top.p_o____payload.get<uint32_t>();
        }
        simulation->end_cycle();
    }
    *taken = in_index;
    *given = out_index;
}

// Drives the fabric's two streams from a queue of words, one clock cycle a turn. Included behind the generated design.
//
// Every evaluation of the design is a rising edge of its only clock (see engine.py), so a cycle is one eval and one commit.
// After eval and before commit the outputs are what they were before the edge: the values that a handshake is about.

#include <cstddef>
#include <cstdint>

#ifdef CELOSIA_TRACE
#include <cxxrtl/cxxrtl_vcd.h>
#include <fstream>
#endif

namespace {

struct Simulation {
    cxxrtl_design::p_top top;
    uint64_t cycles = 0;
#ifdef CELOSIA_TRACE
    cxxrtl::vcd_writer writer;
    std::ofstream file;
#endif
};

}  // namespace

extern "C" {

Simulation *celosia_create(const char *trace) {
    auto *simulation = new Simulation();
#ifdef CELOSIA_TRACE
    cxxrtl::debug_items items;
    simulation->top.debug_info(&items, nullptr, "");
    simulation->writer.timescale(1, "ns");
    simulation->writer.add_without_memories(items);
    simulation->file.open(trace, std::ios::binary);
    if (!simulation->file) {
        delete simulation;
        return nullptr;
    }
#else
    (void)trace;
#endif
    return simulation;
}

void celosia_destroy(Simulation *simulation) { delete simulation; }

uint64_t celosia_cycles(const Simulation *simulation) { return simulation->cycles; }

// Whether the waveform could be written so far.
int celosia_trace_good(const Simulation *simulation) {
#ifdef CELOSIA_TRACE
    return simulation->file.good();
#else
    (void)simulation;
    return 1;
#endif
}

// Completes the waveform; whether all of it could be written.
int celosia_finish(Simulation *simulation) {
#ifdef CELOSIA_TRACE
    simulation->file.flush();
#endif
    return celosia_trace_good(simulation);
}

// Runs until `want` words came out, until all of the input is taken (want = 0), or for `limit` cycles.
// Gives the words taken from `in` and the words put into `out`.
void celosia_run(Simulation *simulation, const uint32_t *in, size_t in_count, uint32_t *out, size_t want, uint64_t limit,
                 size_t *taken, size_t *given) {
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
        top.commit();
        simulation->cycles++;
#ifdef CELOSIA_TRACE
        simulation->writer.sample(simulation->cycles);
        simulation->file << simulation->writer.buffer;
        simulation->writer.buffer.clear();
#endif
    }
    *taken = in_index;
    *given = out_index;
}
}

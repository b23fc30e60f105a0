// What all harnesses share: the model, the count of its cycles, and its waveform. Included behind the generated design.

#include <cmath>
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

    // What follows the evaluation of a cycle.
    void end_cycle() {
        top.commit();
        cycles++;
#ifdef CELOSIA_TRACE
        writer.sample(cycles);
        file << writer.buffer;
        writer.buffer.clear();
#endif
    }
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
}

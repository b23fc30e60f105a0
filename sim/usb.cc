// Drives a design's two USB wires as a host's port does, symbol by symbol, at full speed.
// Included behind the generated design and simulation.h; a cycle is one eval and one commit, and samples the wires once.
// A symbol: bit 0 is d_p, bit 1 is d_n, so 1 is J, 2 is K, 0 is SE0.

namespace {

struct Wires {
    Simulation *simulation;
    double bit;  // cycles
    double next = 0;  // cycle in which the host's next symbol begins
    int driven = -1;  // by the host; -1 where it does not drive

    // The wires as they are: whoever drives them, or the pull-up.
    int symbol() const {
        auto &top = simulation->top;
        if (driven >= 0) return driven;
        int up = top.p_pullup.template get<bool>();
        int d_p = top.p_d__p__oe.template get<bool>() ? top.p_d__p__o.template get<bool>() : up;
        int d_n = top.p_d__n__oe.template get<bool>() ? top.p_d__n__o.template get<bool>() : 0;
        return d_p | d_n << 1;
    }

    int step() {
        auto &top = simulation->top;
        int now = symbol();
        top.p_clk.template set<bool>(true);
        top.p_d__p__i.template set<bool>(now & 1);
        top.p_d__n__i.template set<bool>(now >> 1);
        top.eval(nullptr);
        simulation->end_cycle();
        return now;
    }
};

}  // namespace

extern "C" {

Wires *celosia_wires(Simulation *simulation, double bit) {
    auto *wires = new Wires();
    wires->simulation = simulation;
    wires->bit = bit;
    return wires;
}

void celosia_cut(Wires *wires) { delete wires; }

// Whether the fabric is at rest: only what comes over the wires can change it.
int celosia_asleep(const Wires *wires) {
#ifdef CELOSIA_ASLEEP
    return CELOSIA_ASLEEP(wires->simulation->top);
#else
    (void)wires;
    return 0;
#endif
}

uint64_t celosia_broken(const Wires *) { return 0; }

// Whether somebody pulls a wire up: a device is there.
int celosia_attached(const Wires *wires) { return wires->simulation->top.p_pullup.template get<bool>(); }

// Sends symbols, then waits up to `patience` bits for the device to begin and listens until its packet ends. Gives the number of
// symbols that came; `room` 0 listens to nothing, and then the wires rest for `patience` bits.
size_t celosia_transact(Wires *wires, const uint8_t *symbols, size_t count, uint8_t *answer, size_t room, double patience) {
    auto *simulation = wires->simulation;
    wires->next = double(simulation->cycles);
    for (size_t index = 0; index < count; index++) {
        wires->driven = symbols[index];
        wires->next += wires->bit;
        while (double(simulation->cycles) < wires->next) wires->step();
    }
    wires->driven = -1;
    double limit = double(simulation->cycles) + patience * wires->bit;
    size_t given = 0;
    double sample = -1;  // cycle in which the next symbol is read: none before the packet begins
    int before = 1, silent = 0;
    while (room ? given < room : double(simulation->cycles) < limit) {
        double now = double(simulation->cycles);
        int symbol = wires->step();
        if (!room) continue;
        if (symbol != before) sample = now + wires->bit / 2;
        before = symbol;
        if (sample < 0) {
            if (now >= limit) return 0;
        } else if (now >= sample) {
            sample += wires->bit;
            answer[given++] = uint8_t(symbol);
            silent = symbol ? silent : silent + 1;
            if (silent && symbol == 1) break;
        }
    }
    return given;
}
}

// Talks to a design over two pins, as a UART at the other end of the wires does: 8 data bits, no parity, 1 stop bit.
// Included behind the generated design and simulation.h; a cycle is one eval and one commit.

namespace {

struct Wires {
    Simulation *simulation;
    double bit;  // cycles

    // Towards the design
    bool sending = false;
    uint32_t bits_out = 0;  // still to be sent, the least significant first
    int left_out = 0;
    double next_out = 0;  // cycle in which the next bit begins

    // From the design
    bool receiving = false;
    bool line = true;
    uint32_t bits_in = 0;
    int count_in = 0;
    double next_in = 0;  // cycle in whose course the next bit is sampled
    uint64_t broken = 0;  // bytes without a stop bit
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

// Whether the fabric is at rest: only what comes over the wire can change it.
int celosia_asleep(const Wires *wires) {
#ifdef CELOSIA_ASLEEP
    return CELOSIA_ASLEEP(wires->simulation->top);
#else
    (void)wires;
    return 0;
#endif
}

uint64_t celosia_broken(const Wires *wires) { return wires->broken; }

// Runs for `limit` cycles, or until `room` bytes came. Gives the bytes taken from `in` and the bytes put into `out`, the latter
// with the cycles in which they were whole. Bytes on their way are kept for the next call. With `stop`, ends as soon as `in` is
// sent and a byte came.
void celosia_exchange(Wires *wires, const uint8_t *in, size_t in_count, uint8_t *out, uint64_t *when, size_t room, uint64_t limit,
                      int stop, size_t *taken, size_t *given) {
    Simulation *simulation = wires->simulation;
    auto &top = simulation->top;
    size_t in_index = 0, out_index = 0;
    top.p_clk.set<bool>(true);
    for (; limit > 0 && out_index < room; limit--) {
        double now = double(simulation->cycles);
        if (now >= wires->next_out) {
            if (wires->left_out > 0) {
                wires->bits_out >>= 1;
                wires->left_out--;
                wires->next_out += wires->bit;
            } else if (in_index < in_count) {
                // Without a gap behind the byte before, whose stop bit ends in the course of this cycle.
                double begin = wires->next_out > now - 1 ? wires->next_out : now;
                wires->bits_out = (uint32_t(in[in_index++]) | 0x100u) << 1;
                wires->left_out = 9;
                wires->next_out = begin + wires->bit;
            } else {
                wires->bits_out = 1;
            }
        }
        top.p_rx.set<bool>(wires->bits_out & 1);
        top.eval(nullptr);
        simulation->end_cycle();
        bool line = top.p_tx.get<bool>();
        if (!wires->receiving) {
            if (wires->line && !line) {
                wires->receiving = true;
                wires->count_in = 0;
                wires->next_in = now + wires->bit / 2;
            }
        } else if (now >= wires->next_in) {
            wires->next_in += wires->bit;
            wires->bits_in = wires->bits_in >> 1 | uint32_t(line) << 9;
            if (++wires->count_in == 10) {
                wires->receiving = false;
                if (line) {
                    when[out_index] = simulation->cycles;
                    out[out_index++] = uint8_t(wires->bits_in >> 1);
                    if (stop && in_index == in_count) {
                        wires->line = line;
                        break;
                    }
                } else {
                    wires->broken++;
                }
            } else if (wires->count_in == 1 && line) {
                wires->receiving = false;
            }
        }
        wires->line = line;
    }
    *taken = in_index;
    *given = out_index;
}
}

/* Calls a tiny function of a library through the procedure linkage table, so often that samples
 * fall onto its entries: they must reach main like all others.
 * usage: plt [SECONDS] */
#include "target.h"

uint64_t tiny(uint64_t x);
static volatile uint64_t sink;

NOINLINE static uint64_t calls_out(unsigned n, uint64_t x) {
    for (unsigned i = 0; i < n; i++)
        x = tiny(x);
    return x;
}

int main(int argc, char **argv) {
    target_start(argc, argv, NULL);
    target_ready();
    while (target_more()) {
        sink = calls_out(100000, sink);
        target_loops++;
    }
    target_report();
    return 0;
}

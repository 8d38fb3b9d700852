/* Tail calls: `jumps` leaves its frame to `landed`, so a true stack is landed ← caller ← main, and a
 * mutual chain of them leaves only its last link.
 * usage: tailcall [SECONDS] */
#include "target.h"

static const char *const names[] = {"landed", NULL};
static volatile uint64_t sink;

NOINLINE static uint64_t landed(uint64_t x, unsigned n) {
    uint64_t t = target_cpu();
    x = target_spin(x, n);
    target_charge(0, target_cpu() - t);
    return x;
}

NOINLINE static uint64_t jumps(uint64_t x, unsigned n) {
    return landed(x ^ n, n * 2);
}

NOINLINE uint64_t chain_odd(uint64_t x, unsigned n);
NOINLINE uint64_t chain_even(uint64_t x, unsigned n) {
    x = target_spin(x, 1000);
    return n ? chain_odd(x, n - 1) : x;
}
NOINLINE uint64_t chain_odd(uint64_t x, unsigned n) {
    x = target_spin(x, 1000) + 1;
    return n ? chain_even(x, n - 1) : x;
}

NOINLINE static uint64_t caller(uint64_t x) {
    x = jumps(x, 50000) + 1;
    return chain_even(x, 100) + 1;
}

int main(int argc, char **argv) {
    target_start(argc, argv, names);
    target_ready();
    while (target_more())
        sink = caller(sink);
    target_report();
    return 0;
}

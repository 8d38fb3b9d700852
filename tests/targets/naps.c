/* Works for some 50 to 450 microseconds, sleeps for about as long, and so on: two thirds of its work in `first`, one in
 * `second`. Nobody may count it while it sleeps, or miss it when it has just woken.
 * usage: naps [SECONDS] */
#include "target.h"

static const char *const names[] = {"first", "second", NULL};
enum { FIRST, SECOND };
static volatile uint64_t sink;

NOINLINE static uint64_t first(uint64_t x, unsigned n) {
    return target_spin(x, n) + 1;
}

NOINLINE static uint64_t second(uint64_t x, unsigned n) {
    return target_spin(x, n) + 2;
}

int main(int argc, char **argv) {
    target_start(argc, argv, names);
    target_ready();
    uint32_t seed = 2463534242u;
    while (target_more()) {
        unsigned unit = 10000 + target_random(&seed) % 80000;
        uint64_t t = target_cpu();
        sink = first(sink, unit * 2);
        uint64_t between = target_cpu();
        sink = second(sink, unit);
        target_charge(FIRST, between - t);
        target_charge(SECOND, target_cpu() - between);
        usleep(50 + target_random(&seed) % 400);
    }
    target_report();
    return 0;
}

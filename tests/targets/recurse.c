/* Goes DEPTH calls deep, then works at the bottom and counts rounds: a whole stack has DEPTH frames
 * of `descend` between `bottom` and main, and the rounds per second show what sampling costs.
 * usage: recurse [SECONDS [DEPTH]] */
#include "target.h"

static volatile uint64_t sink;

NOINLINE static uint64_t bottom(uint64_t x) {
    while (target_more()) {
        x = target_spin(x, 20000);
        target_loops++;
    }
    return x;
}

NOINLINE static uint64_t descend(unsigned depth, uint64_t x) {
    if (depth <= 1) {
        target_ready();
        x = bottom(x);
        __asm__ volatile("" : "+r"(x)); /* not a tail call: this frame counts */
        return x;
    }
    x = descend(depth - 1, x + depth);
    __asm__ volatile("" : "+r"(x)); /* neither a tail call nor a sum that a loop could make */
    return x + 1;
}

int main(int argc, char **argv) {
    target_start(argc, argv, NULL);
    sink = descend(argc > 2 ? (unsigned)atoi(argv[2]) : 4000, 1);
    target_report();
    return 0;
}

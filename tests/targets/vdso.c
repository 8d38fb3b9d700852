/* Spends its time in the vDSO, which has no file:  __vdso_clock_gettime ← … ← asks_time ← main.
 * usage: vdso [SECONDS] */
#include "target.h"

static volatile uint64_t sink;

NOINLINE static uint64_t asks_time(unsigned n) {
    uint64_t x = 0;
    for (unsigned i = 0; i < n; i++)
        x += target_clock(CLOCK_MONOTONIC);
    return x;
}

int main(int argc, char **argv) {
    target_start(argc, argv, NULL);
    target_ready();
    while (target_more())
        sink = asks_time(10000);
    target_report();
    return 0;
}

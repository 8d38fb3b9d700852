/* A program whose cycle is exact in wall time: 60 % in sixty, 30 % in thirty, 10 % in ten. A sampler with a fixed period of
 * that length falls in step with it and is wrong by up to 20 points.
 * usage: instep [SECONDS [NANOSECONDS OF A CYCLE = 1/99 s]] */
#include "target.h"

static const char *const names[] = {"sixty", "thirty", "ten", NULL};
static volatile uint64_t sink;

static uint64_t phase(int which, uint64_t until, uint64_t x) {
    uint64_t t = target_cpu();
    while (target_clock(CLOCK_MONOTONIC) < until)
        x = target_spin(x, 2000);
    target_charge(which, target_cpu() - t);
    return x;
}
NOINLINE static uint64_t sixty(uint64_t until, uint64_t x) {
    return phase(0, until, x) + 1;
}
NOINLINE static uint64_t thirty(uint64_t until, uint64_t x) {
    return phase(1, until, x) + 2;
}
NOINLINE static uint64_t ten(uint64_t until, uint64_t x) {
    return phase(2, until, x) + 3;
}

int main(int argc, char **argv) {
    target_start(argc, argv, names);
    target_ready();
    uint64_t start = target_clock(CLOCK_MONOTONIC), x = 1;
    const uint64_t length = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000000 / 99;
    for (uint64_t at = start; target_more(); at += length) {
        x = sixty(at + length * 6 / 10, x);
        x = thirty(at + length * 9 / 10, x);
        x = ten(at + length, x);
        target_loops++;
    }
    sink = x;
    target_report();
    return 0;
}

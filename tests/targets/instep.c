/* A program whose cycle is exactly 1/99 s of wall time: 60 % in sixty, 30 % in thirty, 10 % in ten.
 * A sampler with a fixed 99 Hz falls in step with it and is wrong by up to 20 points.
 * usage: instep [SECONDS] */
#include "target.h"

static const char *const names[] = {"sixty", "thirty", "ten", NULL};
static volatile uint64_t sink;
enum { HZ = 99 };

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
    for (uint64_t cycle = 0; target_more(); cycle++) {
        uint64_t at = start + cycle * 1000000000u / HZ, length = 1000000000u / HZ;
        x = sixty(at + length * 6 / 10, x);
        x = thirty(at + length * 9 / 10, x);
        x = ten(start + (cycle + 1) * 1000000000u / HZ, x);
        target_loops++;
    }
    sink = x;
    target_report();
    return 0;
}

/* Functions that realign their stack: the frame's address is an expression over memory, not a
 * register plus an offset.  drap_leaf ← drap_outer ← caller ← main.
 * usage: drap [SECONDS] */
#include "target.h"

static const char *const names[] = {"drap_outer", NULL};
static volatile uint64_t sink;

NOINLINE static uint64_t drap_leaf(volatile unsigned char *room, uint64_t x) {
    room[0] = (unsigned char)x;
    return target_spin(x, 100000);
}

/* Seven arguments, alignment above the ABI's, and a size known at run time only. */
NOINLINE static uint64_t drap_outer(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f,
                                    unsigned size, uint64_t on_stack) {
    volatile unsigned char aligned[64] __attribute__((aligned(64)));
    volatile unsigned char *room = __builtin_alloca(size);
    aligned[0] = (unsigned char)(a + b + c);
    uint64_t t = target_cpu();
    uint64_t x = drap_leaf(room, d + e + f + on_stack) + drap_leaf(aligned, a);
    target_charge(0, target_cpu() - t);
    return x + aligned[0];
}

NOINLINE static uint64_t caller(uint64_t x, unsigned size) {
    return drap_outer(x, 1, 2, 3, 4, 5, size, 6) + 1;
}

int main(int argc, char **argv) {
    target_start(argc, argv, names);
    target_ready();
    uint32_t seed = 12345;
    while (target_more())
        sink = caller(sink, 16 + target_random(&seed) % 500);
    target_report();
    return 0;
}

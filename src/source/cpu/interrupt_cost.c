#include "source/cpu/interrupt_cost.h"

#include <stdlib.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/clock.h"

/* Without a hypervisor; about twice what current processors need. */
enum { BARE_NS = 2000 };

#if defined(__x86_64__)
/* Its host takes the timer's interrupt, hands it in, and is told of the next deadline; one from another CPU it hands in.
 * Measured under KVM without virtual interrupts in hardware: exits of 3.7 µs, 11.7 to 12.5 µs per timer's interrupt at
 * 1,000 to 20,000 Hz, 5.5 to 8.2 µs per call at 10,000 Hz. */
enum { TIMER_EXITS = 3, CALL_EXITS = 2, ROUNDS = 63 };

static int compare_times(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t exit_ns(void) {
    uint64_t took[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned a, b, c, d;
        uint64_t begin = clock_monotonic_ns();
        __cpuid(0, a, b, c, d);
        took[i] = clock_monotonic_ns() - begin;
    }
    qsort(took, ROUNDS, sizeof(took[0]), compare_times);
    return took[ROUNDS / 2];
}

#else
enum { TIMER_EXITS = 0, CALL_EXITS = 0 };
static uint64_t exit_ns(void) {
    return 0;
}
#endif

struct interrupt_costs interrupt_costs(void) {
    uint64_t one = exit_ns();
    return (struct interrupt_costs){.timer_ns = BARE_NS + TIMER_EXITS * one, .call_ns = BARE_NS + CALL_EXITS * one};
}

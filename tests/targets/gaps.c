/* Reads the clock all the time, DEPTH calls deep: where two readings lie further apart than a reading takes, the thread was
 * kept from running. ns["lost"] is the sum of that over its threads: what interrupts, profilers and the kernel took, told
 * by whoever lost it. Unlike work done it does not depend on how fast the machine is just now.
 * usage: gaps [SECONDS [THREADS [DEPTH]]]; as a library: gaps_spin(), for gaps.py */
#include "target.h"

#include <pthread.h>

enum { READING_NS = 400 }; /* a reading takes 20 to 60; the shortest interrupt, a thousand and more */

static const char *const names[] = {"lost", NULL};
static unsigned depth = 30;

NOINLINE uint64_t gaps_spin(uint64_t ns) {
    uint64_t start = target_clock(CLOCK_MONOTONIC), before = start, lost = 0;
    while (before - start < ns) {
        uint64_t now = target_clock(CLOCK_MONOTONIC);
        if (now - before > READING_NS)
            lost += now - before;
        before = now;
    }
    return lost;
}

NOINLINE static void spin(int first) {
    while (target_clock(CLOCK_MONOTONIC) < target_deadline && (!first || target_more()))
        target_charge(0, gaps_spin(1000000));
}

NOINLINE static void descend(unsigned left, int first) {
    if (left > 1)
        descend(left - 1, first);
    else
        spin(first);
    __asm__ volatile("" ::: "memory"); /* not a tail call */
}

static void *other(void *unused) {
    descend(depth, 0);
    return unused;
}

int main(int argc, char **argv) {
    target_start(argc, argv, names);
    long threads = argc > 2 ? atol(argv[2]) : 1;
    depth = argc > 3 ? (unsigned)atoi(argv[3]) : depth;
    for (long i = 1; i < threads; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, other, NULL))
            return 1;
        pthread_detach(t);
    }
    target_ready();
    descend(depth, 1);
    target_report();
    return 0;
}

/* Six functions with known shares of the CPU, in one or more threads: what a profiler must say is
 * what the program measured. Call tree (shares of all, about):
 *   main → alpha 45 | beta 25 → beta_inner (of it two thirds) | gamma 15 | delta 10 | epsilon 5
 * usage: shares [SECONDS [THREADS]] */
#include "target.h"

#include <pthread.h>

static const char *const names[] = {"alpha", "beta", "beta_inner", "gamma", "delta", "epsilon", NULL};
enum { ALPHA, BETA, BETA_INNER, GAMMA, DELTA, EPSILON };

static volatile uint64_t sink;

NOINLINE static uint64_t alpha(uint64_t x, unsigned n) {
    return target_spin(x, n) + 1;
}

NOINLINE static uint64_t beta_inner(uint64_t x, unsigned n) {
    uint64_t t = target_cpu();
    x = target_spin(x, n) + 3;
    target_charge(BETA_INNER, target_cpu() - t);
    return x;
}

NOINLINE static uint64_t beta(uint64_t x, unsigned n) {
    x = beta_inner(x, n / 3 * 2);
    return target_spin(x, n / 3) + 2;
}

/* Uses callee-saved registers and a frame of changing size. */
NOINLINE static uint64_t gamma_(uint64_t x, unsigned n) {
    volatile unsigned char room[64 + (n & 63)];
    room[n & 63] = (unsigned char)x;
    uint64_t a = target_spin(x, n / 2), b = target_spin(~x, n / 2);
    return a ^ b ^ room[n & 63];
}
uint64_t gamma_named(uint64_t x, unsigned n) __asm__("gamma");
NOINLINE uint64_t gamma_named(uint64_t x, unsigned n) {
    return gamma_(x, n) + 4;
}

NOINLINE static uint64_t delta(uint64_t x, unsigned n) {
    double d = (double)(x & 1023) + 1;
    for (unsigned i = 0; i < n / 4; i++) {
        d = d * 1.0000001 + 0.5;
        __asm__ volatile("" : "+m"(d));
    }
    return (uint64_t)d;
}

NOINLINE static uint64_t epsilon(uint64_t x, unsigned n) {
    return target_spin(x, n) ^ 5;
}

static uint64_t timed(int which, uint64_t (*f)(uint64_t, unsigned), uint64_t x, unsigned n) {
    uint64_t t = target_cpu();
    x = f(x, n);
    target_charge(which, target_cpu() - t);
    return x;
}

NOINLINE static void *worker(void *arg) {
    uint32_t seed = 88172645u + (uint32_t)(uintptr_t)arg;
    uint64_t x = seed;
    while (target_clock(CLOCK_MONOTONIC) < target_deadline) {
        if (!arg && !target_more())
            break;
        unsigned unit = 4000 + target_random(&seed) % 16000; /* long beside the clock calls */
        x = timed(ALPHA, alpha, x, unit * 45);
        x = timed(BETA, beta, x, unit * 25);
        x = timed(GAMMA, gamma_named, x, unit * 15);
        x = timed(DELTA, delta, x, unit * 10);
        x = timed(EPSILON, epsilon, x, unit * 5);
        __atomic_fetch_add(&target_loops, 1, __ATOMIC_RELAXED);
    }
    sink = x;
    return NULL;
}

int main(int argc, char **argv) {
    target_start(argc, argv, names);
    long threads = argc > 2 ? atol(argv[2]) : 1;
    target_ready();
    for (long i = 1; i < threads; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, worker, (void *)i))
            return 1;
        char name[16];
        snprintf(name, sizeof name, "worker-%ld", i % 1000);
        pthread_setname_np(t, name);
        pthread_detach(t);
    }
    worker(NULL);
    target_report();
    return 0;
}

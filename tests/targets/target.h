/* What the test programs share: they measure themselves and say what is true.
 * May use: libc. Must not: include anything of scry, depend on its build flags.
 *
 * Every program prints one JSON object per line on standard output:
 *   {"ready": PID}                                   once, when its load is running
 *   {"cpu_ns": N, "loops": N, "ns": {"name": N, …}}  on SIGUSR1 and at its end
 * where ns["name"] is the CPU time this thread spent between begin() and end() of that name. A test
 * takes the difference of two such lines, so that what lies outside its window does not count.
 * The first argument of every program is how many seconds it runs (default: 60). */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone, noipa))

enum { TARGET_MAX_NAMES = 32 };

static const char *target_names[TARGET_MAX_NAMES];
static uint64_t target_ns[TARGET_MAX_NAMES];
static uint64_t target_loops;
static volatile sig_atomic_t target_asked;
static uint64_t target_deadline;

static inline uint64_t target_clock(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t target_cpu(void) {
    return target_clock(CLOCK_THREAD_CPUTIME_ID);
}

static inline void target_report(void) {
    printf("{\"cpu_ns\": %llu, \"loops\": %llu, \"ns\": {", (unsigned long long)target_clock(CLOCK_PROCESS_CPUTIME_ID),
           (unsigned long long)target_loops);
    for (int i = 0; i < TARGET_MAX_NAMES && target_names[i]; i++)
        printf("%s\"%s\": %llu", i ? ", " : "", target_names[i], (unsigned long long)target_ns[i]);
    printf("}}\n");
    fflush(stdout);
}

static inline void target_on_usr1(int sig) {
    (void)sig;
    target_asked = 1;
}

/* `names` ends with NULL; may be NULL. */
static inline void target_start(int argc, char **argv, const char *const *names) {
    for (int i = 0; names && names[i] && i < TARGET_MAX_NAMES; i++)
        target_names[i] = names[i];
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = target_on_usr1;
    a.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &a, NULL);
    double seconds = argc > 1 ? atof(argv[1]) : 60;
    target_deadline = target_clock(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9);
}

static inline void target_ready(void) {
    printf("{\"ready\": %d}\n", (int)getpid());
    fflush(stdout);
}

/* Charges time to a name, from any thread. */
static inline void target_charge(int which, uint64_t ns) {
    __atomic_fetch_add(&target_ns[which], ns, __ATOMIC_RELAXED);
}

/* Call once per round; false when the time is over. */
static inline int target_more(void) {
    if (target_asked) {
        target_asked = 0;
        target_report();
    }
    return target_clock(CLOCK_MONOTONIC) < target_deadline;
}

/* A generator of uneven lengths, so that no round falls in step with anything. */
static inline uint32_t target_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* About `n` dependent steps of work that no compiler removes. */
static inline __attribute__((always_inline)) uint64_t target_spin(uint64_t x, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        __asm__ volatile("" : "+r"(x));
    }
    return x;
}

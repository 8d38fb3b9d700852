/* How a profile's value is spread over threads and over processes.
 * May use: base/, model/.
 * Must not: print. */
#pragma once

#include "base/err.h"
#include "model/profile.h"

struct analyse_thread_row {
    thread_id thread; /* of a process: its thread with the largest value; of a renamed thread: the name with it */
    uint32_t threads; /* of a process: how many of its threads have samples; else 1 */
    int64_t value;
    uint64_t samples;
};

struct analyse_threads {
    struct analyse_thread_row *threads, *processes; /* the largest first */
    size_t n_threads, n_processes;
    int64_t total;
};

int analyse_threads(const struct profile *p, unsigned value, struct analyse_threads *ret, struct err *err);
void analyse_threads_free(struct analyse_threads *t);

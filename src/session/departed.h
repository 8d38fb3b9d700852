/* Processes that have ended lately: samples of their teardown come after the word of their end, when all else of them is
 * forgotten. Private to session/.
 * May use: session/process.h.
 * Must not: hold what a process had open. */
#pragma once

#include "session/process.h"

enum { DEPARTED_MOST = 256 }; /* older ones are forgotten */

struct departed_process {
    u32 pid;                  /* 0 = none */
    struct profile_thread as; /* what its threads have in common */
    struct u64_map threads;   /* tid → thread_id */
    int end_fd;               /* readable when it is torn down; -1 = it is, or nobody wants to know */
};

struct departed { /* zero-initialise to use */
    struct departed_process all[DEPARTED_MOST];
    unsigned next;
};

/* A process has ended that is described by `as`. Takes *threads over, which may be NULL. With `wait`, departed_wait()
 * knows of its teardown. */
void departed_add(struct departed *d, const struct profile_thread *as, struct u64_map *threads, bool wait);
/* Its number is another's now. */
void departed_forget(struct departed *d, u32 pid);
void departed_free(struct departed *d);

/* The thread of a process that has ended; 0 when the process is not known. */
thread_id departed_thread(struct departed *d, struct profile *profile, u32 pid, u32 tid, const char *comm);
/* Whether one of those that are to be waited for is still being torn down. */
bool departed_wait(struct departed *d);

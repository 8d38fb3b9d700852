/* Processes that began, or became another program, a moment ago. Where programs are started one after the other most end
 * before a sample is taken of them, and to open each costs more than it takes itself: those that are still there after a
 * moment are opened then, so many a second, and any at its first sample. Private to session/.
 * May use: base/.
 * Must not: know processes. */
#pragma once

#include "base/mem.h"

struct newcomer {
    uint32_t pid;
    uint64_t due_ns; /* when to open it */
};

struct newcomers { /* zero-initialise to use */
    struct newcomer *all;
    size_t count, capacity;
    uint64_t next_ns;     /* when the first is due, or earlier */
    uint64_t second_ns;   /* when this second began, */
    unsigned this_second; /* … and how many were opened in it */
};

/* 0 or -ENOMEM. Of one that is there already the moment begins anew. */
int newcomers_add(struct newcomers *n, uint32_t pid, uint64_t now_ns);
/* Returns whether it was one of them. */
bool newcomers_remove(struct newcomers *n, uint32_t pid);
bool newcomers_has(const struct newcomers *n, uint32_t pid);
void newcomers_free(struct newcomers *n);

/* Takes out one that is due; 0 when none is. Where too many are in one second, *ret_postponed is true: it stays, for
 * later. */
uint32_t newcomers_due(struct newcomers *n, uint64_t now_ns, bool *ret_postponed);

/* How much of what scry runs itself others had to wait for: it goes before them, and where all CPUs are taken its time is
 * theirs. Private to session/.
 * May use: base/.
 * Must not: know the profile. */
#pragma once

#include "base/macros.h"

struct displaced {                    /* zero-initialise to use */
    uint64_t idle_ns, self_ns, at_ns; /* when last looked: of all CPUs together, of scry, and the time */
    uint64_t total_ns;                /* what others waited for, since the first look */
};

/* Looks at the system's account. Call it about once a second, at the beginning and at the end. */
void displaced_look(struct displaced *d, uint64_t now_ns);
/* What others waited for in `wall_ns`, of which CPUs were idle for `idle_ns` and scry ran for `self_ns`. */
uint64_t displaced_of(uint64_t idle_ns, uint64_t self_ns, uint64_t wall_ns);
/* The idle time of all CPUs in the text of /proc/stat. */
uint64_t displaced_idle(const char *stat, uint64_t ticks_per_second);

/* The clocks. All values are nanoseconds.
 * May use: the C library.
 * Must not: sleep. */
#pragma once

#include <stdint.h>
#include <time.h>

uint64_t clock_monotonic_ns(void); /* the clock of sample times (bpf_ktime_get_ns) */
uint64_t clock_realtime_ns(void);  /* since the epoch */
uint64_t clock_cpu_ns(void);       /* CPU time used by this process so far */
uint64_t clock_ns_of(const struct timespec *t);

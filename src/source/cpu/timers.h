/* Sampling by perf's timers: software clock events of every CPU, whose periods are drawn anew a few times a second.
 * Private to source/cpu.
 * May use: base/, libbpf, source/cpu/cpu_open.h.
 * Must not: know what a sample is. */
#pragma once

#include <bpf/libbpf.h>

#include "base/err.h"
#include "base/macros.h"

/* Of different periods: a program in step with one of them is not so with the others. */
enum { TIMERS_PER_CPU = 4 };

struct timers;

/* Starts them: `frequency` samples per second and CPU, on average, each by a run of `program`. `cpus`: how many are
 * possible; those offline are left out. 0 or a negative errno with the reason in words. */
int timers_start(struct bpf_program *program, int cpus, unsigned frequency, struct timers **ret,
                 struct err *err) _must_check_;
void timers_stop(struct timers *t);
DEFINE_CLEANUP(struct timers, timers_stop)

/* Lets them rest, or go on. `timers` is a struct timers; may be called from another thread than the rest. */
void timers_switch(void *timers, bool on);

/* Draws new periods when it is time. Returns in how many milliseconds it is to be called again, at the latest. */
int timers_vary(struct timers *t);

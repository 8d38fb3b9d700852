/* Sampling by interrupts that another CPU sends. In a virtual machine a timer's interrupt leaves the machine about three
 * times, which at high rates costs the sampled program more than its samples do; an interrupt from another CPU leaves it
 * once. So a thread sits on an idle CPU, sleeps from tick to tick, and at each has the kernel run the sampling program on
 * every CPU that runs something to sample. When no CPU is idle, or the thread cannot keep time, perf's timers take over,
 * and it tries again later. Private to source/cpu.
 * May use: base/, libbpf, struct cpu_state.
 * Must not: know what a sample is. */
#pragma once

#include "base/macros.h"
#include "source/cpu/cpu_record.h"

struct metronome;

struct metronome_options {
    unsigned frequency;      /* ticks per second and CPU */
    int program_fd;          /* to be run at a tick, on the CPU itself */
    const uint32_t *learned; /* 0 as long as the program takes no samples, but learns from ticks how to */
    struct cpu_state *cpus;  /* of every possible CPU: what each runs is kept up to date there by itself */
    int n_cpus;
    void (*timers)(void *ctx, bool on); /* starts perf's timers, or stops them; at first they run */
    void *ctx;
};

/* Starts the thread. 0 or negative errno; -ENOTSUP when this process may run on one CPU only. */
int metronome_start(const struct metronome_options *options, struct metronome **ret) _must_check_;
/* Stops the thread. The timers are left as they are, running or not. */
void metronome_free(struct metronome *m);
DEFINE_CLEANUP(struct metronome, metronome_free)

/* How many samples were due and not taken: the thread was too late to make up for them, or had taken a target's CPU. */
uint64_t metronome_missed(const struct metronome *m);

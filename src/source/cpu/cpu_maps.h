/* The kernel's own word on new code mappings: a side channel that tells at once when a process maps
 * executable memory (exec, dlopen, just-in-time compilers), so that its list is read again before names and
 * tables go stale, and so that a process that ended too soon to be asked can still be named. Private to
 * source/cpu.
 * May use: base/, perf events (perf_event_open(2): PERF_RECORD_MMAP2, PERF_RECORD_COMM).
 * Must not: be needed: without it, mappings are looked at again every few seconds. */
#pragma once

#include "base/err.h"
#include "source/cpu/cpu_record.h"

struct cpu_maps;

/* One small ring per CPU. -errno when the kernel does not allow it. */
int cpu_maps_open(struct cpu_maps **ret) _must_check_;
void cpu_maps_close(struct cpu_maps *m);
DEFINE_CLEANUP(struct cpu_maps, cpu_maps_close)

/* Readable when something waits; for poll(). */
int cpu_maps_fd(const struct cpu_maps *m);

/* Calls `take` once per record with a CPU_RECORD_MAP or CPU_RECORD_NEW_IMAGE, which is valid during the call.
 * Records of one CPU come in the order of their times; those of several do not. Returns how many were read,
 * those that do not matter to anybody with them. */
typedef void cpu_mapped_fn(void *ctx, const struct cpu_mapped *record);
size_t cpu_maps_drain(struct cpu_maps *m, cpu_mapped_fn *take, void *ctx);
/* How many records the rings had no room for. */
uint64_t cpu_maps_lost(const struct cpu_maps *m);

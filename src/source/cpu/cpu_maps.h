/* The kernel's own word on new code mappings: a side channel that tells at once when a process maps
 * executable memory (dlopen, just-in-time compilers), so that its list is read again before names and
 * tables go stale. Private to source/cpu.
 * May use: base/, perf events.
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

/* Calls `mapped` once per record with the process that mapped code, and when (CLOCK_MONOTONIC). */
typedef void cpu_mapped_fn(void *ctx, u32 tgid, uint64_t time_ns);
void cpu_maps_drain(struct cpu_maps *m, cpu_mapped_fn *mapped, void *ctx);

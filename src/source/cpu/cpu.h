/* The CPU sampler, seen from user space: load, start, drain, stop.
 * May use: base/, unwind/table.h, source/cpu/cpu_record.h, libbpf.
 * Must not: interpret stacks or know runtimes; it moves records from the kernel to a callback.
 *
 * Several timers per CPU, whose periods are drawn anew a few times a second, make up the sampling rate: no program,
 * whatever its own rhythm, runs in step with them (source/cpu/timers.h). Where timers are dear, a metronome stands in for
 * them (source/cpu/metronome.h). */
#pragma once

#include "base/err.h"
#include "source/cpu/cpu_record.h"

struct cpu_options {
    unsigned frequency; /* samples per second and CPU, 1 … 20,000 */
    bool kernel;        /* take kernel stacks */
    enum cpu_filter filter;
    int cgroup_fd; /* with CPU_FILTER_CGROUP */
    unsigned max_processes;
    bool verbose; /* let libbpf speak to stderr */
};

struct cpu_source;

/* Loads the programs; nothing is sampled yet. The error names what is missing (BTF, a capability, a
 * kernel feature) and the command that would help. -EPERM: privileges; -ENOTSUP: the kernel. */
int cpu_source_open(const struct cpu_options *options, struct cpu_source **ret, struct err *err) _must_check_;
void cpu_source_close(struct cpu_source *s);
DEFINE_CLEANUP(struct cpu_source, cpu_source_close)

/* Table memory for unwind/tables.h: chunk `index` as memory shared with the BPF programs. */
void *cpu_source_new_chunk(void *source, u32 index);
void cpu_source_free_chunk(void *source, u32 index, void *chunk);
struct unwind_rule *cpu_source_rules(struct cpu_source *s);

/* Whether processes of the whole machine are seen: not from within a pid namespace of its own, as of a container. */
bool cpu_source_sees_all(void);
/* CPU_FILTER_CGROUP: sample that one from now on. 0 or negative errno. */
int cpu_source_set_cgroup(struct cpu_source *s, int cgroup_fd);
/* CPU_FILTER_PIDS: sample this process and its future children. */
/* Those that are followed now: the targets, and what they started. Returns how many of them were put into `ret`. */
size_t cpu_source_targets(struct cpu_source *s, u32 *ret, size_t most);
int cpu_source_add_target(struct cpu_source *s, u32 pid);
/* Tells the walk about a process, or forgets it. Replacing is atomic. */
int cpu_source_set_process(struct cpu_source *s, u32 pid, const struct table_process *process);
void cpu_source_forget_process(struct cpu_source *s, u32 pid);
/* Lets a process ship stack copies again, after its tables were improved. */
void cpu_source_clear_misses(struct cpu_source *s, u32 pid);

int cpu_source_start(struct cpu_source *s, struct err *err) _must_check_;
void cpu_source_stop(struct cpu_source *s);

/* Hands every waiting record to `take`; waits at most timeout_ms for one (0: does not wait; -1 is not
 * allowed). `fd`, if >= 0, ends the wait when it becomes readable. Returns the number of records, or
 * negative errno. A record is valid only during the call; `size` bytes are readable. */
typedef void cpu_take_fn(void *ctx, const struct cpu_record_head *record, size_t size);
int cpu_source_poll(struct cpu_source *s, int timeout_ms, int fd, cpu_take_fn *take, void *ctx);

/* Whether a poll ends with every sample instead of with many: while there is something to learn from processes
 * before they forget it. */
void cpu_source_set_eager(struct cpu_source *s, bool eager);

struct cpu_stats {
    uint64_t due;           /* samples; those that never arrived are lost */
    uint64_t taken;         /* … and were begun */
    uint64_t spent_ns;      /* on them in the kernel, by the sampling programs' own clock; */
    uint64_t interrupts_ns; /* … and what their interrupts took besides */
    uint64_t unheard;       /* announcements of mappings there was no room for */
    uint64_t map_bytes;     /* kernel memory of the maps, */
    uint64_t mapped_bytes;  /* … and what of it counts in the process's resident set too: the ring even twice */
};
/* After cpu_source_stop(). */
void cpu_source_stats(struct cpu_source *s, struct cpu_stats *ret);

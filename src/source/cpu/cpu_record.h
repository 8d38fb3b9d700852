/* What the CPU sampler's BPF programs and user space say to each other.
 * May use: unwind/walk.h, unwind/table.h.
 * Must not: contain pointers or padding that differs between the two compilers. */
#pragma once

#include "unwind/table.h"
#include "unwind/walk.h"

enum cpu_record_type {
    CPU_RECORD_SAMPLE = 1,
    CPU_RECORD_FORK, /* tgid forked `child`, a new process */
    CPU_RECORD_EXEC, /* tgid runs another program now */
    CPU_RECORD_EXIT, /* the last thread of tgid ended */
    /* Made in user space, see cpu_maps.h; both are a struct cpu_mapped. */
    CPU_RECORD_MAP,       /* tgid mapped code */
    CPU_RECORD_NEW_IMAGE, /* tgid gave up its memory for another program's (exec); its mappings follow */
};

/* Every record starts like this. Ids are as scry's own pid namespace numbers them. Samples alone have a
 * tid and a comm. */
struct cpu_record_head {
    u32 type;
    u32 tgid, tid;
    u32 child;   /* CPU_RECORD_FORK */
    u64 time_ns; /* CLOCK_MONOTONIC */
    char comm[16];
};

enum cpu_sample_flags {
    CPU_SAMPLE_USER = 1,       /* has user registers: not a kernel thread */
    CPU_SAMPLE_IN_KERNEL = 2,  /* was running kernel code */
    CPU_SAMPLE_UNKNOWN = 4,    /* the process was not known yet: nothing was walked */
    CPU_SAMPLE_INEXACT = 8,    /* the user pc is behind a system call instruction */
    CPU_SAMPLE_EXECVE = 16,    /* inside execve(): the memory may be the new program's already, and has no stack yet */
    CPU_SAMPLE_STACK_CUT = 32, /* the ring filled up: less than CPU_STACK_ENOUGH of the stack was copied */
};

enum {
    CPU_MAX_KERNEL_FRAMES = 127,
    CPU_STACK_PAGES = 32, /* stack copy shipped when a walk could not be finished */
    CPU_STACK_BYTES = CPU_STACK_PAGES * 4096,
    CPU_STACK_ENOUGH = 16,    /* of those pages, for what is above to be looked for in the target */
    CPU_RED_ZONE_BYTES = 128, /* below the stack pointer, and still the function's own (System V ABI) */
    CPU_MAX_CPUS = 1024,
};

enum { CPU_MAX_PATH = 1024 };

/* Code that a process mapped. Of a new image only the head counts. */
struct cpu_mapped {
    struct cpu_record_head head;
    u64 start, end, offset; /* [start, end) in the process; offset in the file */
    u64 inode;
    u32 major, minor;
    char path[CPU_MAX_PATH]; /* "" when it was longer; "[vdso]", "//anon" as the kernel says */
};

/* In the ring: the head up to `walk.frames`, then n_frames raw frames, n_kernel addresses (u64), and
 * stack_bytes of stack. */
struct cpu_sample {
    struct cpu_record_head head;
    u32 flags; /* enum cpu_sample_flags */
    u32 n_kernel;
    u32 stack_bytes; /* from CPU_RED_ZONE_BYTES below the stack pointer on, */
    u32 stack_holes; /* … but for page i (the first is a page's end) where bit i is set: it was not in memory then */
    struct walk_regs regs;
    struct walk_stack walk; /* its frames[] may be cut short in the ring */
};

_Static_assert(CPU_STACK_PAGES <= 8 * sizeof(((struct cpu_sample *)0)->stack_holes), "a bit for each page");

enum {
    CPU_SAMPLE_HEAD_BYTES = offsetof(struct cpu_sample, walk.frames),
    CPU_SAMPLE_TAIL_BYTES = CPU_MAX_KERNEL_FRAMES * 8 + CPU_STACK_BYTES,
};

/* What was found of the process sampled last: it is likely to be the next. */
struct cpu_seen {
    u32 tgid; /* 0 = nothing */
    u32 processes_changed;
    struct table_process process;
};

/* One per CPU: where a sample is put together. */
struct cpu_scratch {
    struct walk_state state;
    struct cpu_seen seen;
    struct cpu_sample sample;
    u8 tail[CPU_SAMPLE_TAIL_BYTES];
} __attribute__((aligned(4096)));

/* What a CPU runs now, for the metronome alone. */
enum cpu_runs { CPU_RUNS_UNKNOWN, CPU_RUNS_IDLE, CPU_RUNS_SCRY, CPU_RUNS_OTHER, CPU_RUNS_TARGET };

/* One per CPU, and a cache line of its own. */
struct cpu_state {
    u64 taken;     /* samples begun, */
    u64 ticked;    /* … and those of them that the metronome's ticks began */
    u64 spent_ns;  /* on samples, all together */
    u64 woken_ns;  /* when a sample last woke the reader because it is eager */
    u32 runs;      /* enum cpu_runs */
    u32 displaced; /* how often scry took the CPU from somebody who wanted to go on, */
    u32 passed;    /* … and that was a target, as far as is known */
    u32 unused[5];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct cpu_state) == 64, "a cache line");

/* Of a process: whether it is sampled, with CPU_FILTER_PIDS; or that its end is to be told whatever happens. */
enum cpu_target { CPU_TARGET = 1, CPU_TARGET_TELL_END };

/* Which tasks are sampled: a constant that user space sets before loading. */
enum cpu_filter { CPU_FILTER_PIDS, CPU_FILTER_ALL, CPU_FILTER_CGROUP };

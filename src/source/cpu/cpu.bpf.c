// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* The CPU sampler in the kernel: one perf event program that walks the interrupted thread's user
 * stacks and its kernel stack, and three small ones that follow processes.
 * Needs: Linux >= 5.17 (bpf_loop), BTF. No kprobes, no fentry, no mounted tracefs. */
#include <linux/types.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "source/cpu/cpu_record.h"
#include "source/cpu/kernel_types.h"

const volatile u32 filter_mode = CPU_FILTER_PIDS;
const volatile u32 pid_namespace = 0; /* inode of scry's own, 0 when it is the initial one */
const volatile u32 own_tgid = 0;
const volatile u8 want_kernel = 1;
const volatile u32 max_misses = 64;      /* stack copies of one process until user space has improved something, */
const volatile u32 max_waits = 400;      /* … and while it is to load what was not there yet */
const volatile u32 wake_bytes = 1 << 20; /* wake the reader when this much waits */

struct cpu_state cpus[CPU_MAX_CPUS];
u32 processes_changed; /* counts changes of what is known of processes */
u32 eager;             /* set by user space: wake it with every sample */
u32 tick_frames; /* of a kernel stack seen from sample_tick(), those on top that belong to the tick; 0 = not known */

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 8 << 20);
} events SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE); /* so that it begins with a page */
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct cpu_scratch);
} scratch SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4096);
    __type(key, u32);
    __type(value, struct table_process);
} processes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, u32);
    __type(value, u32);
} targets SEC(".maps");

/* Targets that end: the teardown of a process is its own time, and from Linux 6.16 on its end is told before that. When
 * the process began: numbers are used again. Nobody takes an entry out; the oldest go. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, u32);
    __type(value, u64);
} ending SEC(".maps");

/* How often a stack copy was shipped for a process; user space clears the entry when it changed
 * something. Bounds the cost of a process that cannot be walked. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, u32);
    __type(value, u32);
} misses SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, u32);
} cgroups SEC(".maps");

struct rule_table {
    struct unwind_rule rules[TABLE_MAX_RULES];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct rule_table);
} rules SEC(".maps");

struct chunk_map {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __uint(key_size, 4);
    __uint(value_size, TABLE_CHUNK_BYTES);
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, TABLE_MAX_CHUNKS);
    __type(key, u32);
    __array(values, struct chunk_map);
} chunks SEC(".maps");

/* ---- the table host ---- */

static __always_inline const void *table_chunk(struct walk *w, u32 chunk) {
    u32 zero = 0;
    void *map = bpf_map_lookup_elem(&chunks, &chunk);
    return map ? bpf_map_lookup_elem(map, &zero) : NULL;
}

static __always_inline const struct unwind_rule *table_rules(struct walk *w) {
    u32 zero = 0;
    struct rule_table *t = bpf_map_lookup_elem(&rules, &zero);
    return t ? t->rules : NULL;
}

static __always_inline void table_want_page(struct walk *w, u32 page_at) {
}

#include "unwind/native_walk.h"

#include "lang_walks.h"

/* ---- who is it ---- */

/* The id of a task in scry's own pid namespace; 0 when it is not visible there. */
static __always_inline u32 visible_pid(struct task_struct *task) {
    if (!pid_namespace)
        return (u32)task->pid;
    struct pid *pid = task->thread_pid;
    if (!pid)
        return 0;
    u32 level = pid->level;
    for (u32 i = 0; i < 8 && i <= level; i++) {
        struct upid *upid = (struct upid *)((u8 *)pid + bpf_core_field_offset(struct pid, numbers) +
                                            i * bpf_core_type_size(struct upid));
        struct pid_namespace *ns = BPF_CORE_READ(upid, ns);
        if (ns && BPF_CORE_READ(ns, ns.inum) == pid_namespace)
            return (u32)BPF_CORE_READ(upid, nr);
    }
    return 0;
}

static __always_inline struct cpu_scratch *scratch_here(void) {
    u32 cpu = bpf_get_smp_processor_id();
    return bpf_map_lookup_elem(&scratch, &cpu);
}

static __always_inline int was_seen(const struct cpu_scratch *s, u32 tgid) {
    return s && s->seen.tgid == tgid && s->seen.processes_changed == processes_changed;
}

/* What is known of a process. NULL when nothing is. */
static __always_inline struct table_process *look_at_process(struct cpu_scratch *s, u32 tgid) {
    if (!was_seen(s, tgid)) {
        u32 changed = processes_changed; /* before it is looked up: it may change after */
        struct table_process *process = bpf_map_lookup_elem(&processes, &tgid);
        s->seen.tgid = 0;
        if (!process)
            return NULL;
        s->seen.process = *process;
        s->seen.processes_changed = changed;
        s->seen.tgid = tgid;
    }
    return &s->seen.process;
}

/* Whether a process is being torn down: all its threads are on their way out. */
static __always_inline int ends(struct task_struct *task) {
    return task->flags & KERNEL_PF_EXITING && task->signal->live.counter == 0;
}

static __always_inline int wanted_to_its_end(struct task_struct *task, u32 tgid) {
    if (!(task->flags & KERNEL_PF_EXITING))
        return 0;
    u64 *began = bpf_map_lookup_elem(&ending, &tgid);
    return began && *began == task->group_leader->start_time;
}

static __always_inline int wanted(struct task_struct *task, u32 tgid) {
    if (filter_mode == CPU_FILTER_ALL)
        return tgid != own_tgid;
    if (filter_mode == CPU_FILTER_CGROUP)
        return tgid != own_tgid && bpf_current_task_under_cgroup(&cgroups, 0) == 1;
    return was_seen(scratch_here(), tgid) || bpf_map_lookup_elem(&targets, &tgid) != NULL ||
           wanted_to_its_end(task, tgid);
}

/* ---- registers ---- */

static __always_inline void regs_from_interrupt(struct walk_regs *to, struct bpf_perf_event_data *ctx) {
    to->value[0] = ctx->regs.rax;
    to->value[1] = ctx->regs.rdx;
    to->value[2] = ctx->regs.rcx;
    to->value[3] = ctx->regs.rbx;
    to->value[4] = ctx->regs.rsi;
    to->value[5] = ctx->regs.rdi;
    to->value[6] = ctx->regs.rbp;
    to->value[7] = ctx->regs.rsp;
    to->value[8] = ctx->regs.r8;
    to->value[9] = ctx->regs.r9;
    to->value[10] = ctx->regs.r10;
    to->value[11] = ctx->regs.r11;
    to->value[12] = ctx->regs.r12;
    to->value[13] = ctx->regs.r13;
    to->value[14] = ctx->regs.r14;
    to->value[15] = ctx->regs.r15;
    to->value[16] = ctx->regs.rip;
}

/* Returns orig_ax: negative unless the kernel was entered by a system call. */
static __always_inline long regs_from_entry(struct walk_regs *to, struct task_struct *task) {
    struct pt_regs___kernel *r = (void *)bpf_task_pt_regs(task);
    to->value[0] = r->ax;
    to->value[1] = r->dx;
    to->value[2] = r->cx;
    to->value[3] = r->bx;
    to->value[4] = r->si;
    to->value[5] = r->di;
    to->value[6] = r->bp;
    to->value[7] = r->sp;
    to->value[8] = r->r8;
    to->value[9] = r->r9;
    to->value[10] = r->r10;
    to->value[11] = r->r11;
    to->value[12] = r->r12;
    to->value[13] = r->r13;
    to->value[14] = r->r14;
    to->value[15] = r->r15;
    to->value[16] = r->ip;
    return (long)r->orig_ax;
}

/* What was interrupted, and by what: by a timer of perf's, which says where, or by a tick, which does not. */
struct interrupted {
    void *ctx;
    int by_timer; /* then ctx is a struct bpf_perf_event_data */
    int in_user;
};

static __always_inline void take_registers(const struct interrupted *at, struct task_struct *task,
                                           struct cpu_scratch *s) {
    struct walk_regs *to = &s->state.leaf;
    if (!at->in_user)
        s->sample.flags |= CPU_SAMPLE_IN_KERNEL;
    if (at->in_user && at->by_timer)
        regs_from_interrupt(to, at->ctx);
    else if (regs_from_entry(to, task) >= 0)
        s->sample.flags |= CPU_SAMPLE_INEXACT;
    to->tls_base = task->thread.fsbase;
    s->sample.regs = *to;
}

/* ---- the parts of a sample ---- */

/* The compiler must not compute it anew, from a number whose bounds the verifier has forgotten. */
static __always_inline struct cpu_state *state_of(u32 cpu) {
    struct cpu_state *state = &cpus[cpu % CPU_MAX_CPUS];
    barrier_var(state);
    return state;
}

/* Ends that a copy of the stack and better tables cannot improve. */
static __always_inline int walk_is_final(u8 end) {
    return end == WALK_END_ROOT || end == WALK_END_LIMIT || end == WALK_END_FAULT;
}

/* Walks every stream. Returns how the native one ended. */
static __always_inline int walk_user(struct cpu_scratch *s, struct table_process *process) {
    const struct cpu_record_head *head = &s->sample.head;
    struct walk w = {.stack = &s->sample.walk, .state = &s->state};
    s->state.tid = head->tid;
    s->state.epoch = head->time_ns >> WALK_EPOCH_SHIFT & ((1 << WALK_EPOCH_BITS) - 1);
    s->state.moment = (u64)head->tgid << 32 | (u32)(head->time_ns >> WALK_MOMENT_SHIFT);
    u8 exact = !(s->sample.flags & CPU_SAMPLE_INEXACT);
    int end = native_walk(&w, process->mappings_at, process->n_mappings, exact);
    walk_runtimes(&w, process->langs, process->config);
    return end;
}

/* Whether this process may still ship stack copies, of which user space allows `max` in a row. */
static __always_inline int may_miss(u32 tgid, u32 max) {
    u32 one = 1, *count = bpf_map_lookup_elem(&misses, &tgid);
    if (!count) {
        bpf_map_update_elem(&misses, &tgid, &one, BPF_ANY);
        return 1;
    }
    if (*count >= max)
        return 0;
    (*count)++;
    return 1;
}

enum { TIMED_TICKS = 8 };      /* of so many at high rates one is timed: to ask for the time takes a while itself */
enum { EAGER_NS = 1000000 };   /* between two samples that wake the reader because it is eager */
enum { CPU_START_BYTES = 64 }; /* of what the kernel put on a new program's stack, that its first code may look at */
enum { FRAMES_AND_TAIL = WALK_CAPACITY * sizeof(struct raw_frame) + CPU_SAMPLE_TAIL_BYTES };

static __always_inline u32 tail_offset(struct cpu_sample *sample) {
    u32 n = sample->walk.n_frames;
    return (n < WALK_CAPACITY ? n : WALK_CAPACITY) * sizeof(struct raw_frame);
}

struct copy_loop {
    u8 *to;
    u32 offset, copied, holes;
    u64 from, end;
};

/* Up to the page's end first, then whole pages. What is not in memory (a large array that was never touched) is a hole,
 * and no end: beyond may be callers. */
static long copy_page(u32 i, void *arg) {
    struct copy_loop *c = arg;
    u32 at = c->offset + c->copied;
    u64 left = c->end - c->from, rest = 4096 - (c->from & 4095);
    u64 n = left < rest ? left : rest;
    barrier_var(n); /* the compiler must check and use one and the same register */
    if (n == 0 || n > 4096 || at > FRAMES_AND_TAIL - 4096)
        return 1;
    if (bpf_probe_read_user(c->to + at, n, (void *)c->from) < 0)
        c->holes |= 1u << (i & 31);
    else
        c->copied += n;
    c->from += n;
    return 0;
}

/* Less when the ring fills up: a cut stack is better than a lost sample. */
static __always_inline u32 pages_to_copy(void) {
    u64 waiting = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
    return waiting < wake_bytes          ? CPU_STACK_PAGES
           : waiting < wake_bytes * 3ull ? CPU_STACK_ENOUGH
           : waiting < wake_bytes * 4ull ? CPU_STACK_ENOUGH / 4
                                         : 0;
}

/* Where there is no stack any more. A thread's own ends anywhere; the first thread's begins below what the kernel put
 * there for the program: its arguments, its environment, up to 8 KB at random. */
static __always_inline u64 stack_end(struct task_struct *task, u64 from) {
    u64 first = BPF_CORE_READ(task, mm, start_stack) + CPU_START_BYTES;
    u64 most = (from & ~4095ull) + CPU_STACK_BYTES;
    return first > from && first < most ? first : most;
}

/* Ships the stack from the red zone on. Returns how many bytes were added. */
static __always_inline u32 copy_stack(struct cpu_scratch *s, struct task_struct *task, u32 at) {
    struct cpu_sample *sample = &s->sample;
    u64 from = sample->regs.value[ARCH_STACK_POINTER] - CPU_RED_ZONE_BYTES;
    struct copy_loop copy = {.to = (u8 *)sample->walk.frames, .offset = at, .from = from, .end = stack_end(task, from)};
    u32 pages = pages_to_copy();
    bpf_loop(pages, copy_page, &copy, 0);
    if (copy.from < copy.end && pages < CPU_STACK_ENOUGH)
        sample->flags |= CPU_SAMPLE_STACK_CUT;
    sample->stack_bytes = copy.copied;
    sample->stack_holes = copy.holes;
    return copy.copied;
}

/* Whether the reader is to look now. Waking it may interrupt this CPU once more. */
static __always_inline int must_wake(const struct cpu_sample *sample, struct cpu_state *state, int missed) {
    u64 now = sample->head.time_ns;
    if (missed || bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > wake_bytes)
        return 1;
    if (!eager || now - state->woken_ns < EAGER_NS)
        return 0;
    state->woken_ns = now;
    return 1;
}

static __always_inline void output(struct cpu_scratch *s, struct cpu_state *state, u64 size, int missed) {
    u64 flags = must_wake(&s->sample, state, missed) ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
    barrier_var(size); /* the compiler must check and use one and the same register */
    if (size > sizeof(s->sample) + sizeof(s->tail))
        return;
    bpf_ringbuf_output(&events, &s->sample, size, flags); /* without room it is lost: see `taken` */
}

static __always_inline void begin_sample(struct cpu_scratch *s, struct task_struct *task, u32 tgid) {
    struct cpu_sample *sample = &s->sample;
    sample->head.type = CPU_RECORD_SAMPLE;
    sample->head.tgid = tgid;
    sample->head.tid = visible_pid(task);
    sample->head.child = 0;
    sample->head.time_ns = bpf_ktime_get_ns();
    bpf_get_current_comm(sample->head.comm, sizeof(sample->head.comm));
    sample->flags = 0;
    sample->n_kernel = 0;
    sample->stack_bytes = 0;
    sample->walk.n_streams = 0;
    sample->walk.n_frames = 0;
}

/* Walks user space. Returns whether user space must finish the walk from a copy of the stack. */
static __always_inline int sample_user(const struct interrupted *at, struct task_struct *task, struct cpu_scratch *s,
                                       u32 tgid) {
    struct cpu_sample *sample = &s->sample;
    sample->flags |= CPU_SAMPLE_USER;
    if (bpf_core_field_exists(task->in_execve) && BPF_CORE_READ_BITFIELD(task, in_execve))
        sample->flags |= CPU_SAMPLE_EXECVE;
    take_registers(at, task, s);
    struct table_process *process = look_at_process(s, tgid);
    if (!process) {
        sample->flags |= CPU_SAMPLE_UNKNOWN;
        return may_miss(tgid, max_waits);
    }
    int end = walk_user(s, process);
    int awaited = end == WALK_END_NO_TABLE || end == WALK_END_UNMAPPED;
    return !walk_is_final((u8)end) && may_miss(tgid, awaited ? max_waits : max_misses);
}

/* Returns how many bytes of addresses were added. */
static __always_inline u32 take_kernel_stack(const struct interrupted *at, u8 *to) {
    u64 skip = at->by_timer ? 0 : tick_frames & BPF_F_SKIP_FIELD_MASK;
    long n = bpf_get_stack(at->ctx, to, CPU_MAX_KERNEL_FRAMES * 8, skip);
    return n > 0 && n <= CPU_MAX_KERNEL_FRAMES * 8 ? (u32)n : 0;
}

/* In user space there are no others. */
static __always_inline void learn_tick_frames(const struct interrupted *at) {
    struct cpu_scratch *s = scratch_here();
    long n = s ? bpf_get_stack(at->ctx, s->tail, CPU_MAX_KERNEL_FRAMES * 8, 0) : 0;
    if (n > 0)
        tick_frames = (u32)n / 8;
}

static __always_inline void take_sample(const struct interrupted *at, struct task_struct *task, u32 tgid) {
    struct cpu_scratch *s = scratch_here();
    if (!s)
        return;
    struct cpu_state *state = state_of(bpf_get_smp_processor_id());
    state->taken++;
    if (!at->by_timer)
        state->ticked++;
    begin_sample(s, task, tgid);
    int missed = 0;
    if (!(task->flags & KERNEL_PF_KTHREAD) && task->mm && !ends(task))
        missed = sample_user(at, task, s, tgid);
    else
        s->sample.flags |= CPU_SAMPLE_IN_KERNEL;

    u8 *frames = (u8 *)s->sample.walk.frames;
    u32 tail = tail_offset(&s->sample);
    if (want_kernel && (s->sample.flags & CPU_SAMPLE_IN_KERNEL)) {
        u32 n = take_kernel_stack(at, frames + tail);
        s->sample.n_kernel = n / 8;
        tail += n;
    } else if (!at->by_timer && state->ticked % 256 == 0) {
        learn_tick_frames(at);
    }
    if (missed)
        tail += copy_stack(s, task, tail);
    output(s, state, CPU_SAMPLE_HEAD_BYTES + (u64)tail, missed);
    /* Not by the kernel's account (bpf_enable_stats): switching that on and off rewrites the code of a running kernel. */
    u32 every = at->by_timer ? 1 : TIMED_TICKS;
    if (state->taken % every == 0)
        state->spent_ns += every * (bpf_ktime_get_ns() - s->sample.head.time_ns);
}

SEC("perf_event")
int sample_cpu(struct bpf_perf_event_data *ctx) {
    struct interrupted at = {.ctx = ctx, .by_timer = 1, .in_user = (ctx->regs.cs & 3) != 0};
    struct task_struct *task = bpf_get_current_task_btf();
    u32 tgid = task->pid ? visible_pid(task->group_leader) : 0;
    if (tgid && wanted(task, tgid))
        take_sample(&at, task, tgid);
    return 0;
}

/* ---- ticks from another CPU (source/cpu/metronome.h) ---- */

/* An interrupt of user space stays on the task's own stack, at whose end the user's registers are; one of the kernel
 * goes to the interrupts' stack, or was there already (call_on_irqstack_cond() in arch/x86/include/asm/irq_stack.h).
 * A function of its own, with next to nothing on its stack: that of larger ones may be elsewhere (6.13). */
static __attribute__((noinline)) u64 stack_to_registers(struct task_struct *task) {
    volatile u64 here = 0;
    return (u64)bpf_task_pt_regs(task) - (u64)&here;
}

/* Returns enum cpu_runs. Of a control group's members nothing is asked: who is current may be another. */
static __always_inline u32 what_is(struct task_struct *task, u32 tgid) {
    if (task->pid == 0)
        return CPU_RUNS_IDLE;
    if (tgid == own_tgid)
        return CPU_RUNS_SCRY;
    return filter_mode != CPU_FILTER_PIDS || (tgid && wanted(task, tgid)) ? CPU_RUNS_TARGET : CPU_RUNS_OTHER;
}

/* Run on a CPU by an interrupt from another (BPF_F_TEST_RUN_ON_CPU). */
SEC("?raw_tp")
int sample_tick(void *ctx) {
    struct task_struct *task = bpf_get_current_task_btf();
    u32 tgid = visible_pid(task->group_leader), runs = what_is(task, tgid);
    if (runs != CPU_RUNS_SCRY)
        state_of(bpf_get_smp_processor_id())->runs = runs;
    if (runs != CPU_RUNS_TARGET || !tgid || (filter_mode == CPU_FILTER_CGROUP && !wanted(task, tgid)))
        return 0;
    struct interrupted at = {.ctx = ctx, .in_user = stack_to_registers(task) < KERNEL_STACK_BYTES};
    if (!tick_frames) {
        if (at.in_user)
            learn_tick_frames(&at);
        return 0;
    }
    take_sample(&at, task, tgid);
    return 0;
}

/* While scry's own threads run on a CPU, what they took it from and still wants it counts. */
SEC("?tp_btf/sched_switch")
int BPF_PROG(follow_switch, _Bool preempt, struct task_struct *prev, struct task_struct *next) {
    struct cpu_state *state = state_of(bpf_get_smp_processor_id());
    u32 runs = what_is(next, visible_pid(next->group_leader));
    if (runs == CPU_RUNS_SCRY) {
        if (visible_pid(prev->group_leader) == own_tgid)
            return 0;
        if (prev->pid && prev->__state == KERNEL_TASK_RUNNING) {
            state->displaced++;
            state->passed += state->runs == CPU_RUNS_TARGET;
            return 0;
        }
    }
    if (state->runs != runs)
        state->runs = runs;
    return 0;
}

/* ---- following processes ---- */

static __always_inline void say(u32 type, u32 tgid, u32 child) {
    struct cpu_record_head *r = bpf_ringbuf_reserve(&events, sizeof(*r), 0);
    if (!r)
        return;
    __builtin_memset(r, 0, sizeof(*r));
    r->type = type;
    r->tgid = tgid;
    r->child = child;
    r->time_ns = bpf_ktime_get_ns();
    bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
}

static __always_inline int followed(u32 tgid) {
    u32 *target = bpf_map_lookup_elem(&targets, &tgid);
    return (target && *target == CPU_TARGET) || bpf_map_lookup_elem(&processes, &tgid);
}

/* A child starts with its parent's memory, so what is known of the parent holds for it. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(follow_fork, struct task_struct *parent, struct task_struct *child) {
    if (parent->tgid == child->tgid)
        return 0;
    u32 from = visible_pid(parent->group_leader), to = visible_pid(child);
    if (!from || !to || !followed(from))
        return 0;
    u32 target = CPU_TARGET;
    if (filter_mode == CPU_FILTER_PIDS)
        bpf_map_update_elem(&targets, &to, &target, BPF_ANY);
    struct table_process *process = bpf_map_lookup_elem(&processes, &from);
    if (process)
        bpf_map_update_elem(&processes, &to, process, BPF_ANY);
    __sync_fetch_and_add(&processes_changed, 1);
    say(CPU_RECORD_FORK, from, to);
    return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(follow_exec, struct task_struct *task) {
    u32 tgid = visible_pid(task->group_leader);
    if (!tgid || !followed(tgid))
        return 0;
    u32 mark = CPU_TARGET_TELL_END; /* it may come before user space has looked at what the process is now */
    bpf_map_update_elem(&targets, &tgid, &mark, BPF_NOEXIST);
    bpf_map_delete_elem(&processes, &tgid);
    bpf_map_delete_elem(&misses, &tgid);
    __sync_fetch_and_add(&processes_changed, 1);
    say(CPU_RECORD_EXEC, tgid, 0);
    return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(follow_exit, struct task_struct *task) {
    if (task->signal->live.counter != 0)
        return 0;
    u32 tgid = visible_pid(task->group_leader);
    if (!tgid || !(followed(tgid) || bpf_map_lookup_elem(&targets, &tgid)))
        return 0;
    if (filter_mode == CPU_FILTER_PIDS) {
        u64 began = task->group_leader->start_time;
        bpf_map_update_elem(&ending, &tgid, &began, BPF_ANY);
    }
    bpf_map_delete_elem(&processes, &tgid);
    bpf_map_delete_elem(&targets, &tgid);
    __sync_fetch_and_add(&processes_changed, 1);
    say(CPU_RECORD_EXIT, tgid, 0);
    return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";

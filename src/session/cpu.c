/* The CPU capture: drains the sampler, keeps processes and tables up to date, fills the profile. */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "session/assemble.h"
#include "session/command.h"
#include "session/process_table.h"
#include "session/record_queue.h"
#include "session/session.h"
#include "session/stack_copy.h"
#include "source/cpu/cpu.h"

enum {
    POLL_MS = 25,         /* how late a sample is looked at, at most, */
    QUIET_POLL_MS = 100,  /* … and when nothing was new for a second */
    WATCH_NS = 50000000,  /* a name was new: for so long every sample is looked at as it comes */
    MAX_WAITING = 64,     /* … unless there are more than this, */
    DEFER_NS = 200000000, /* … but walks are not left unfinished for longer than this */
};

struct capture {
    const struct session_options *options;
    struct profile *profile;
    struct cpu_source *source;
    struct tables *tables;
    struct session_files files;
    struct assembler *assembler;
    struct process_table processes;
    struct command command;
    bool command_runs; /* it has been seen to exec */
    uint64_t began_ns, self_cpu_ns;
    uint64_t last_house_ns, last_progress_ns;
    struct record_queue deferred;        /* samples whose walk is to be finished */
    struct walk_stack *walk;             /* of walks finished in user space */
    uint64_t runtime_names, last_serial; /* of `files`, when the last poll ended */
    uint64_t watch_until_ns, deferred_since_ns;
    uint64_t news_ns; /* when there was last a new name, or a process began or ended */
};

/* ---- samples ---- */

/* A view of a sample record with every length checked against the bytes that arrived. */
struct sample_view {
    const struct cpu_sample *sample;
    const uint64_t *kernel;
    const uint8_t *stack;
};

static bool view_sample(const struct cpu_record_head *record, size_t size, struct sample_view *ret) {
    const struct cpu_sample *s = (const void *)record;
    if (size < CPU_SAMPLE_HEAD_BYTES || s->walk.n_frames > WALK_CAPACITY || s->n_kernel > CPU_MAX_KERNEL_FRAMES ||
        s->stack_bytes > CPU_STACK_BYTES)
        return false;
    size_t frames = s->walk.n_frames * sizeof(struct raw_frame), kernel = s->n_kernel * 8u;
    if (size < CPU_SAMPLE_HEAD_BYTES + frames + kernel + s->stack_bytes)
        return false;
    const uint8_t *p = (const uint8_t *)record + CPU_SAMPLE_HEAD_BYTES;
    *ret = (struct sample_view){.sample = s, .kernel = (const void *)(p + frames), .stack = p + frames + kernel};
    return true;
}

/* Finishes in user space what the kernel could not walk: its tables were not loaded yet. `memory` is NULL
 * when nothing but the copy of the stack is left. */
static const struct walk_stack *finish_walk(struct capture *c, struct session_process *p, struct target *memory,
                                            const struct sample_view *v) {
    struct stack_copy copy;
    u64 start = v->sample->regs.value[7] - v->sample->stack_below;
    stack_copy_init(&copy, memory, start, v->stack, v->sample->stack_bytes, v->sample->flags & CPU_SAMPLE_STACK_CUT);
    u32 published = p->table.mappings_at;
    struct session_walk how = {.host = &copy.host,
                               .regs = &v->sample->regs,
                               .tid = v->sample->head.tid,
                               .exact = !(v->sample->flags & CPU_SAMPLE_INEXACT)};
    session_process_walk(p, &how, c->walk);
    if (p->table.mappings_at != published) /* another list is in another place */
        process_table_publish(&c->processes, p);
    /* What the kernel walked of a runtime's own frames belongs to the same instant: keep it. */
    for (u32 i = 0; i < MIN(v->sample->walk.n_streams, (u32)WALK_MAX_STREAMS); i++)
        if (v->sample->walk.streams[i].lang)
            stack_copy_stream(c->walk, &v->sample->walk, i);
    return c->walk;
}

static thread_id thread_of(struct capture *c, struct session_process *p, const struct cpu_sample *s) {
    char comm[17] = {0};
    memcpy(comm, s->head.comm, 16);
    if (p)
        return session_process_thread(p, s->head.tid, comm);
    string_id name = profile_string(c->profile, comm);
    struct profile_thread t = {.pid = s->head.tgid, .tid = s->head.tid, .process_name = name, .thread_name = name};
    return profile_thread(c->profile, &t);
}

/* Until its exec the command is our own child, and our code is nobody's business. */
static bool is_starting(const struct capture *c, const struct cpu_sample *s) {
    return !c->command_runs && c->command.pid > 0 && s->head.tgid == (u32)c->command.pid;
}

/* Whether the sample has a user stack. In execve() the old one is gone before the new one is made. */
static bool has_user_stack(const struct capture *c, const struct cpu_sample *s) {
    bool replaced =
        s->flags & CPU_SAMPLE_EXECVE && mapped_new_image(&c->processes.mapped, s->head.tgid, 0, s->head.time_ns);
    return s->flags & CPU_SAMPLE_USER && !replaced && !is_starting(c, s);
}

/* The process that a sample names, opened at first sight if its code is to be walked. */
static struct session_process *process_of(struct capture *c, const struct cpu_sample *s, bool user) {
    return user ? process_table_get(&c->processes, &s->head) : process_table_find(&c->processes, s->head.tgid);
}

/* The mappings that go with a walk: those of its time, or the present ones if it is finished now. NULL when these
 * are of another program than the one that was sampled. */
static const struct process_snapshot *snapshot_of(const struct capture *c, const struct session_process *p,
                                                  const struct cpu_sample *s) {
    const struct process_snapshot *at = session_process_at(p, s->stack_bytes ? UINT64_MAX : s->head.time_ns, NULL);
    return mapped_new_image(&c->processes.mapped, (u32)p->pid, s->head.time_ns, at->taken_ns) ? NULL : at;
}

/* The process that a sample belongs to, and the one whose code it ran: the same, or, where it has ended or is
 * another program now, its parent, whose memory had the same code in the same places. Either may be NULL. */
static void find_processes(struct capture *c, const struct cpu_sample *s, bool user, struct session_process **ret_own,
                           struct session_process **ret_code) {
    struct session_process *own = process_of(c, s, user);
    if (user && own && !snapshot_of(c, own, s))
        own = NULL;
    *ret_own = own;
    *ret_code = own || !user ? own : process_table_parent(&c->processes, s->head.tgid, true);
}

/* The user part of a sample's stack. */
static void place_walk(struct capture *c, const struct sample_view *v, struct session_process *own,
                       struct assemble_input *in, struct assemble_trust *trust) {
    const struct cpu_sample *s = v->sample;
    struct session_process *p = in->process;
    if (s->walk.n_streams)
        in->walk = &s->walk;
    if (p && s->stack_bytes)
        in->walk = finish_walk(c, p, own ? p->target : NULL, v);
    if (own && in->walk) {
        *trust = mapped_trust(&c->processes.mapped, p, in->walk, s->head.time_ns, s->stack_bytes);
        in->trust = trust;
    }
    if (!in->walk)
        in->missing = p ? "[not walked: the process had just appeared]" : "[not walked: the process had ended]";
}

static void take_sample(struct capture *c, const struct sample_view *v) {
    const struct cpu_sample *s = v->sample;
    bool user = has_user_stack(c, s);
    struct session_process *own, *code;
    struct assemble_trust trust;
    find_processes(c, s, user, &own, &code);
    struct assemble_input in = {.process = code,
                                .leaf_sp = s->regs.value[7],
                                .kernel = v->kernel,
                                .n_kernel = s->n_kernel,
                                .kernel_thread = !user};
    if (user)
        place_walk(c, v, own, &in, &trust);
    else if (is_starting(c, s))
        in.missing = "[starting the command]";
    if (code)
        in.snapshot = snapshot_of(c, code, s);
    struct assembled a = assemble(c->assembler, &in);
    assembled_count(c->profile, &a);
    struct profile_sample sample = {
        .stack = a.stack,
        .thread = thread_of(c, own, s),
        .time_ns = s->head.time_ns > c->began_ns ? s->head.time_ns - c->began_ns : 0,
    };
    profile_add_sample(c->profile, &sample, (int64_t[]){1, (int64_t)c->profile->period_ns});
}

/* ---- samples that can wait ---- */

/* Finishing a walk may load tables, for longer than a short program lives or keeps its code. So first every
 * sample that waits in the ring is asked for what its process may forget: which process it is, and the names
 * of its thread and of its runtime's frames. Returns whether the sample was put by. */
static bool defer(struct capture *c, const struct sample_view *v, size_t size) {
    const struct cpu_sample *s = v->sample;
    if (!s->stack_bytes)
        return false;
    struct session_process *p = process_of(c, s, has_user_stack(c, s));
    if (p) {
        session_process_read_names(p, &s->walk);
        if (snapshot_of(c, p, s))
            thread_of(c, p, s);
    }
    if (c->deferred.count == 0)
        c->deferred_since_ns = clock_monotonic_ns();
    return record_queue_push(&c->deferred, s, size);
}

/* Takes over `r`, which may be NULL. */
static void take_waiting(struct capture *c, struct queued_record *r) {
    struct sample_view v;
    if (r && view_sample((const struct cpu_record_head *)r->bytes, r->size, &v))
        take_sample(c, &v);
    free(r);
}

static void take_all_deferred(struct capture *c) {
    while (c->deferred.count)
        take_waiting(c, record_queue_pop(&c->deferred));
}

/* Before what is known of a process is forgotten. */
static void take_deferred_of(struct capture *c, u32 pid) {
    struct record_queue all = c->deferred;
    c->deferred = (struct record_queue){0};
    for (struct queued_record *r = record_queue_pop(&all); r; r = record_queue_pop(&all)) {
        if (process_table_depends(&c->processes, ((const struct cpu_record_head *)r->bytes)->tgid, pid))
            take_waiting(c, r);
        else
            record_queue_append(&c->deferred, r);
    }
}

/* ---- records ---- */

static void take_record(void *ctx, const struct cpu_record_head *record, size_t size) {
    struct capture *c = ctx;
    struct sample_view v;
    if (record->type == CPU_RECORD_FORK || record->type == CPU_RECORD_EXEC || record->type == CPU_RECORD_EXIT)
        c->news_ns = record->time_ns;
    switch (record->type) {
    case CPU_RECORD_SAMPLE:
        if (view_sample(record, size, &v) && !defer(c, &v, size))
            take_sample(c, &v);
        break;
    case CPU_RECORD_FORK:
        take_deferred_of(c, record->child);
        process_table_forked(&c->processes, record->tgid, record->child);
        break;
    case CPU_RECORD_EXEC:
        take_deferred_of(c, record->tgid);
        process_table_execed(&c->processes, record->tgid);
        c->command_runs |= record->tgid == (u32)c->command.pid;
        break;
    case CPU_RECORD_MAP:
    case CPU_RECORD_NEW_IMAGE:
        if (size >= sizeof(struct cpu_mapped))
            process_table_mapped(&c->processes, (const struct cpu_mapped *)record);
        break;
    case CPU_RECORD_EXIT:
        take_deferred_of(c, record->tgid);
        process_table_exited(&c->processes, record->tgid);
        break;
    default:
        break;
    }
}

/* ---- setting up ---- */

static int open_source(struct capture *c, struct err *err) {
    const struct session_options *o = c->options;
    _cleanup_(closep) int cgroup = o->cgroup ? target_open_cgroup(o->cgroup, err) : -1;
    struct cpu_options options = {
        .frequency = o->frequency,
        .kernel = o->kernel,
        .filter = o->cgroup ? CPU_FILTER_CGROUP
                  : o->all  ? CPU_FILTER_ALL
                            : CPU_FILTER_PIDS,
        .max_processes = o->all || o->cgroup ? PROCESS_TABLE_MAX : 4096,
        .verbose = o->verbose,
    };
    options.cgroup_fd = cgroup;
    return o->cgroup && cgroup < 0 ? cgroup : cpu_source_open(&options, &c->source, err);
}

static int prepare_profile(struct capture *c, struct err *err) {
    struct profile *p = c->profile = profile_new();
    if (!p)
        return err_nomem(err);
    profile_value_type(p, "samples", "count");
    p->default_value = profile_value_type(p, "cpu", "nanoseconds");
    p->period_ns = 1000000000u / c->options->frequency;
    struct tables_memory memory = {
        .new_chunk = cpu_source_new_chunk,
        .free_chunk = cpu_source_free_chunk,
        .ctx = c->source,
        .rules = cpu_source_rules(c->source),
    };
    int rc = tables_new(&memory, &c->tables);
    if (rc == 0)
        rc = session_files_init(&c->files, p, c->tables);
    c->walk = mem_alloc(sizeof(*c->walk));
    if (rc < 0 || !c->walk)
        return err_nomem(err);
    c->processes = (struct process_table){.files = &c->files, .source = c->source};
    rc = assembler_new(&c->files, &c->assembler, err);
    if (rc == 0 && c->options->kernel)
        assembler_prepare_kernel(c->assembler);
    return rc;
}

/* What a target started before is as much part of it as what it will start. */
static void add_descendants(struct capture *c, pid_t pid) {
    _cleanup_(freep) pid_t *below = NULL;
    size_t n = 0;
    if (target_descendants(pid, &below, &n) < 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (!process_table_find(&c->processes, (u32)below[i]) && process_table_open(&c->processes, (u32)below[i], NULL))
            cpu_source_add_target(c->source, (u32)below[i]);
}

/* The targets named on the command line must exist; what appears later may fail in silence. */
static int add_targets(struct capture *c, struct err *err) {
    const struct session_options *o = c->options;
    for (size_t i = 0; i < o->n_pids; i++) {
        u32 pid = (u32)o->pids[i];
        if (process_table_find(&c->processes, pid))
            continue; /* named twice */
        struct session_process *p = process_table_open(&c->processes, pid, err);
        if (!p)
            return err && err->code ? err->code : -EIO;
        cpu_source_add_target(c->source, pid);
        if (p->attach_error.code)
            profile_note(c->profile, "%s", p->attach_error.text);
        add_descendants(c, o->pids[i]);
    }
    if (o->command) {
        int rc = command_prepare(o->command, &c->command, err);
        if (rc < 0)
            return rc;
        cpu_source_add_target(c->source, (u32)c->command.pid);
    }
    return 0;
}

/* ---- the loop ---- */

static bool watches_pids(const struct session_options *o) {
    return !o->command && !o->all && !o->cgroup;
}

static bool targets_ended(struct capture *c) {
    if (c->options->command)
        return command_ended(&c->command);
    return watches_pids(c->options) && c->processes.count == 0;
}

/* What is due about once a second. */
static void keep_house(struct capture *c, uint64_t now) {
    if (now - c->last_house_ns < 1000000000)
        return;
    c->last_house_ns = now;
    tables_reclaim(c->tables);
    process_table_drop_ended(&c->processes, watches_pids(c->options));
}

static bool stop_requested(const struct session_options *o) {
    struct pollfd p = {.fd = o->stop_fd, .events = POLLIN};
    return o->stop_fd >= 0 && poll(&p, 1, 0) > 0;
}

static void report_progress(struct capture *c, uint64_t now) {
    if (!c->options->progress || now - c->last_progress_ns < 100000000)
        return;
    c->last_progress_ns = now;
    c->options->progress(c->options->progress_ctx,
                         &(struct session_progress){.seconds = (double)(now - c->began_ns) / 1e9,
                                                    .samples = c->profile->quality.samples_taken});
}

/* Functions that were never seen before, as in a program that starts, are often forgotten as soon as they have
 * run: then every sample is looked at as it comes. */
static void watch_closely(struct capture *c, uint64_t now) {
    bool more = c->files.runtime_names != c->runtime_names || c->files.last_serial != c->last_serial;
    c->runtime_names = c->files.runtime_names;
    c->last_serial = c->files.last_serial;
    if (more) {
        c->watch_until_ns = now + WATCH_NS;
        c->news_ns = now;
    }
    cpu_source_set_eager(c->source, now < c->watch_until_ns);
}

/* Finishes one walk unless there is better to do: names that are new are read first, for a while. */
static void finish_one(struct capture *c, uint64_t now) {
    bool can_wait = now < c->watch_until_ns && now - c->deferred_since_ns < DEFER_NS;
    if (!can_wait || c->deferred.count > MAX_WAITING)
        take_waiting(c, record_queue_pop(&c->deferred));
}

/* For how long to wait for samples. */
static uint64_t wait_ms(const struct capture *c, uint64_t now) {
    if (c->deferred.count)
        return now < c->watch_until_ns ? 1 : 0;
    return now < c->news_ns + 1000000000 ? POLL_MS : QUIET_POLL_MS;
}

static int run(struct capture *c, struct err *err) {
    const struct session_options *o = c->options;
    uint64_t end = o->duration > 0 ? c->began_ns + (uint64_t)(o->duration * 1e9) : UINT64_MAX;
    for (;;) {
        uint64_t now = clock_monotonic_ns();
        if (now >= end || stop_requested(o) || targets_ended(c))
            return 0;
        uint64_t left_ms = (end - now) / 1000000 + 1;
        int rc = cpu_source_poll(c->source, (int)MIN(wait_ms(c, now), left_ms), o->stop_fd, take_record, c);
        now = clock_monotonic_ns();
        watch_closely(c, now);
        finish_one(c, now);
        if (rc < 0)
            return err_set(err, rc, NULL, "Reading samples failed: %s", strerror(-rc));
        if (c->profile->profile_failed)
            return err_nomem(err);
        keep_house(c, now);
        report_progress(c, now);
    }
}

/* ---- what it cost ---- */

static void finish_quality(struct capture *c) {
    struct profile *p = c->profile;
    struct profile_quality *q = &p->quality;
    struct cpu_stats stats;
    struct rusage usage;
    cpu_source_stats(c->source, &stats);
    getrusage(RUSAGE_SELF, &usage);
    q->samples_lost = stats.taken > q->samples_taken ? stats.taken - q->samples_taken : 0;
    q->self_cpu_ns = clock_cpu_ns() - c->self_cpu_ns;
    q->self_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    q->self_map_bytes = stats.map_bytes;
    q->probe_ns = stats.run_ns;
    q->probe_runs = stats.runs;
    /* The program's own time plus 2 µs for each interrupt, over the CPU time of what was sampled. */
    double sampled_ns = (double)stats.taken * (double)p->period_ns;
    if (sampled_ns > 0)
        q->slowdown_bound = ((double)stats.run_ns + 2000.0 * (double)stats.taken) / sampled_ns;
    p->duration_ns = clock_monotonic_ns() - c->began_ns;
}

static void describe(struct capture *c) {
    struct profile *p = c->profile;
    const struct session_options *o = c->options;
    char host[256] = "", text[512] = "";
    gethostname(host, sizeof(host) - 1);
    p->host = profile_string(p, host);
    if (o->command)
        snprintf(text, sizeof(text), "%s", o->command[0]);
    else if (o->n_pids == 1 && c->processes.count)
        snprintf(text, sizeof(text), "%s (pid %d)%s", profile_str(p, c->processes.all[0]->name), (int)o->pids[0],
                 c->processes.count > 1 ? " and its children" : "");
    else if (o->n_pids)
        snprintf(text, sizeof(text), "%zu processes", o->n_pids);
    else
        snprintf(text, sizeof(text), "%s%s", o->cgroup ? "control group " : "the whole host",
                 o->cgroup ? o->cgroup : "");
    p->command = profile_string(p, text);
}

static void capture_free(struct capture *c) {
    command_release(&c->command);
    assembler_free(c->assembler);
    process_table_free(&c->processes);
    record_queue_free(&c->deferred);
    session_files_free(&c->files);
    tables_free(c->tables);
    cpu_source_close(c->source);
    profile_free(c->profile);
    free(c->walk);
}

int session_cpu(const struct session_options *o, struct profile **ret, struct session_command *ret_command,
                struct err *err) {
    _cleanup_(capture_free) struct capture c = {
        .options = o, .command = {.gate = -1, .failure = -1}, .self_cpu_ns = clock_cpu_ns()};
    struct err local = {0};
    if (!err)
        err = &local;
    /* Large blocks go back to the system when they are freed, always. */
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    /* On a busy machine we must still answer at once when a process maps code or starts another. */
    c.command.niceness = getpriority(PRIO_PROCESS, 0);
    setpriority(PRIO_PROCESS, 0, -10);
    int rc = open_source(&c, err);
    if (rc == 0)
        rc = prepare_profile(&c, err);
    if (rc == 0)
        rc = add_targets(&c, err);
    if (rc < 0)
        return rc;
    describe(&c);
    c.profile->start_time_ns = clock_realtime_ns();
    c.began_ns = clock_monotonic_ns();
    rc = cpu_source_start(c.source, err);
    if (rc == 0 && o->command)
        rc = command_run(&c.command, o->command[0], err);
    if (rc == 0)
        rc = run(&c, err);
    cpu_source_stop(c.source);
    if (rc < 0)
        return rc;
    cpu_source_poll(c.source, 0, -1, take_record, &c);
    take_all_deferred(&c);
    setpriority(PRIO_PROCESS, 0, c.command.niceness);
    if (c.profile->profile_failed)
        return err_nomem(err);
    finish_quality(&c);
    *ret_command =
        (struct session_command){.pid = c.command.pid, .ended = c.command.reaped, .status = c.command.status};
    *ret = TAKE_PTR(c.profile);
    return 0;
}

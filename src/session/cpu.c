/* The CPU capture: sets it up, runs it, says what it cost. */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/worker.h"
#include "session/capture.h"
#include "session/remarks.h"

enum {
    POLL_MS = 25,         /* how late a sample is looked at, at most, */
    QUIET_POLL_MS = 100,  /* … and when nothing was new for a second */
    WATCH_NS = 50000000,  /* a name was new: for so long every sample is looked at as it comes */
    MAX_TEXT = 128 << 20, /* bytes of names: a browser has a tenth of it */
};

/* ---- setting up ---- */

static bool watches_pids(const struct session_options *o) {
    return !o->command && !o->all && !o->cgroup;
}

static int open_source(struct capture *c, struct err *err) {
    const struct session_options *o = c->options;
    int rc = o->cgroup ? group_open(&c->group, o->cgroup, err) : 0;
    struct cpu_options options = {
        .frequency = o->frequency,
        .kernel = o->kernel,
        .filter = o->cgroup ? CPU_FILTER_CGROUP
                  : o->all  ? CPU_FILTER_ALL
                            : CPU_FILTER_PIDS,
        .max_processes = o->all || o->cgroup ? PROCESS_TABLE_MAX : 4096,
        .verbose = o->verbose,
    };
    options.cgroup_fd = c->group.fd;
    return rc < 0 ? rc : cpu_source_open(&options, &c->source, err);
}

static int prepare_profile(struct capture *c, struct err *err) {
    struct profile *p = c->profile = profile_new();
    if (!p)
        return err_nomem(err);
    profile_limit_text(p, MAX_TEXT);
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
    c->processes = (struct process_table){.files = &c->files, .source = c->source, .waits = watches_pids(c->options)};
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
        if (!process_table_find(&c->processes, (u32)below[i])) {
            process_table_open(&c->processes, (u32)below[i], NULL); /* what cannot be opened is sampled all the same */
            cpu_source_add_target(c->source, (u32)below[i]);
        }
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

static bool targets_ended(struct capture *c) {
    if (c->options->command)
        return command_ended(&c->command);
    return watches_pids(c->options) && process_table_ended(&c->processes);
}

/* What is due about once a second. */
static void keep_house(struct capture *c, uint64_t now) {
    if (now - c->last_house_ns < 1000000000)
        return;
    c->last_house_ns = now;
    displaced_look(&c->displaced, now);
    tables_reclaim(c->tables);
    session_files_release(&c->files);
    process_table_drop_ended(&c->processes, watches_pids(c->options));
    if (c->options->cgroup && group_look(&c->group, now) && cpu_source_set_cgroup(c->source, c->group.fd) < 0)
        profile_note(c->profile, "The control group was made anew, and could not be followed");
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
                                                    .samples = c->profile->quality.samples_taken,
                                                    .remark = c->group.gone_since_ns ? "the control group is gone, "
                                                                                       "waiting for it to come back"
                                                                                     : NULL});
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

/* For how long to wait for samples. */
static uint64_t wait_ms(const struct capture *c, uint64_t now) {
    if (c->read_ahead.count)
        return 0;
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
        int rc = capture_receive(c, MIN(wait_ms(c, now), left_ms));
        now = clock_monotonic_ns();
        watch_closely(c, now);
        int finished = capture_finish_walks(c, now);
        rc = rc < 0 ? rc : finished;
        if (rc < 0)
            return err_set(err, rc, NULL, "Reading samples failed: %s", strerror(-rc));
        if (c->profile->profile_failed)
            return 0; /* what there is by now is kept */
        process_table_open_newcomers(&c->processes, now);
        keep_house(c, now);
        report_progress(c, now);
    }
}

/* ---- what it cost ---- */

/* What there was no memory for is missing; all else is good. */
static void note_what_is_missing(struct profile *p) {
    profile_limit_text(p, 0);
    if (p->text_full)
        profile_note(p, "Names of functions took over %d MB: those found later are called \"[too many names]\"",
                     MAX_TEXT >> 20);
    if (p->profile_failed)
        profile_note(p, "Memory ran out: the capture ended early");
    p->profile_failed = false;
}

static void finish_quality(struct capture *c) {
    struct profile *p = c->profile;
    session_files_note(&c->files);
    struct profile_quality *q = &p->quality;
    struct cpu_stats stats;
    struct rusage usage;
    cpu_source_stats(c->source, &stats);
    getrusage(RUSAGE_SELF, &usage);
    if (stats.unheard)
        profile_note(
            p,
            "%llu times there was no room to hear that a process mapped code: such code may have been named late, "
            "or not at all where a process ended soon",
            (unsigned long long)stats.unheard);
    q->samples_lost = stats.due > q->samples_taken ? stats.due - q->samples_taken : 0;
    q->self_cpu_ns = clock_cpu_ns() - c->self_cpu_ns;
    uint64_t rss = (uint64_t)usage.ru_maxrss * 1024;
    q->self_rss_bytes = rss - MIN(rss, stats.mapped_bytes); /* the maps are counted once, by themselves */
    q->self_map_bytes = stats.map_bytes;
    q->probe_ns = stats.spent_ns;
    q->probe_runs = stats.taken;
    /* The programs' own time and that of the interrupts, over the CPU time of what was sampled; and what others waited for
     * while scry ran: a target that runs seldom meets that seldom. */
    double sampled_ns = (double)stats.due * (double)p->period_ns, wall_ns = (double)(c->ended_ns - c->began_ns);
    if (sampled_ns > 0)
        q->slowdown_bound = (double)(stats.spent_ns + stats.interrupts_ns) / sampled_ns +
                            (double)c->displaced.total_ns / MAX(sampled_ns, wall_ns);
    p->duration_ns = clock_monotonic_ns() - c->began_ns;
    remarks_note(c);
}

/* A command may end and leave a daemon behind. */
static void find_left(struct capture *c, struct session_command *ret) {
    enum { MOST = 64 };
    u32 pids[MOST];
    if (!ret->ended)
        return;
    size_t n = cpu_source_targets(c->source, pids, MOST);
    for (size_t i = 0; i < n; i++)
        if ((pid_t)pids[i] != ret->pid && target_state_of((pid_t)pids[i]) == TARGET_USER) {
            ret->n_left++;
            ret->left = ret->left ? MIN(ret->left, (pid_t)pids[i]) : (pid_t)pids[i];
        }
}

static void capture_free(struct capture *c) {
    command_release(&c->command);
    worker_free(c->worker);
    record_queue_free(&c->read_ahead);
    assembler_free(c->assembler);
    process_table_free(&c->processes);
    group_close(&c->group);
    record_queue_free(&c->deferred);
    session_files_free(&c->files);
    tables_free(c->tables);
    cpu_source_close(c->source);
    profile_free(c->profile);
    free(c->walk);
}

int session_cpu(const struct session_options *o, struct profile **ret, struct session_command *ret_command,
                struct err *err) {
    _cleanup_(capture_free) struct capture c = {.options = o,
                                                .command = {.gate = -1, .failure = -1},
                                                .self_cpu_ns = clock_cpu_ns(),
                                                .max_read_ahead = capture_read_ahead(o->frequency)};
    struct err local = {0};
    if (!err)
        err = &local;
    int proc = target_check_proc(err);
    if (proc < 0)
        return proc;
    /* Large blocks go back to the system when they are freed, always. */
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    mallopt(M_ARENA_MAX, 1); /* the other thread works while this one waits */
    /* On a busy machine we must still answer at once when a process maps code or starts another. */
    c.command.limits = command_limits_now();
    setpriority(PRIO_PROCESS, 0, -10);
    int rc = open_source(&c, err);
    if (rc == 0)
        rc = prepare_profile(&c, err);
    if (rc == 0)
        rc = add_targets(&c, err);
    if (rc < 0)
        return rc;
    remarks_describe(&c);
    c.profile->start_time_ns = clock_realtime_ns();
    c.began_ns = clock_monotonic_ns();
    displaced_look(&c.displaced, c.began_ns);
    rc = cpu_source_start(c.source, err);
    if (rc == 0 && o->command)
        rc = command_run(&c.command, o->command[0], err);
    if (rc == 0)
        rc = run(&c, err);
    c.ended_ns = clock_monotonic_ns();
    displaced_look(&c.displaced, c.ended_ns);
    struct session_command command = {.pid = c.command.pid, .ended = c.command.reaped, .status = c.command.status};
    find_left(&c, &command);
    cpu_source_stop(c.source);
    if (rc < 0)
        return rc;
    capture_take_rest(&c);
    setpriority(PRIO_PROCESS, 0, c.command.limits.niceness);
    note_what_is_missing(c.profile);
    finish_quality(&c);
    *ret_command = command;
    *ret = TAKE_PTR(c.profile);
    return 0;
}
